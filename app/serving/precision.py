"""Which precision a model is served in: bfloat16 where the processor is fast at it and the pictures stay the same."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from app.library.models import LoadedModel
from palora_core.machine import has_fast_bf16
from palora_core.serving import LiveNetwork
from palora_core.simplex import simplex_lattice
from palora_core.tasks import Task

LABELS_AGREE = 0.995
VALUES_AGREE = 0.01
ANGLES_AGREE = 1.0
# A lower precision must be worth its small differences.
WORTH = 0.85


def choose_network(loaded: LoadedModel, example: Tensor | None) -> LiveNetwork:
    """The network to serve ``loaded`` with, in the fastest precision whose pictures agree with float32's."""
    exact = LiveNetwork(loaded.model, example)
    if example is None or example.dim() != 4 or not has_fast_bf16(torch.device("cpu")):
        return exact
    half = LiveNetwork(loaded.model, example, torch.bfloat16)
    if not all(_same_pictures(loaded, exact, half, example, λ) for λ in _probes(loaded.num_tasks)):
        return exact
    one, centre = example[:1], _probes(loaded.num_tasks)[0]
    return half if _seconds(half, one, centre) < WORTH * _seconds(exact, one, centre) else exact


def _probes(num_tasks: int) -> list[Tensor]:
    """The centre and up to four corners."""
    centre = torch.full((num_tasks,), 1 / num_tasks)
    return [centre, *simplex_lattice(num_tasks, 1)[:4]] if num_tasks > 1 else [centre]


def _same_pictures(loaded: LoadedModel, a: LiveNetwork, b: LiveNetwork, example: Tensor, preference: Tensor) -> bool:
    first, second = a(example, preference), b(example, preference)
    return all(_agree(task, first[task.name], second[task.name]) for task in loaded.tasks)


def _agree(task: Task, first: Tensor, second: Tensor) -> bool:
    if not torch.isfinite(second).all():
        return False
    if task.kind == "segmentation":
        return bool((first.argmax(1) == second.argmax(1)).float().mean() >= LABELS_AGREE)
    if task.kind == "classification":
        return bool((first.softmax(1) - second.softmax(1)).abs().max() <= VALUES_AGREE)
    if task.kind == "normals":
        cosine = torch.nn.functional.cosine_similarity(first, second, dim=1).clamp(-1, 1)
        return bool(torch.rad2deg(torch.acos(cosine)).mean() <= ANGLES_AGREE)
    extent = float(first.max() - first.min()) or 1.0
    return bool((first - second).abs().mean() <= VALUES_AGREE * extent)


def _seconds(network: LiveNetwork, x: Tensor, preference: Tensor, runs: int = 4) -> float:
    """CPU time of the shortest of a few passes: wall time would measure whoever else uses the machine."""
    network(x, preference)
    best = float("inf")
    for _ in range(runs):
        start = time.thread_time()
        network(x, preference)
        best = min(best, time.thread_time() - start)
    return best
