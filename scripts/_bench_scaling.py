"""Cost against T and r: parameters, CPU time of a step and the memory it needs at most, T = 2 … 40 and r = 1 … 16.

Two settings of each body. "one head": the network is the same for every T, so that the adapters alone are measured,
and Eq. 1 makes them linear in T·r. "T heads": as the benchmarks are, where each of T heads carries T adapters of its
own, which adds T²·r small factors to the T·r of the body.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from _measure import Figure, interleaved
from torch import Tensor, nn

from palora_core.balancing.linear import Linear
from palora_core.conditioning.lowrank import palorize
from palora_core.machine import channels_last, describe
from palora_core.networks.mlp import mlp
from palora_core.networks.resnet import resnet18
from palora_core.sources import whole_step
from palora_core.storage.writing import write_json
from palora_core.tasks import Regression
from palora_core.training.engine import Sequential

TASKS, RANKS = (2, 4, 7, 10, 20, 40), (1, 4, 16)
BODIES: dict[str, tuple[Callable[[dict[str, int]], nn.Module], tuple[int, ...]]] = {
    "MLP 21-256-256-256": (lambda outputs: mlp(outputs, 21, (256, 256, 256)), (256, 21)),
    "ResNet-18, 32 × 32": (lambda outputs: resnet18(outputs, size=32, width=0.5), (16, 3, 32, 32)),
}
QUANTITIES = {"parameters": "adapter parameters", "seconds": "CPU time of a step", "bytes": "peak memory of a step"}
GOAL = 1.05  # exponent of the growth above the base


@dataclass(frozen=True)
class Row:
    """One measurement; the base is the plain network's step, without adapters."""

    body: str
    heads: str
    tasks: int
    rank: int
    parameters: int
    seconds: float
    bytes: int
    base_parameters: int
    base_seconds: float
    base_bytes: int

    def above_base(self, quantity: str) -> float:
        """What adapters add."""
        value = getattr(self, quantity)
        return float(value if quantity == "parameters" else value - getattr(self, f"base_{quantity}"))


class OneHead(nn.Module):
    """The same network for every T: each task reads the same output."""

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.network, self.names = network, names

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return dict.fromkeys(self.names, self.network(x)["all"])


def measure(body: str, heads: str, num_tasks: int, ranks: Sequence[int], repetitions: int) -> list[Row]:
    """Rows of one T, all ranks beside the plain network in the same rounds."""
    build, shape = BODIES[body]
    names = [f"t{i}" for i in range(num_tasks)]
    torch.manual_seed(0)
    network = OneHead(build({"all": 1}), names) if heads == "one head" else build(dict.fromkeys(names, 1))
    tasks = [Regression(name) for name in names]
    x = channels_last(torch.rand(shape))
    targets = {name: torch.rand(shape[0]) for name in names}
    preference = torch.full((1, num_tasks), 1 / num_tasks)

    def plain() -> None:
        network.zero_grad(set_to_none=True)
        outputs = network(x)
        sum(task.loss(outputs, (None, targets)) / num_tasks for task in tasks).backward()

    def adapted(model: nn.Module) -> Callable[[], None]:
        engine = Sequential(model, tasks, Linear())  # type: ignore[arg-type]

        def step() -> None:
            model.zero_grad(set_to_none=True)
            engine(whole_step((x, targets), num_tasks), preference)

        return step

    models = {rank: palorize(network, num_tasks, rank) for rank in ranks}
    steps: dict[str, Callable[[], object]] = {"plain": plain, **{str(r): adapted(m) for r, m in models.items()}}
    times = interleaved(steps, repetitions, 20)
    base = sum(p.numel() for p in network.parameters()), times["plain"].median_cpu, peak_bytes(plain)
    return [
        Row(
            *(body, heads, num_tasks, rank, models[rank].num_adapter_parameters),
            *(times[str(rank)].median_cpu, peak_bytes(steps[str(rank)]), *base),
        )
        for rank in ranks
    ]


def peak_bytes(function: Callable[[], object]) -> int:
    """Most bytes that ``function`` has allocated at once: activations, weights that it makes, gradients."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True, acc_events=True) as profiler:
        function()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    changes = sorted((e["ts"], e["args"]["Bytes"]) for e in events if e.get("name") == "[memory]")
    return max(accumulate(change for _, change in changes), default=0)


def exponent(rows: Sequence[Row], quantity: str) -> float:
    """p where what adapters add grows as T^p: least squares of the logarithms, the largest of all ranks."""
    found = []
    for rank in {row.rank for row in rows}:
        own = [row for row in rows if row.rank == rank and row.above_base(quantity) > 0]
        if len(own) > 1:
            logs = np.log([[row.tasks, row.above_base(quantity)] for row in own])
            found.append(float(np.polyfit(logs[:, 0], logs[:, 1], 1)[0]))
    return max(found, default=float("nan"))


def scaling(out: Path, quick: bool) -> list[Figure]:
    """Measure, write ``scaling.json`` and ``scaling.png`` into ``out``; the goal is an exponent of at most 1."""
    tasks, ranks = ((2, 7), (1, 4)) if quick else (TASKS, RANKS)
    rows: list[Row] = []
    for body in BODIES:
        for heads in ("one head", "T heads"):
            for num_tasks in tasks:
                rows += measure(body, heads, num_tasks, ranks, 3 if quick else 5)
                print(f"{body}, {heads}, T = {num_tasks}", flush=True)
    figures = []
    for body in BODIES:
        for heads in ("one head", "T heads"):
            own = [row for row in rows if (row.body, row.heads) == (body, heads)]
            for quantity, label in QUANTITIES.items():
                name = f"{body}, {heads}: what adapters add to the {label} grows as T^"
                goal = GOAL if heads == "one head" else None
                figures.append(Figure(name, exponent(own, quantity), goal, ""))
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "scaling.json", {"machine": describe(), "rows": [asdict(row) for row in rows]})
    draw(rows, out / "scaling.png")
    return figures


def draw(rows: Sequence[Row], path: Path) -> None:
    """What a step costs against T: a row of plots per body, a column per quantity, a line per rank."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    scale = {"parameters": (1e-6, "adapter parameters, millions"), "seconds": (1e3, "CPU ms of a step (M = 1)")}
    scale["bytes"] = (2.0**-20, "peak memory of a step, MiB")
    ranks = sorted({row.rank for row in rows})
    figure, grid = pyplot.subplots(len(BODIES), len(scale), figsize=(13, 7.5), layout="constrained", squeeze=False)
    for line, body in zip(grid, BODIES):
        own = [row for row in rows if (row.body, row.heads) == (body, "T heads")]
        for axes, (quantity, (factor, label)) in zip(line, scale.items()):
            for rank, colour in zip(ranks, ("#1f6fb4", "#c4682b", "#5b8c3a")):
                chosen = [row for row in own if row.rank == rank]
                values = [factor * getattr(row, quantity) for row in chosen]
                axes.plot([row.tasks for row in chosen], values, "o-", color=colour, label=f"r = {rank}", ms=4)
            if quantity != "parameters":
                plain = [row for row in own if row.rank == ranks[0]]
                values = [factor * getattr(row, f"base_{quantity}") for row in plain]
                axes.plot([row.tasks for row in plain], values, ":", color="grey", label="without adapters")
            axes.set(xlabel="tasks T", ylabel=label, title=f"{body}, T heads")
            axes.set_ylim(bottom=0)
            axes.grid(alpha=0.25)
            axes.legend(frameon=False)
    figure.suptitle("What PaLoRA costs with more tasks")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
