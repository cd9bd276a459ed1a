"""GPU figures: a LeNet step for M = 1 and 5 in one CUDA graph, a SegNet step against the plain bf16 one.

Written for a machine with a GPU and never run on one so far: what is measured, and the goals, stand in
docs/results/performance.md.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from _bench_core import Case, lenet_case, segnet_case
from _measure import Figure

from palora_core.balancing.linear import Linear
from palora_core.conditioning.lowrank import palorize
from palora_core.machine import channels_last
from palora_core.samplers import annealed_preferences
from palora_core.training.engine import Engine, Sequential
from palora_core.training.stacked import Stacked

WARM_UP, STEPS = 20, 100


def seconds(step: Callable[[], object]) -> float:
    """Seconds of one step: the mean of 100 after 20 that do not count, by the GPU's own clock."""
    for _ in range(WARM_UP):
        step()
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(STEPS):
        step()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / 1e3 / STEPS


def step_of(case: Case, engine: type[Engine], preferences: int, dtype: torch.dtype) -> Callable[[], object]:
    """One PaLoRA step, Adam included, on data that lie on the GPU."""
    model = palorize(case.network, 2, case.rank).cuda().train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameter_groups(1e-4), lr=1e-4, fused=True, capturable=True)
    batch = channels_last(case.x.cuda()), {name: target.cuda() for name, target in case.targets.items()}
    grid = annealed_preferences(2, preferences, 0.5, 0.2).cuda()
    gradients = engine(model, case.tasks, Linear(), dtype)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        gradients(batch, grid)
        optimizer.step()

    return step


def captured(step: Callable[[], object]) -> Callable[[], object]:
    """The step as one CUDA graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # gradients and Adam's state are made before capturing
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def plain_step(case: Case) -> Callable[[], object]:
    """One linear-scalarization step of the plain network in bf16."""
    network = copy.deepcopy(case.network).cuda().train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=True)
    x, targets = channels_last(case.x.cuda()), {name: target.cuda() for name, target in case.targets.items()}

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16):
            outputs = network(x)
        sum(0.5 * task.loss(outputs, (None, targets)) for task in case.tasks).backward()
        optimizer.step()

    return step


def gpu(widths: Sequence[float] = (1.0,)) -> list[Figure]:
    """All GPU figures."""
    small = lenet_case()
    one, five = (seconds(captured(step_of(small, Stacked, count, torch.float32))) for count in (1, 5))
    eager = seconds(step_of(small, Sequential, 5, torch.float32))
    figures = [
        Figure(f"{small.name}: GPU, stacked in a CUDA graph, step M=5 / M=1", five / one, 1.3),
        Figure(f"{small.name}: GPU, sequential and eager / stacked in a CUDA graph, M=5", eager / five, None),
    ]
    for width in widths:
        case = segnet_case(width, batch=8)
        ratio = seconds(step_of(case, Sequential, 5, torch.bfloat16)) / seconds(plain_step(case))
        figures.append(Figure(f"{case.name}: GPU, step M=5 bf16 / plain bf16 step", ratio, 5.2))
    return figures
