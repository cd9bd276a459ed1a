"""Training, memory, front and serving figures of the package, each as a ratio to the plain network in the same run."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from _measure import Figure, interleaved
from torch import Tensor, nn

from palora_core.balancing.base import Balancer
from palora_core.balancing.linear import GradientNormalised, Linear
from palora_core.conditioning.lowrank import LowRankModel, palorize
from palora_core.data import ArraySplit
from palora_core.evaluation.evaluate import evaluate
from palora_core.machine import channels_last, has_fast_bf16
from palora_core.networks.lenet import lenet
from palora_core.networks.segnet import segnet
from palora_core.normalisation import calibrate
from palora_core.samplers import annealed_preferences
from palora_core.serving import LiveNetwork
from palora_core.simplex import evaluation_preferences
from palora_core.sources import whole_step
from palora_core.tasks import Classification, Depth, Segmentation, Task
from palora_core.training.engine import Sequential

M = 5
BATCHES = 16  # of a front; a real split has more, so that preparing the network weighs less
FAST_BF16 = has_fast_bf16(torch.device("cpu"))
FORMATS = [("fp32", torch.float32), *([("bf16", torch.bfloat16)] if FAST_BF16 else [])]


class Case:
    """A network with its tasks and one batch of random data."""

    def __init__(
        self, name: str, network: nn.Module, tasks: Sequence[Task], x: Tensor, targets: dict, rank: int
    ) -> None:
        self.name, self.network, self.tasks, self.x, self.targets, self.rank = name, network, tasks, x, targets, rank

    def plain_step(self) -> Callable[[], object]:
        """One linear-scalarization step of the plain network, fp32, contiguous, Adam included."""
        network = copy.deepcopy(self.network).train()
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            outputs = network(self.x)
            sum(0.5 * t.loss(outputs, (None, self.targets)) for t in self.tasks).backward()
            optimizer.step()

        return step

    def plain_fast_step(self, dtype: torch.dtype) -> Callable[[], object]:
        """The same in the format that our steps use."""
        network = copy.deepcopy(self.network).train().to(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=True)
        x = channels_last(self.x)

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
                outputs = network(x)
            sum(0.5 * t.loss(outputs, (None, self.targets)) for t in self.tasks).backward()
            optimizer.step()

        return step

    def palora_step(self, dtype: torch.dtype, balancer: Balancer, preferences: int = M) -> Callable[[], object]:
        """One PaLoRA step on M preferences through the package's engine."""
        model = palorize(self.network, 2, self.rank).train()
        model.to(memory_format=torch.channels_last)
        balancer.setup(2)
        optimizer = torch.optim.Adam(model.parameter_groups(1e-4), lr=1e-4, fused=True)
        grid = annealed_preferences(2, preferences, 0.5, 0.2)
        batch = channels_last(self.x), self.targets
        engine = Sequential(model, self.tasks, balancer, dtype)

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            engine(whole_step(batch, len(self.tasks)), grid)
            optimizer.step()

        return step


def lenet_case() -> Case:
    torch.manual_seed(0)
    tasks = (Classification("a", 10), Classification("b", 10))
    targets = {"a": torch.randint(10, (256,)), "b": torch.randint(10, (256,))}
    return Case("LeNet, batch 256, r=1", lenet({"a": 10, "b": 10}), tasks, torch.rand(256, 1, 28, 28), targets, 1)


def segnet_case(width: float, batch: int = 2) -> Case:
    torch.manual_seed(0)
    tasks = (Segmentation("s", 7), Depth("d"))
    targets = {"s": torch.randint(-1, 7, (batch, 128, 256)), "d": torch.rand(batch, 1, 128, 256)}
    name = f"SegNet × {width:g}, batch {batch} of 128×256, r=4"
    return Case(name, segnet({"s": 7, "d": 1}, width), tasks, torch.rand(batch, 3, 128, 256), targets, 4)


def training(case: Case, goals: dict[str, float], repetitions: int, budget: float, least: int = 3) -> list[Figure]:
    """Steps of M preferences against one plain fp32 step."""
    variants = {"plain": case.plain_step(), "plain fp32 cl": case.plain_fast_step(torch.float32)}
    variants["fp32"] = case.palora_step(torch.float32, Linear())
    if FAST_BF16:
        variants["plain bf16 cl"] = case.plain_fast_step(torch.bfloat16)
        variants["bf16"] = case.palora_step(torch.bfloat16, Linear())
        variants["balanced bf16"] = case.palora_step(torch.bfloat16, GradientNormalised())
    times = interleaved(variants, repetitions, budget, least)
    plain = times["plain"].median_cpu
    figures = []
    for name in ("fp32", "bf16", "balanced bf16"):
        if name in times:
            label = f"{case.name}: step M={M} {name} / plain fp32 step"
            figures.append(
                Figure(label, times[name].median_cpu / plain, goals.get(name), note=f"±{times[name].spread:.0%}")
            )
    for name in ("fp32", "bf16"):
        if name in times:
            ratio = times[name].median_cpu / (M * times[f"plain {name} cl"].median_cpu)
            figures.append(Figure(f"{case.name}: method's own overhead, {name}", ratio, 1.05))
    return figures


