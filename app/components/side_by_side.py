"""One image through two models at one λ: asks the server's inference queue, gives back what to show."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import TimeoutError as TooSlow
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import numpy as np
import torch

from app.library.loading import LoadedModel
from app.pictures.scenes import as_file, make_scene, sample_ids
from app.services import Services
from app.serving.protocol import Request, snap, unpack
from app.serving.streams import Stream
from palora_core.batches import tensors
from palora_core.errors import UserError

PATIENCE = 60.0
TIMED_PREDICTIONS = 6


@dataclass
class Answer:
    """What one model says about an image, or what is known about it.

    Attributes:
        pictures: task name (``"input"`` for the input) → encoded picture.
        values: task name → class probabilities or numbers.
        metrics: task name → metrics of this one image.
        milliseconds: of the network alone.
        told: the input where it is no picture, see :meth:`app.inputs.InputView.told`.
    """

    pictures: dict[str, bytes] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, dict[str, float | None]] = field(default_factory=dict)
    milliseconds: float = 0.0
    told: dict[str, Any] = field(default_factory=dict)


def predict(
    services: Services, model: str, image: str, preference: Sequence[float], errors: Sequence[str] = ()
) -> Answer:
    """Predictions of a model for an image at λ [T]; for the tasks in ``errors`` pictures of the error instead.

    Raises:
        UserError: no such model or image, or the server is too busy.
    """
    request = Request("predict", 0, model, (image,), tuple(preference), exact=True, errors=tuple(errors))
    header, blobs = _ask(services, [request])[0]
    pictures = {what["task"]: as_file(what, blob) for what, blob in zip(header["pictures"], blobs)}
    return Answer(pictures, header["values"], header["metrics"], header["network_ms"])


def truth(services: Services, model: str, image: str) -> Answer:
    """The input and the ground truth of an image."""
    header, blobs = _ask(services, [Request("scene", 0, model, (image,))])[0]
    pictures = {what.get("task", "input"): as_file(what, blob) for what, blob in zip(header["pictures"], blobs)}
    known = {name: entry["truth"] for name, entry in header["tasks"].items() if "truth" in entry}
    return Answer(pictures, known, told=header.get("input", {}))


def goes_on(services: Services, model: str, image: str, preference: Sequence[float], seed: int = 0) -> dict[str, Any]:
    """What goes on from an input at λ [T], to its end; see :meth:`app.kinds.View.go_on`.

    Raises:
        UserError: nothing does, no such model or image, or the server is too busy.
    """
    session, request = _session(), Request("stream", 0, model, (image,), tuple(preference), exact=True, seed=seed)
    stream, found = Stream(request), {}
    deadline = time.monotonic() + PATIENCE
    try:
        while not stream.done:
            left = deadline - time.monotonic()
            frame = services.inference.advance(session, stream).result(timeout=max(0.0, left))
            found |= unpack(frame)[0] if frame else {}
    except TooSlow:
        raise UserError("The server is too busy to answer; try again in a moment.") from None
    finally:
        services.inference.finish(stream)
        services.inference.forget(session)
    return found


def prediction_time(services: Services, model: str) -> float | None:
    """Milliseconds of one prediction, a new λ included: the best of a few, as others use the machine too.

    Raises:
        UserError: the model cannot be loaded, or the server is too busy.
    """
    loaded = services.registry.get(model)
    images = sample_ids(loaded)
    if not images:
        return None
    rng = np.random.default_rng()  # λ's that no cache has seen
    rows = rng.dirichlet(np.ones(loaded.num_tasks), TIMED_PREDICTIONS)
    requests = [Request("predict", 0, model, (images[0],), tuple(row), exact=True) for row in rows.tolist()]
    return min(header["network_ms"] for header, _ in _ask(services, requests))


def predict_on(
    services: Services, source: LoadedModel, loaded: LoadedModel, image: str, preference: Sequence[float]
) -> Answer:
    """Predictions of ``loaded`` for a sample of ``source``, drawn in the colours of ``source``: one input, one scale.

    Raises:
        UserError: the two take inputs, or have tasks, of different forms.
    """
    alike = same_image(source, loaded, image) and same_colours(source, loaded) and source.tasks == loaded.tasks
    if source.entry.id == loaded.entry.id or alike:
        return predict(services, loaded.entry.id, image, preference)
    if len(preference) != source.num_tasks:
        raise UserError(f"The preference has {len(preference)} numbers, these models have {source.num_tasks} tasks.")
    scene = make_scene(source, image, services.uploads)
    if loaded.tasks != source.tasks or (loaded.example is not None and _form(loaded.example) != _form(scene.x)):
        raise UserError(
            f"{loaded.entry.title} takes other inputs than {source.entry.title}, or has other tasks, so the two cannot "
            "be compared on one image; choose models of one benchmark with the same options."
        )
    at = torch.tensor(snap(preference, exact=True))
    try:
        with torch.inference_mode():
            answer = scene.draw(loaded.predictions(loaded.caller.at(loaded.model, scene.x, at)), ())
    except RuntimeError:  # shapes that do not fit
        raise UserError(f"{loaded.entry.title} cannot read the samples of {source.entry.title}.") from None
    pictures = {what["task"]: as_file(what, blob) for what, blob in zip(answer.header["pictures"], answer.blobs)}
    return Answer(pictures, answer.header["values"], answer.header["metrics"])


def _form(inputs: Any) -> list[torch.Size]:
    """Shapes of the inputs' tensors without the batch dimension."""
    return [tensor.shape[1:] for tensor in tensors(inputs)]


def same_image(first: LoadedModel, second: LoadedModel, image: str) -> bool:
    """Whether a sample of one model is the same data in the other."""
    if first.samples is None or second.samples is None or image not in sample_ids(second):
        return False
    place = int(image.rpartition("-")[2])
    a, b = (np.asarray(loaded.samples.inputs[place]) for loaded in (first, second))  # type: ignore[union-attr]
    return a.shape == b.shape and bool(np.array_equal(a, b))


def same_colours(first: LoadedModel, second: LoadedModel) -> bool:
    """Whether what is shown is read in the same way in both: one colour stands for one value."""
    return [view.legend() for view in first.views.values()] == [view.legend() for view in second.views.values()]


def _ask(services: Services, requests: Sequence[Request]) -> list[tuple[dict[str, Any], list[bytes]]]:
    """Answers one after the other, in a session of its own that is forgotten afterwards."""
    session = _session()
    try:
        frames = [services.inference.submit(session, request).result(timeout=PATIENCE) for request in requests]
    except TooSlow:
        raise UserError("The server is too busy to answer; try again in a moment.") from None
    finally:
        services.inference.forget(session)
    return [unpack(frame) for frame in frames]


def _session() -> str:
    return f"compare-{uuid4().hex}"
