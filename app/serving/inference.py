"""Pictures for λ after λ: one queue for all sessions, a cache of answers, and work ahead while nobody asks."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from app.library.entries import Entry
from app.library.loading import LoadedModel
from app.library.models import ModelRegistry
from app.pictures.scenes import SAMPLE, Encoded, thumbnail
from app.pictures.uploads import UploadStore
from app.serving.cache import ByteCache
from app.serving.precision import written
from app.serving.protocol import STEPS, Request, pack, snap
from app.serving.stage import Stage
from app.serving.streams import Stream, Streams
from app.serving.worker import Worker
from palora_core.errors import UserError, quoted
from palora_core.simplex import simplex_lattice

CACHE_BYTES = 192 * 2**20
KEPT_STAGES = 4
# Models whose answers are looked up without asking the worker.
KEPT_SHOWN = 64
# Views whose lattice is computed ahead; more sessions than this share what the others computed.
KEPT_VIEWS = 8

Key = tuple[str, str, tuple[float, ...], tuple[str, ...], bool]


@dataclass(frozen=True)
class Shown:
    """A model that was answered for: the key of its answers, whose they are, and its tasks with pictures."""

    key: str
    entry: Entry
    pictured: tuple[str, ...]

    @classmethod
    def of(cls, loaded: LoadedModel) -> Shown:
        """What is noted of a model."""
        return cls(loaded.key, loaded.entry, loaded.pictured)

    def errors(self, request: Request) -> tuple[str, ...]:
        """Those of the tasks named that can be shown as errors: what is made up by a client is in no key."""
        with_truth = request.image.startswith(SAMPLE)
        return tuple(name for name in self.pictured if with_truth and name in request.errors)


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
        uploads: people's own inputs.
        work_ahead: compute the lattice of the images on screen while nobody asks.
    """

    def __init__(self, registry: ModelRegistry, uploads: UploadStore, work_ahead: bool = True) -> None:
        self.registry = registry
        self.uploads = uploads
        self.answers: ByteCache[Encoded] = ByteCache(CACHE_BYTES)
        self._sessions: set[str] = set()  # who is here; one may leave while it is being answered
        self._views: OrderedDict[str, View] = OrderedDict()
        self._views_lock = threading.Lock()
        self._shown: OrderedDict[str, Shown] = OrderedDict()  # by model id
        self._stages: OrderedDict[str, Stage] = OrderedDict()
        self.streams = Streams()
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
        preference, errors = snap(request.preference, request.exact), shown.errors(request)
        answer = self.answers.get((shown.key, request.image, preference, errors, request.exact))
        if answer is None or not shown.entry.is_current():  # trained again or replaced: the worker looks what is there
            return None
        self._looks_at(session, View(request.model, request.image, errors, preference))
        self._worker.stay_away()
        return pack({**answer.header, "seq": request.seq, "cached": True}, answer.blobs)

    def submit(self, session: str, request: Request) -> Future[bytes]:
        """Queue a request; its frame comes as the future's result, and a newer one of the same kind replaces it."""
        with self._views_lock:
            self._sessions.add(session)
        return self._worker.submit(session, request.type, lambda: self._answer(session, request))

    def advance(self, session: str, stream: Stream) -> Future[bytes]:
        """Queue the next part of a stream; b"" where there is nothing to be seen of it yet.

        From its second part on it waits behind whoever drags.

        Whoever asks says when it is over (:meth:`finish`): a part that nobody asks for is not computed.

        Raises:
            UserError: too many streams at once.
        """
        self.streams.enter(stream)
        return self._worker.submit(session, "stream", lambda: self._advance(stream), patient=stream.begun)

    def finish(self, stream: Stream) -> None:
        """A stream is over, or nobody wants the rest of it."""
        self.streams.leave(stream)
        stream.end()

    def _looks_at(self, session: str, view: View) -> None:
        """Note what a session has on screen, for working ahead."""
        with self._views_lock:
            self._views.pop(session, None)
            if session in self._sessions:
                self._views[session] = view

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
        shown = self._note(request.model, loaded)
        if request.type == "gallery":
            small = [thumbnail(loaded, image, self.uploads) for image in request.images]
            header = {"type": "gallery", "seq": request.seq, "images": list(request.images)}
            return pack(header, [picture or b"" for picture in small])
        if request.type == "scene":
            answer = self._described(loaded, request.image)
            return pack({**answer.header, "seq": request.seq}, answer.blobs)
        _check_length(loaded, request)
        preference, errors = snap(request.preference, request.exact), shown.errors(request)
        start = time.perf_counter()
        answer = self.predict(loaded, request.image, preference, errors, request.exact)
        self._looks_at(session, View(request.model, request.image, errors, preference))
        spent = round(1000 * (time.perf_counter() - start), 1)
        return pack({**answer.header, "seq": request.seq, "cached": False, "total_ms": spent}, answer.blobs)

    def _advance(self, stream: Stream) -> bytes:
        if stream.parts is None and not stream.done:
            request = stream.request
            loaded = self.registry.get(request.model)
            _check_length(loaded, request)
            stage = self._stage(loaded)
            scene = stage.scene(request.image)
            at = torch.tensor(snap(request.preference, request.exact))
            stream.parts = scene.go_on(stage.network(scene).network, at, request.seed)
        return b"" if stream.done else stream.advance()

    def _described(self, loaded: LoadedModel, image: str) -> Encoded:
        """A scene, and where on the pad the decisions about it flip."""
        stage = self._stage(loaded)
        scene = stage.scene(image)
        answer = scene.describe()
        if loaded.input_view.flips:
            answer.header["flips"] = scene.flips(stage.network(scene).exact)
        return answer

    def predict(
        self,
        loaded: LoadedModel,
        image: str,
        preference: tuple[float, ...],
        errors: tuple[str, ...] = (),
        exact: bool = False,
    ) -> Encoded:
        """The pictures of ``image`` at λ [T], from the cache or computed; only for the worker's thread.

        Raises:
            UserError: no such image, or a model that gives no numbers at this λ.
        """
        key: Key = (loaded.key, image, preference, errors, exact)
        answer = self.answers.get(key)
        if answer is not None:
            return answer
        stage = self._stage(loaded)
        scene = stage.scene(image)
        served = stage.network(scene)
        start = time.perf_counter()
        network = served.exact if exact else served.network
        predictions = loaded.predictions(network(scene.x, torch.tensor(preference)))
        spent = 1000 * (time.perf_counter() - start)
        _check_numbers(loaded, predictions, preference)
        with torch.inference_mode():
            many = None if loaded.crowd is None else network(loaded.crowd[0], torch.tensor(preference))
            answer = scene.draw(predictions, errors, many)
        answer.header.update(preference=list(preference), network_ms=round(spent, 2), precision=written(network))
        self.answers.put(key, answer)
        return answer

    def _note(self, model: str, loaded: LoadedModel) -> Shown:
        shown = Shown.of(loaded)
        with self._views_lock:
            self._shown[model] = shown
            self._shown.move_to_end(model)
            while len(self._shown) > KEPT_SHOWN:
                self._shown.popitem(last=False)
        return shown

    def _stage(self, loaded: LoadedModel) -> Stage:
        stage = self._stages.get(loaded.key)
        if stage is None:
            stage = self._stages[loaded.key] = Stage(loaded, self.uploads)
            while len(self._stages) > KEPT_STAGES:
                self._stages.popitem(last=False)
        self._stages.move_to_end(loaded.key)
        return stage

    def _work_ahead(self) -> bool:
        """Look for a faster format, then compute one more λ of the views on screen; False when all are complete."""
        if any(stage.improve() for stage in reversed(self._stages.values())):
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
                if (loaded.key, view.image, preference, view.errors, False) not in self.answers:
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


def _check_numbers(loaded: LoadedModel, predictions: Mapping[str, Tensor], preference: Sequence[float]) -> None:
    """Refuse what could only be drawn as a picture of nothing."""
    named = {id(prediction): name for name, prediction in predictions.items()}  # objectives may share one
    for name in named.values():
        # A sum settles nearly all of them, at a tenth of the time; one that overflows is looked at closely.
        if not torch.isfinite(predictions[name].sum()) and not torch.isfinite(predictions[name]).all():
            told = ", ".join(f"{value:.2f}" for value in preference[:4]) + (", …" if len(preference) > 4 else "")
            raise UserError(
                f"At λ = ({told}) this model's {quoted(name)} is no finite number: its training diverged, or λ is "
                "too far off the simplex; choose another λ or another model."
            )


def _one_thread() -> None:
    """Several OpenMP threads would wait for each other as soon as anything else runs on the machine."""
    torch.set_num_threads(1)
