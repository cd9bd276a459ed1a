"""Large networks with a frozen base: step, memory and what is kept for backward, against PEFT's LoRA and no adapters.

Random weights, T = 2, r = 8 on every linear layer. A step is forward and backward of one batch; for the plain frozen
network the gradient goes to what the first block reads, so that it has the same way back.

The largest ones are measured one variant after another, each in a process of its own that holds the weights once:
``python scripts/_bench_large.py gpt2-xl peft 2`` is one of them.
"""

from __future__ import annotations

import copy
import json
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from _bench_scaling import peak_bytes
from _measure import Figure, interleaved
from torch import Tensor, nn

from palora_core.conditioning.lowrank import LowRankModel, palorize

RANK, TASKS, M = 8, 2, 5
Step = Callable[[], object]


@dataclass(frozen=True)
class Large:
    """A network to be measured.

    Attributes:
        name: with batch and size, for the report.
        network: gives a tensor or has ``last_hidden_state``, ``logits`` or the like first.
        inputs: keywords of its forward.
        blocks: the modules of its blocks, in order, by name.
        first: the module whose output begins the way that gradients go.
    """

    name: str
    network: nn.Module
    inputs: dict[str, Tensor]
    blocks: str
    first: str

    def linear(self, upper: bool) -> list[str]:
        """Names of the linear layers inside the blocks, or of the upper half of these."""
        count = len(self.network.get_submodule(self.blocks))
        least = count // 2 if upper else 0
        kinds = (nn.Linear, *_conv1d())
        return [
            name
            for name, layer in self.network.named_modules()
            if isinstance(layer, kinds)
            and name.startswith(self.blocks + ".")
            and int(name.removeprefix(self.blocks + ".").split(".")[0]) >= least
        ]

    def loss(self, network: nn.Module | Callable) -> Tensor:
        return network(**self.inputs)[0].float().square().mean()

    def plain_step(self, network: nn.Module | None = None) -> Step:
        network = (network or copy.deepcopy(self.network)).requires_grad_(False).train()
        network.get_submodule(self.first).register_forward_hook(lambda m, a, output: output.requires_grad_())
        return lambda: self.loss(network).backward()

    def peft(self, network: nn.Module, upper: bool = False) -> nn.Module:
        from peft import LoraConfig, get_peft_model

        return get_peft_model(network, LoraConfig(r=RANK, lora_alpha=RANK, target_modules=self.linear(upper)))

    def peft_step(self, upper: bool = False, model: nn.Module | None = None) -> Step:
        model = (model or self.peft(copy.deepcopy(self.network), upper)).train()

        def step() -> None:
            model.zero_grad(set_to_none=True)
            self.loss(model).backward()

        return step

    def palora_step(self, preferences: int, upper: bool = False, model: LowRankModel | None = None) -> Step:
        model = (model or self.palora(upper)).train()
        rows = torch.linspace(0.1, 0.9, preferences)

        def step() -> None:
            model.zero_grad(set_to_none=True)
            with model.accumulate(passes=preferences) as at:
                for row in rows:
                    self.loss(at(torch.stack([row, 1 - row])).forward).backward()

        return step

    def palora(self, upper: bool = False) -> LowRankModel:
        return palorize(self.network, TASKS, RANK, select=self.linear(upper), freeze_base=True)


def _conv1d() -> tuple[type, ...]:
    from transformers.pytorch_utils import Conv1D

    return (Conv1D,)


def vit(hidden: int, layers: int, heads: int, patch: int, batch: int, name: str) -> Large:
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, patch_size=patch)
    config.intermediate_size = 4 * hidden
    network = ViTModel(config, add_pooling_layer=False)
    blocks = next(name for name, m in network.named_modules() if isinstance(m, nn.ModuleList) and len(m) == layers)
    return Large(name, network, {"pixel_values": torch.rand(batch, 3, 224, 224)}, blocks, "embeddings")


