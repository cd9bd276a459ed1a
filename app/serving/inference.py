"""Pictures for λ after λ: one queue for all sessions, a cache of answers, and work ahead while nobody asks."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice

import torch

from app.library.entries import Entry
from app.library.loading import LoadedModel
from app.library.models import ModelRegistry
from app.pictures.scenes import SAMPLE, Encoded, Scene, make_scene, thumbnail
from app.pictures.uploads import UploadStore
from app.serving.cache import ByteCache
from app.serving.precision import ServedNetwork
from app.serving.protocol import STEPS, Request, pack, snap
from app.serving.worker import Worker
from palora_core.errors import UserError
from palora_core.simplex import simplex_lattice

CACHE_BYTES = 192 * 2**20
KEPT_SCENES = 24
KEPT_NETWORKS = 4
# Views whose lattice is computed ahead; more sessions than this share what the others computed.
KEPT_VIEWS = 8

Key = tuple[str, str, tuple[float, ...], tuple[str, ...]]


@dataclass(frozen=True)
class View:
    """What a session looks at."""

    model: str
    image: str
    errors: tuple[str, ...]
    preference: tuple[float, ...]


class Inference:
    """Answers the requests of all sessions of a server.

    Args:
        registry: the models.
        uploads: people's own pictures.
        work_ahead: compute the lattice of the images on screen while nobody asks.
    """

    def __init__(self, registry: ModelRegistry, uploads: UploadStore, work_ahead: bool = True) -> None:
        self.registry = registry
        self.uploads = uploads
        self.answers: ByteCache[Encoded] = ByteCache(CACHE_BYTES, lambda answer: answer.size)
        self._sessions: set[str] = set()  # who is here; one may leave while it is being answered
        self._views: OrderedDict[str, View] = OrderedDict()
        self._views_lock = threading.Lock()
        self._shown: dict[str, tuple[str, Entry]] = {}  # by model id: the key of its answers, and whose they are
        self._scenes: OrderedDict[tuple[str, str], Scene] = OrderedDict()
        self._networks: OrderedDict[str, ServedNetwork] = OrderedDict()
        self._worker = Worker(self._work_ahead if work_ahead else None, _one_thread)

    # -- called from any thread --------------------------------------------------------------------------------------
    def cached(self, session: str, request: Request) -> bytes | None:
        """The frame of an answer that needs no computing, or None; takes microseconds."""
        if request.type != "predict":
            return None
        with self._views_lock:
            self._sessions.add(session)
            shown = self._shown.get(request.model)
        if shown is None:
            return None
        key, entry = shown
        preference = snap(request.preference, request.exact)
        answer = self.answers.get((key, request.image, preference, request.errors))
        if answer is None or not entry.is_current():  # trained again or replaced: the worker looks what is there
            return None
        self._looks_at(session, request, preference)
        self._worker.stay_away()
        return pack({**answer.header, "seq": request.seq, "cached": True}, answer.blobs)

    def submit(self, session: str, request: Request) -> Future[bytes]:
        """Queue a request; its frame comes as the future's result, and a newer one of the same kind replaces it."""
        with self._views_lock:
            self._sessions.add(session)
        return self._worker.submit(session, request.type, lambda: self._answer(session, request))

    def _looks_at(self, session: str, request: Request, preference: tuple[float, ...]) -> None:
        """Note what a session has on screen, for working ahead."""
        with self._views_lock:
            self._views.pop(session, None)
            if session in self._sessions:
                self._views[session] = View(request.model, request.image, request.errors, preference)

    def forget(self, session: str) -> None:
        """A session has gone."""
        self._worker.forget(session)
        with self._views_lock:
            self._sessions.discard(session)
            self._views.pop(session, None)

    def close(self) -> None:
        """End the worker."""
        self._worker.close()

    # -- called in the worker's thread -------------------------------------------------------------------------------
    def _answer(self, session: str, request: Request) -> bytes:
        loaded = self.registry.get(request.model)
        with self._views_lock:
            self._shown[request.model] = (loaded.key, loaded.entry)
        if request.type == "gallery":
            small = [thumbnail(loaded, image, self.uploads) for image in request.images]
            header = {"type": "gallery", "seq": request.seq, "images": list(request.images)}
            return pack(header, [picture or b"" for picture in small])
        if request.type == "scene":
            answer = self._scene(loaded, request.image).describe()
            return pack({**answer.header, "seq": request.seq}, answer.blobs)
        _check_length(loaded, request)
        preference = snap(request.preference, request.exact)
        start = time.perf_counter()
        answer = self.predict(loaded, request.image, preference, request.errors)
        self._looks_at(session, request, preference)
        spent = round(1000 * (time.perf_counter() - start), 1)
        return pack({**answer.header, "seq": request.seq, "cached": False, "total_ms": spent}, answer.blobs)

    def predict(
        self, loaded: LoadedModel, image: str, preference: tuple[float, ...], errors: tuple[str, ...] = ()
    ) -> Encoded:
        """The pictures of ``image`` at λ [T], from the cache or computed; only for the worker's thread."""
        key: Key = (loaded.key, image, preference, errors)
        answer = self.answers.get(key)
        if answer is not None:
            return answer
        scene = self._scene(loaded, image)
        served = self._network(loaded, scene)
        start = time.perf_counter()
        predictions = served.network(scene.x, torch.tensor(preference))
        spent = 1000 * (time.perf_counter() - start)
        with torch.inference_mode():
            answer = scene.draw(predictions, errors)
        answer.header.update(preference=list(preference), network_ms=round(spent, 2), precision=served.format)
        self.answers.put(key, answer)
        return answer

    def _scene(self, loaded: LoadedModel, image: str) -> Scene:
        key = (loaded.key, image)
        if not image.startswith(SAMPLE):
            self.uploads.get(image)  # refuses expired ones, and notes that this one is in use
        scene = self._scenes.get(key)
        if scene is None:
            scene = self._scenes[key] = make_scene(loaded, image, self.uploads)
            while len(self._scenes) > KEPT_SCENES:
                self._scenes.popitem(last=False)
        self._scenes.move_to_end(key)
        return scene

    def _network(self, loaded: LoadedModel, scene: Scene) -> ServedNetwork:
        served = self._networks.get(loaded.key)
        if served is None:
            example = scene.x if loaded.example is None else loaded.example
            served = self._networks[loaded.key] = ServedNetwork(loaded, example)
            while len(self._networks) > KEPT_NETWORKS:
                self._networks.popitem(last=False)
        self._networks.move_to_end(loaded.key)
        return served

    def _work_ahead(self) -> bool:
        """Look for a faster format, then compute one more λ of the views on screen; False when all are complete."""
        if any(served.improve() for served in reversed(self._networks.values())):
            return True
        with self._views_lock:
            views = list(self._views.values())[-KEPT_VIEWS:]
        # No more than is kept: views that drove each other's answers out would be computed for ever.
        typical = self.answers.used / max(1, len(self.answers))
        room = int(0.9 * self.answers.capacity / max(1.0, typical * len(views)))
        return any(len(view.preference) in STEPS and self._extend(view, room) for view in reversed(views))

    def _extend(self, view: View, room: int) -> bool:
        try:
            loaded = self.registry.get(view.model)
            for preference in islice(_nearest_first(view.preference), room):
                if (loaded.key, view.image, preference, view.errors) not in self.answers:
                    self.predict(loaded, view.image, preference, view.errors)
                    return True
        except UserError:
            return False  # the model or the upload has gone meanwhile; whoever asks for it is told
        return False


def _nearest_first(preference: tuple[float, ...]) -> Iterator[tuple[float, ...]]:
    """The lattice of the simplex, the λ's around the present one first."""
    lattice = simplex_lattice(len(preference), STEPS[len(preference)]).tolist()
    lattice.sort(key=lambda point: sum((a - b) ** 2 for a, b in zip(point, preference)))
    for point in lattice:
        yield snap(point)


def _check_length(loaded: LoadedModel, request: Request) -> None:
    if len(request.preference) != loaded.num_tasks:
        raise UserError(
            f"The preference has {len(request.preference)} numbers, this model has {loaded.num_tasks} tasks."
        )


def _one_thread() -> None:
    """Several OpenMP threads would wait for each other as soon as anything else runs on the machine."""
    torch.set_num_threads(1)
