"""A helper of test_wrapped.py: DDP and FSDP2 on two gloo ranks against one process; prints what differs.

Run as a process of its own: ``python tests/wrapped_ranks.py``.
"""

import copy
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

import palora_core as pc
from palora_core import distributed
from palora_core.adapters import LowRankLayer
from palora_core.errors import UserError
from tests.conditioning.test_conformance import NAMES, T, conditioning
from tests.ranks import fork_ranks

P, Q = torch.tensor([[0.2, 0.5, 0.3], [0.7, 0.1, 0.2]], dtype=torch.float64)


class Net(nn.Module):
    """A trunk and heads without BatchNorm, whose statistics would belong to a rank."""

    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 4))
        self.heads = nn.ModuleDict({t: nn.Linear(4, 2) for t in "abc"})

    def forward(self, x):
        z = self.trunk(x)
        return {t: head(z) for t, head in self.heads.items()}


def make(name):
    torch.manual_seed(0)
    model = conditioning(name).condition(Net(), T)
    model.progress(0.0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.double()


def loss_of(outputs):
    return sum((n + 1) * (y - 0.3 * n).square().mean() for n, y in enumerate(outputs.values()))


def inputs(rank=None):
    x = torch.randn(8, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return x if rank is None else x[4 * rank : 4 * rank + 4]


def full(tensor):
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def gradients(model):
    return {n: full(p.grad) for n, p in model.named_parameters() if p.grad is not None and not n.endswith("rotation")}


def difference(found, wanted):
    if found.keys() != wanted.keys():
        return f"gradients of {sorted(set(found) ^ set(wanted))}"
    return max(float((found[n] - wanted[n]).abs().max() / wanted[n].abs().max().clamp_min(1e-9)) for n in wanted)


def reference(name):
    """Gradients of both preferences on the whole batch, in one process."""
    model = make(name)
    for preference in (P, Q):
        loss_of(model(inputs(), preference)).backward()
    return model, gradients(model)


def collected(model, x, together, **options):
    with model.accumulate(**options) as at:
        losses = []
        for preference in (P, Q):
            losses.append(loss_of(at(preference).forward(x)))
            if not together:
                losses.pop().backward()
        if together:
            sum(losses).backward()


def with_ddp(name, rank):
    _, wanted = reference(name)
    report = {}
    wrapped = DistributedDataParallel(make(name), find_unused_parameters=True)
    for preference in (P, Q):
        loss_of(wrapped(inputs(rank), preference=preference)).backward()
    report["forward"] = difference(gradients(wrapped.module), wanted)
    for together in (False, True):
        wrapped = DistributedDataParallel(make(name), find_unused_parameters=True)
        collected(wrapped.module, inputs(rank), together, average=True)
        report[f"accumulate {together}"] = difference(gradients(wrapped.module), wanted)
    try:
        with wrapped.module.accumulate():
            report["refused"] = ""
    except UserError as error:
        report["refused"] = str(error)
    return report


def sharded(name, nested):
    model = make(name)
    if nested:
        for part in (*model.network.trunk, *model.network.heads.values()):
            if list(part.parameters()):
                fully_shard(part, mesh=MESH[0])
    return fully_shard(model, mesh=MESH[0])


MESH = []


def with_fsdp(name, rank, nested):
    plain, wanted = reference(name)
    report = {}
    model = sharded(name, nested)
    for preference in (P, Q):
        loss_of(model(inputs(rank), preference)).backward()
    report["forward"] = difference(gradients(model), wanted)
    for together in (False, True):
        model = sharded(name, nested)
        collected(model, inputs(rank), together)
        report[f"accumulate {together}"] = difference(gradients(model), wanted)
    merged, expected = model.merge(P), plain.merge(P)
    report["merged"] = type(merged) is type(expected) and not any("FSDP" in type(m).__name__ for m in merged.modules())
    found = merged(inputs())
    report["merge"] = max(float((found[t] - y).abs().max()) for t, y in expected(inputs()).items())
    report["merged hooks"] = sum(len(m._forward_pre_hooks) + len(m._forward_hooks) for m in merged.modules())
    try:
        with model.at(P):
            report["refused"] = ""
    except UserError as error:
        report["refused"] = str(error)
    try:
        with model.accumulate() as at:
            report["leaves"] = str(len(at(P).shared))
    except UserError as error:
        report["leaves"] = str(error)
    copy.deepcopy(merged)
    return report


def frozen_base(rank, root):
    """Branches on shards: gradients, λ per sample, merging, and adapters saved and loaded, against one process."""

    def made():
        torch.manual_seed(0)
        network = Net()
        model = pc.palorize(network, T, 2, freeze_base=True)
        for layer in model.layers:
            torch.nn.init.normal_(layer.adapter_b)
        return network.double(), model.double()

    network, plain = made()
    for preference in (P, Q):
        loss_of(plain(inputs(), preference)).backward()
    wanted, report = gradients(plain), {}

    def sharded():
        _, model = made()
        for part in (*model.network.trunk, *model.network.heads.values()):
            if list(part.parameters()):
                fully_shard(part, mesh=MESH[0])
        return fully_shard(model, mesh=MESH[0])

    mixed, LowRankLayer.mixed_weight = LowRankLayer.mixed_weight, None  # whoever merges here fails
    model = sharded()
    for preference in (P, Q):
        loss_of(model(inputs(rank), preference)).backward()
    report["forward"] = difference(gradients(model), wanted)
    model = sharded()
    collected(model, inputs(rank), together=False)
    report["accumulate"] = difference(gradients(model), wanted)
    rows = torch.stack([P, Q]).repeat(2, 1)
    found = model(inputs(rank), rows)
    LowRankLayer.mixed_weight = mixed
    one_by_one = [plain(x[None], row) for x, row in zip(inputs(rank), rows)]
    report["per sample"] = max(float((found[t] - torch.cat([y[t] for y in one_by_one])).abs().max()) for t in found)
    card = pc.save(root / "adapters", model, {"title": "from shards"}, adapters_only=True)
    again, _ = pc.load(root / "adapters", network=network)
    report["loaded"] = max(float((again(inputs(), P)[t] - y).abs().max()) for t, y in plain(inputs(), P).items())
    report["merged"] = max(float((model.merge(P)(inputs())[t] - y).abs().max()) for t, y in plain(inputs(), P).items())
    report["card"] = card["title"]
    return report


def attempt(function, *arguments):
    try:
        return function(*arguments)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {str(error)[:300]}"}


def on_a_rank(root):
    distributed.start("cpu")
    MESH.append(init_device_mesh("cpu", (2,)))
    rank = distributed.rank()
    report = {"ddp": {}, "fsdp": {}, "nested": {}}
    for name in NAMES:
        report["ddp"][name] = attempt(with_ddp, name, rank)
        report["fsdp"][name] = attempt(with_fsdp, name, rank, False)
        report["nested"][name] = attempt(with_fsdp, name, rank, True)
    report["frozen"] = attempt(frozen_base, rank, root)
    (root / f"rank{rank}.json").write_text(json.dumps(report))
    distributed.finish()


def main():
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    root = Path(sys.argv[1])
    fork_ranks(root, 2, on_a_rank)
    print(json.dumps([json.loads((root / f"rank{n}.json").read_text()) for n in range(2)]))


if __name__ == "__main__":
    main()