def llama(tokens: int) -> Large:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(hidden_size=1024, intermediate_size=2816, num_hidden_layers=22, vocab_size=32000)
    config.num_attention_heads = config.num_key_value_heads = 16
    inputs = {"input_ids": torch.randint(32000, (1, tokens)), "use_cache": False}
    return Large(
        f"Llama 0.3 B, {tokens} tokens", LlamaForCausalLM(config), inputs, "model.layers", "model.embed_tokens"
    )


def gpt2(tokens: int) -> Large:
    from transformers import GPT2Config, GPT2LMHeadModel

    dropout = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    config = GPT2Config(n_embd=1600, n_layer=48, n_head=25, **dropout)
    inputs = {"input_ids": torch.randint(50257, (1, tokens)), "use_cache": False}
    name = f"GPT-2 XL (1.5 B), {tokens} tokens"
    return Large(name, GPT2LMHeadModel(config), inputs, "transformer.h", "transformer.wte")


CASES: dict[str, Callable[[], Large]] = {
    "vit-b": lambda: vit(768, 12, 12, 16, 2, "ViT-B, batch 2"),
    "llama": lambda: llama(128),
    "vit-h": lambda: vit(1280, 32, 16, 14, 1, "ViT-H/14 (632 M), batch 1"),
    "gpt2-xl": lambda: gpt2(128),
}
SMALL = ("vit-b", "llama")
VARIANTS = ("plain", "peft", "M=1")
ROOM = 1.6  # times the weights: what one variant of a large network takes, activations and gradients included


def saved_bytes(function: Step, network: nn.Module | None = None) -> int:
    """Bytes that a step keeps for backward, parameters and views of one memory counted once, parameters not at all."""
    found: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        base = tensor._base if tensor._base is not None else tensor
        if not isinstance(base, nn.Parameter):
            storage = tensor.untyped_storage()
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        function()
    return sum(found.values())


def variant(name: str, which: str, repetitions: int) -> dict[str, float]:
    """CPU seconds of a step and the bytes it takes, of one variant of a network whose weights are held once."""
    torch.manual_seed(0)
    with torch.device("meta"):
        case = CASES[name]()
        made = {"plain": lambda: case.network, "peft": lambda: case.peft(case.network), "M=1": case.palora}[which]()
    filled(made)
    case = Large(
        case.name, case.network, {key: _real(value) for key, value in case.inputs.items()}, case.blocks, case.first
    )
    steps = {
        "plain": case.plain_step,
        "peft": lambda m: case.peft_step(model=m),
        "M=1": lambda m: case.palora_step(1, model=m),
    }
    step = steps[which](made)
    times = interleaved({which: step}, repetitions, 0.0, least=repetitions)
    return {"cpu": statistics.median(times[which].cpu), "peak": peak_bytes(step), "saved": saved_bytes(step)}


def _real(value: object) -> object:
    """What stands for an input that was described only."""
    if not isinstance(value, Tensor):
        return value
    return torch.rand(value.shape) if value.is_floating_point() else torch.randint(1000, value.shape)


@torch.no_grad()
def filled(model: nn.Module) -> None:
    """Give a network without memory numbers to compute with, as fast as memory is written."""
    model.to_empty(device="cpu")
    pool = 0.02 * torch.randn(2**20)
    for tensor in (*model.parameters(), *model.buffers()):
        flat = tensor.view(-1)
        for start in range(0, len(flat), len(pool)):
            part = flat[start : start + len(pool)]
            part.copy_(pool[: len(part)])


