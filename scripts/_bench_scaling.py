"""Cost against T·r: parameters, CPU time of a step and bytes saved for backward, T = 2 … 40 and r = 1 … 16.

Two settings of each body. "one head": the network is the same for every T (one layer gives all outputs' worth of
features), so what is measured is the adapters alone, and Eq. 1 makes it linear in T·r. "T heads": as the benchmarks
are, where each of T heads carries T adapters of its own, so that heads add T²·r small factors to the T·r of the body.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from _bench_core import saved_bytes
from _measure import Figure, interleaved
from torch import Tensor, nn

from palora_core.balancing.linear import Linear
from palora_core.conditioning.lowrank import palorize
from palora_core.engine import sequential
from palora_core.machine import channels_last
from palora_core.networks.mlp import mlp
from palora_core.networks.resnet import resnet18
from palora_core.tasks import Regression

TASKS, RANKS = (2, 4, 7, 10, 20, 40), (1, 4, 16)
BODIES: dict[str, tuple[Callable[[dict[str, int]], nn.Module], tuple[int, ...]]] = {
    "MLP 21-256-256-256": (lambda outputs: mlp(outputs, 21, (256, 256, 256)), (256, 21)),
    "ResNet-18, 32 × 32": (lambda outputs: resnet18(outputs, size=32, width=0.5), (16, 3, 32, 32)),
}
QUANTITIES = {"parameters": "adapter parameters", "seconds": "CPU s of a step", "bytes": "bytes saved for backward"}
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
        sum(task.loss(outputs[task.name], targets[task.name]) / num_tasks for task in tasks).backward()

    def adapted(model: nn.Module) -> Callable[[], None]:
        def step() -> None:
            model.zero_grad(set_to_none=True)
            sequential(model, (x, targets), tasks, preference, Linear())  # type: ignore[arg-type]

        return step

    models = {rank: palorize(network, num_tasks, rank) for rank in ranks}
    steps: dict[str, Callable[[], object]] = {"plain": plain, **{str(r): adapted(m) for r, m in models.items()}}
    times = interleaved(steps, repetitions, 20)
    base = sum(p.numel() for p in network.parameters()), times["plain"].median_cpu, saved_bytes(plain)
    return [
        Row(
            *(body, heads, num_tasks, rank, models[rank].num_adapter_parameters),
            *(times[str(rank)].median_cpu, saved_bytes(steps[str(rank)]), *base),
        )
        for rank in ranks
    ]


def fit(rows: Sequence[Row], quantity: str) -> dict[str, float]:
    """Least squares of a + b·T·r, R², and the exponent of what is above the base, from the upper half of T·r."""
    product = np.array([row.tasks * row.rank for row in rows], float)
    values = np.array([row.above_base(quantity) for row in rows])
    slope, intercept = np.polyfit(product, values, 1)
    left = values - slope * product - intercept
    large = (product >= np.median(product)) & (values > 0)
    exponent = np.polyfit(np.log(product[large]), np.log(values[large]), 1)[0] if large.sum() > 1 else float("nan")
    explained = 1 - (left**2).sum() / max(((values - values.mean()) ** 2).sum(), 1e-30)
    return {"slope": float(slope), "base": float(intercept), "r_squared": float(explained), "exponent": float(exponent)}


def scaling(out: Path, quick: bool) -> list[Figure]:
    """Measure, write ``scaling.json`` and ``scaling.png`` into ``out``; the goal is an exponent of at most 1."""
    tasks, ranks = ((2, 7), (1, 4)) if quick else (TASKS, RANKS)
    rows: list[Row] = []
    for body in BODIES:
        for heads in ("one head", "T heads"):
            for num_tasks in tasks:
                rows += measure(body, heads, num_tasks, ranks, 3 if quick else 5)
                print(f"{body}, {heads}, T = {num_tasks}", flush=True)
    fits, figures = [], []
    for body in BODIES:
        for heads in ("one head", "T heads"):
            own = [row for row in rows if (row.body, row.heads) == (body, heads)]
            for quantity, label in QUANTITIES.items():
                line = fit(own, quantity)
                fits.append({"body": body, "heads": heads, "quantity": quantity, **line})
                goal = GOAL if heads == "one head" else None
                name = f"{body}, {heads}: {label} above the base grow as (T·r)^"
                figures.append(Figure(name, line["exponent"], goal, "", f"R² of the line {line['r_squared']:.4f}"))
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"rows": [asdict(row) for row in rows], "fits": fits}, indent=1)
    (out / "scaling.json").write_text(text + "\n")
    draw(rows, fits, out / "scaling.png")
    return figures


def draw(rows: Sequence[Row], fits: Sequence[dict], path: Path) -> None:
    """Measured points and fitted lines: one row per body, one column per quantity."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    scale = {"parameters": (1e-6, "adapter parameters, millions"), "seconds": (1e3, "CPU ms of a step")}
    scale["bytes"] = (2.0**-20, "MiB saved for backward")
    colours = {"one head": "#1f6fb4", "T heads": "#c4682b"}
    figure, grid = pyplot.subplots(len(BODIES), len(scale), figsize=(13, 7.5), layout="constrained")
    for line, body in zip(grid, BODIES):
        for axes, (quantity, (factor, label)) in zip(line, scale.items()):
            for heads, colour in colours.items():
                own = [row for row in rows if (row.body, row.heads) == (body, heads)]
                x = [row.tasks * row.rank for row in own]
                axes.plot(x, [factor * getattr(row, quantity) for row in own], "o", color=colour, label=heads, ms=4.5)
                if heads == "one head":
                    found = next(f for f in fits if (f["body"], f["heads"], f["quantity"]) == (body, heads, quantity))
                    base = (
                        0
                        if quantity == "parameters"
                        else statistics.median(getattr(r, f"base_{quantity}") for r in own)
                    )
                    ends = np.array([0, max(x)])
                    axes.plot(ends, factor * (base + found["base"] + found["slope"] * ends), color=colour, lw=1)
                    axes.axhline(factor * base, color="grey", lw=0.8, ls=":")
            axes.set(xlabel="T · r", ylabel=label, title=body)
            axes.set_ylim(bottom=0)
            axes.grid(alpha=0.25)
    grid[0][0].legend(title="network with", frameon=False)
    figure.suptitle("Cost of one preference's step against T·r (dotted: the plain network; line: least squares)")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