def saved_bytes(function: Callable[[], object]) -> int:
    """Largest number of bytes held for backward at once: unique storages, parameters left out by the caller."""
    alive: dict[int, int] = {}
    peak = 0

    class Held:
        def __init__(self, tensor: Tensor) -> None:
            self.tensor, self.key = tensor, tensor.untyped_storage().data_ptr()
            size, count = alive.get(self.key, (tensor.untyped_storage().nbytes(), 0))
            alive[self.key] = (size, count + 1)
            nonlocal peak
            peak = max(peak, sum(size for size, _ in alive.values()))

        def __del__(self) -> None:
            size, count = alive[self.key]
            if count == 1:
                del alive[self.key]
            else:
                alive[self.key] = (size, count - 1)

    with torch.autograd.graph.saved_tensors_hooks(Held, lambda held: held.tensor):
        function()
    return peak


def memory(case: Case) -> list[Figure]:
    """Bytes saved for backward, M preferences against one plain fp32 step, and against M = 1."""
    plain = saved_bytes(case.plain_step())
    figures = []
    goals = {"fp32": 2.3, "bf16": 1.25}
    for name, dtype in FORMATS:
        many = saved_bytes(case.palora_step(dtype, Linear(), M))
        one = saved_bytes(case.palora_step(dtype, Linear(), 1))
        figures.append(Figure(f"{case.name}: saved for backward, M={M} {name} / plain fp32", many / plain, goals[name]))
        figures.append(Figure(f"{case.name}: saved for backward, M={M} / M=1, {name}", many / one, 1.01))
    return figures


def front(case: Case, goals: dict[str, float], repetitions: int, budget: float) -> list[Figure]:
    """A front of 11 preferences over a few batches, per preference, against a plain evaluation of the same batches."""
    grid = evaluation_preferences(2)
    network = copy.deepcopy(case.network).eval()
    model = _trained(case)
    size = len(case.x)
    inputs = torch.cat([case.x] * BATCHES)
    split = ArraySplit(inputs, {name: torch.cat([target] * BATCHES) for name, target in case.targets.items()})
    rows = torch.arange(len(split)).split(size)

    @torch.inference_mode()
    def plain() -> None:
        for indices in rows:
            x, targets = split.batch(indices)
            outputs = network(x)
            for task in case.tasks:
                task.sums(outputs, (None, targets))

    def swept(dtype: torch.dtype) -> Callable[[], object]:
        return lambda: evaluate(model, split, case.tasks, (1.0, 1.0), grid, size, dtype)

    variants = {"plain": plain, "fp32": swept(torch.float32)}
    if FAST_BF16:
        variants["bf16"] = swept(torch.bfloat16)
    times = interleaved(variants, repetitions, budget)
    return [
        Figure(
            f"{case.name}: front, per preference / plain evaluation, {name}",
            times[name].median_cpu / len(grid) / times["plain"].median_cpu,
            goals.get(name),
            note=f"±{times[name].spread:.0%}",
        )
        for name in variants
        if name != "plain"
    ]


def serving(case: Case, repetitions: int, budget: float) -> list[Figure]:
    """One image at a new λ: merge + forward against a plain forward."""
    model, x = _trained(case), case.x[:1]
    running = _trained(case, anchored=False)
    network = copy.deepcopy(case.network).eval()
    grid = torch.stack([torch.tensor([a, 1 - a]) for a in torch.linspace(0, 1, 37)])
    counter = iter(range(10**9))

    @torch.inference_mode()
    def plain() -> None:
        network(x)

    def live(dtype: torch.dtype, forward: bool = True, model: LowRankModel = model) -> Callable[[], None]:
        net = LiveNetwork(model, x, dtype)

        def run() -> None:
            preference = grid[next(counter) % len(grid)]
            net(x, preference) if forward else net.set(preference)

        return run

    variants = {"plain": plain}
    for name, dtype in FORMATS:
        variants[f"merge + forward, {name}"] = live(dtype)
        variants[f"merge alone, {name}"] = live(dtype, False)
        variants[f"merge alone, running statistics, {name}"] = live(dtype, False, running)
    times = interleaved(variants, repetitions, budget)
    goals = {"merge + forward, fp32": 0.92, "merge + forward, bf16": 0.36, "merge alone, bf16": 0.05}
    return [
        Figure(
            f"{case.name}: serving, {name}, / plain forward",
            times[name].median_cpu / times["plain"].median_cpu,
            goals.get(name),
            note=f"±{times[name].spread:.0%}",
        )
        for name in variants
        if name != "plain"
    ]


def _trained(case: Case, anchored: bool = True) -> LowRankModel:
    """A palorized copy with adapters that do something, and (unless not ``anchored``) statistics per preference."""
    model = palorize(case.network, 2, case.rank)
    with torch.no_grad():
        for layer in model.layers:
            layer.adapter_b.normal_(std=0.02)
    if anchored:
        calibrate(model, lambda: [case.x])
    return model.eval()