def one_by_one(name: str, repetitions: int) -> list[Figure]:
    """The figures of a network that is too large to stand here three times; nothing where memory does not allow it."""
    with torch.device("meta"):
        case = CASES[name]()
    needed = ROOM * sum(parameter.nbytes for parameter in case.network.parameters())
    told = Path("/proc/meminfo").read_text().split("MemAvailable:")[1]
    free = 1024 * int(told.split()[0])
    if free < needed:
        print(f"{case.name} was left out: it takes {needed / 2**30:.1f} GB, {free / 2**30:.1f} GB are free.")
        return []
    found = {}
    for which in VARIANTS:
        command = [sys.executable, __file__, name, which, str(repetitions), str(int(2 * needed))]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[which] = json.loads(done.stdout.splitlines()[-1])
        print(f"{case.name}: {which} {found[which]}", flush=True)
    peft, own = found["peft"], found["M=1"]
    rows = [
        ("step M=1 / PEFT's", own["cpu"] / peft["cpu"], 1.05),
        ("PEFT's step / plain", peft["cpu"] / found["plain"]["cpu"], None),
        ("peak above resident, M=1 / PEFT's", own["peak"] / peft["peak"], 1.15),
        ("saved for backward, M=1 / PEFT's", own["saved"] / peft["saved"], 1.1),
    ]
    return [Figure(f"{case.name}, frozen: {label}", value, goal) for label, value, goal in rows]


def figures(name: str, repetitions: int, budget: float) -> list[Figure]:
    """Step, peak and saved bytes of one network; large ones at M = 1 only."""
    if name not in SMALL:
        return one_by_one(name, min(3, repetitions))
    torch.manual_seed(0)
    case = CASES[name]()
    steps = {
        "plain": case.plain_step(),
        "peft": case.peft_step(),
        "M=1": case.palora_step(1),
        "M=5": case.palora_step(M),
    }
    steps |= {"peft upper": case.peft_step(True), "M=5 upper": case.palora_step(M, True)}
    times = interleaved(steps, repetitions, budget, least=3)
    peft = times["peft"].median_cpu

    def ratio(label: str, value: float, goal: float | None = None) -> Figure:
        return Figure(f"{case.name}, frozen: {label}", value, goal)

    found = [
        ratio("step M=1 / PEFT's", times["M=1"].median_cpu / peft, 1.05),
        ratio("PEFT's step / plain", peft / times["plain"].median_cpu),
        ratio("peak above resident, M=1 / PEFT's", peak_bytes(steps["M=1"]) / peak_bytes(steps["peft"]), 1.15),
        ratio("saved for backward, M=1 / PEFT's", saved_bytes(steps["M=1"]) / saved_bytes(steps["peft"]), 1.1),
    ]
    upper = times["peft upper"].median_cpu
    found += [
        ratio("step M=5 / PEFT's", times["M=5"].median_cpu / peft, 5.1),
        ratio("upper half: step M=5 / PEFT's", times["M=5 upper"].median_cpu / upper, 3.5),
        ratio("upper half: step M=5 / PEFT's in all layers", times["M=5 upper"].median_cpu / peft),
    ]
    return found


def per_sample(repetitions: int, budget: float) -> list[Figure]:
    """λ per sample against a plain batch: four layers of 1024², B = 32."""
    torch.manual_seed(0)
    network = nn.Sequential(*(part for _ in range(4) for part in (nn.Linear(1024, 1024), nn.ReLU()))).eval()
    model = palorize(network, TASKS, RANK, freeze_base=True).eval()
    x, rows = torch.randn(32, 1024), torch.rand(32, TASKS)

    def many(function: Callable[[], Tensor]) -> Step:
        @torch.no_grad()
        def run() -> None:
            for _ in range(20):
                function()

        return run

    times = interleaved({"plain": many(lambda: network(x)), "rows": many(lambda: model(x, rows))}, repetitions, budget)
    value = times["rows"].median_cpu / times["plain"].median_cpu
    return [Figure("4 × 1024², batch 32: λ per sample / plain batch", value, 1.5)]


if __name__ == "__main__":
    _, chosen, one, rounds, most = sys.argv
    torch.set_num_threads(1)
    resource.setrlimit(
        resource.RLIMIT_DATA, (int(most), int(most))
    )  # an error here, instead of a machine without memory
    print(json.dumps(variant(chosen, one, int(rounds))))
