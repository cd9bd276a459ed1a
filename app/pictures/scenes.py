"""What is on screen: one input with its ground truth, drawn once, and its predictions, drawn for every λ."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from app.analysis.flips import flips
from app.kinds import View
from app.library.loading import LoadedModel
from app.pictures import drawing
from app.pictures.drawing import Picture
from app.pictures.uploads import UploadStore
from palora_core.batches import mapped
from palora_core.errors import UserError
from palora_core.serving import Served
from palora_core.tasks import Task

SAMPLE = "sample-"
THUMBNAIL = (120, 80)


@dataclass(frozen=True)
class Encoded:
    """An answer without its sequence number: JSON header and pictures, bare or as files."""

    header: dict[str, Any]
    blobs: tuple[bytes, ...]


@dataclass(eq=False)
class Scene:
    """One input of one model.

    Attributes:
        loaded: the model.
        image: image id.
        x: network input [1, …], or a nesting of them.
        targets: ground truth by task name, without the batch dimension; empty for uploads.
        shown: the input as people see it, see :class:`palora_core.inputs.Input`.
    """

    loaded: LoadedModel
    image: str
    x: Any
    targets: dict[str, Tensor]
    shown: Any
    _flips: list[dict[str, Any]] | None = None

    @property
    def picture(self) -> np.ndarray | None:
        """The input as RGB [H, W, 3]; None where it is no picture."""
        return self.loaded.input_view.picture(self.shown)

    def describe(self) -> Encoded:
        """The input, the ground truth and the legends."""
        pictures = _Pictures()
        picture = self.picture
        if picture is not None:
            pictures.add(drawing.draw_input(picture), view="input")
        tasks = {}
        for name, view in self.loaded.views.items():
            entry: dict[str, Any] = {"legend": view.legend()}
            target = self.targets.get(name)
            if target is not None and view.pictured:
                pictures.add(view.draw_target(target), view="truth", task=name)
            elif target is not None:
                entry["truth"] = view.target_values(target)
            tasks[name] = entry
        header = {"type": "scene", "tasks": tasks, "truth": bool(self.targets), "pictures": pictures.headers}
        if picture is None:
            header["input"] = self.loaded.input_view.told(self.shown)
        return Encoded(header, tuple(pictures.blobs))

    def go_on(self, network: Served, preference: Tensor, seed: int) -> Iterator[dict[str, Any] | None]:
        """What goes on from this input at λ [T], part by part, see :meth:`app.kinds.View.go_on`.

        Raises:
            UserError: nothing of this model does.
        """
        view = self.loaded.going
        if view is None:
            raise UserError("Nothing goes on from the inputs of this model; drag λ to see what it predicts.")
        return view.go_on(network, self.x, preference, seed)

    def flips(self, network: Callable[[Any, Tensor], Any]) -> list[dict[str, Any]]:
        """Where λ flips the decisions about this input, found once: ``marks`` on the pad and a sentence for each."""
        if self._flips is None:
            self._flips = []
            for task in self.loaded.predicting:
                view = self.loaded.views[task.name]
                if view.decides:
                    found = flips(network, self.x, partial(_decision, task, view), self.loaded.num_tasks)
                    if found is not None:
                        told = found.told(task.name.replace("_", " "), view.legend().get("classes", ()))
                        self._flips.append({"task": task.name, "marks": found.marks, "told": told})
        return self._flips

    def draw(self, predictions: dict[str, Tensor], errors: Sequence[str], many: Any = None) -> Encoded:
        """Predictions by task name [1, …] (errors for the tasks named), and the metrics of this one item.

        Objectives that predict nothing are told from ``many``, the outputs for the model's crowd at the same λ.
        """
        pictures, values, metrics = _Pictures(), {}, {}
        crowd, told_of = self.loaded.crowd, set()
        predicting = {task.name for task in self.loaded.predicting}
        for name, view in self.loaded.views.items():
            if name not in predicting:  # a picture has no values: a browser would look for where to write them
                values[name] = {"rows": []} if crowd is None or many is None else view.of_many(many, crowd)
        for task in self.loaded.predicting:
            prediction, target = predictions[task.name], self.targets.get(task.name)
            view = self.loaded.views[task.name]
            if view.joint and type(view) in told_of:
                values[task.name] = {}
            elif not view.pictured:
                values[task.name] = view.values_of(prediction[0], self.x)
                told_of.add(type(view))
            elif task.name in errors and target is not None:
                pictures.add(view.draw_error(prediction[0], target), view="error", task=task.name)
            else:
                pictures.add(view.draw(prediction[0]), view="prediction", task=task.name)
            if target is not None:
                metrics[task.name] = _metrics(task, prediction, target[None])
        header = {"type": "prediction", "values": values, "metrics": metrics, "pictures": pictures.headers}
        return Encoded(header, tuple(pictures.blobs))


def _decision(task: Task, view: View, outputs: Any) -> Tensor:
    return view.decision(task.prediction_of(outputs)[0])


def as_file(what: Mapping[str, Any], data: bytes) -> bytes:
    """A picture of an answer, of which the header says ``what`` it is, as a file."""
    if "mime" in what:
        return data
    return Picture.from_bare(data, what["colours"], what["height"], what["width"]).encode()[0]


class _Pictures:
    """Encoded pictures and, in the same order, what each of them is."""

    def __init__(self) -> None:
        self.headers: list[dict[str, Any]] = []
        self.blobs: list[bytes] = []

    def add(self, picture: Picture, **what: Any) -> None:
        """Encode one picture."""
        height, width = picture.pixels.shape[:2]
        bare = picture.bare()
        if bare is None:
            data, mime = picture.encode()
            what["mime"] = mime
        else:
            data, what["colours"] = bare
        self.headers.append({**what, "width": width, "height": height})
        self.blobs.append(data)


def make_scene(loaded: LoadedModel, image: str, uploads: UploadStore) -> Scene:
    """The scene of an image id: ``sample-3`` or the token of an upload.

    Raises:
        UserError: no such image, or one that this model cannot take.
    """
    if not image.startswith(SAMPLE):
        return _uploaded(loaded, image, uploads)
    if loaded.samples is None or image not in sample_ids(loaded):  # these only: keys of caches are made of them
        raise UserError("This model has no such sample; choose one of its own.")
    x, targets = loaded.samples.batch(torch.tensor([int(image.removeprefix(SAMPLE))]))
    if loaded.going is not None:  # its own truth
        x, targets = loaded.going.excerpt(x), {}
    shown = loaded.input_view.input.to_shown(mapped(lambda tensor: tensor[0], x))
    truth = {name: target[0] for name, target in loaded.truth((x, targets)).items()}
    return Scene(loaded, image, x, truth, shown)


def sample_ids(loaded: LoadedModel) -> list[str]:
    """Image ids of the samples that came with a model."""
    return [f"{SAMPLE}{index}" for index in range(0 if loaded.samples is None else len(loaded.samples))]


def labelled(loaded: LoadedModel) -> list[tuple[str, str]]:
    """(image id, name for people) of the samples, which people count from one."""
    return list(zip(sample_ids(loaded), loaded.sample_titles))


def note(loaded: LoadedModel, image: str, uploads: UploadStore) -> str:
    """What is to be known of a person's own input under this model; "" for samples and expired ones."""
    if image.startswith(SAMPLE) or image not in uploads:
        return ""
    own = loaded.input_view
    unknown = "Its ground truth is unknown, so no figures"
    if not own.foreign:
        return f"Your own {own.noun}. {unknown} of it stand here."
    kind, sent = loaded.input_view.input, uploads.get(image)
    lost = kind.lost(sent) if loaded.going is None else loaded.going.left_out(kind.to_input(sent))
    cut = f"{lost} " if lost else ""
    title = loaded.benchmark.title or loaded.entry.benchmark
    if loaded.going is not None:
        return f"Your own {loaded.input_view.noun}. {cut}".strip()
    far = loaded.familiarity.sentence(kind.to_input(sent)) if loaded.familiarity is not None else ""
    said = [f"Your own {own.noun}; this model was trained on other data, {title}: expect mistakes.", far, lost]
    return " ".join([*filter(None, said), f"{unknown} stand here."])


def thumbnail(loaded: LoadedModel, image: str, uploads: UploadStore) -> bytes | None:
    """A small WebP picture of an input, or None where inputs are no pictures."""
    if not loaded.input_view.pictured:
        return None
    scene = make_scene(loaded, image, uploads)
    if scene.picture is None:
        return None
    small = Image.fromarray(scene.picture)
    small.thumbnail(THUMBNAIL)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=80)
    return buffer.getvalue()


def _uploaded(loaded: LoadedModel, token: str, uploads: UploadStore) -> Scene:
    sent, kind = uploads.get(token), loaded.input_view.input
    if not kind.takes(sent):
        raise UserError("This model reads other inputs than the one that was sent; choose one of its samples.")
    x = kind.to_input(sent)
    if loaded.going is not None:
        x = loaded.going.excerpt(x, own=True)
    return Scene(loaded, token, x, {}, kind.to_shown(mapped(lambda tensor: tensor[0], x)))


def _metrics(task: Task, prediction: Tensor, target: Tensor) -> dict[str, float | None]:
    return {name: value if np.isfinite(value) else None for name, value in task.score(prediction, target).items()}
