"""The benchmark measures what it says: its yardstick computes PaLoRA, and the figures are written where they belong."""

import json
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import _bench_core  # noqa: E402
import _bench_epoch  # noqa: E402
import bench  # noqa: E402
from _measure import Figure, interleaved, table  # noqa: E402

from palora_core.conditioning.lowrank import palorize  # noqa: E402
from palora_core.data import ArraySplit  # noqa: E402
from palora_core.networks.base import networks  # noqa: E402


def test_the_yardstick_computes_the_same_network_as_the_package():
    torch.manual_seed(0)
    network = networks.get("lenet")({"a": 4, "b": 3})
    x, labels = torch.rand(6, 1, 28, 28), {"a": torch.randint(4, (6,)), "b": torch.randint(3, (6,))}
    split = ArraySplit(x, labels)
    research = _bench_epoch.ResearchWay(network, {"train": split, "val": split})
    model = palorize(network, 2, _bench_epoch.RANK)
    for layer, other in zip(research.layers, model.layers):
        for task in range(2):
            torch.nn.init.normal_(layer.up[task], std=0.3)
            other.adapter_a.data[task], other.adapter_b.data[task] = layer.down[task].data, layer.up[task].data
    preference = torch.tensor([0.3, 0.7])
    outputs = model(x, preference)
    expected = [torch.nn.functional.cross_entropy(outputs[name], labels[name]) for name in labels]
    torch.testing.assert_close(research.losses(x, list(labels.values()), preference), expected)
    before = [p.clone() for p in research.network.parameters()]
    research.epoch()
    assert any(not torch.equal(a, b) for a, b in zip(before, research.network.parameters()))


def test_memory_saved_for_backward_does_not_grow_with_the_preferences():
    case = _bench_core.segnet_case(0.0625, batch=1)
    sizes = {m: _bench_core.saved_bytes(case.palora_step(torch.float32, _bench_core.Linear(), m)) for m in (1, 2, 5)}
    assert sizes[1] > 0 and max(sizes.values()) - min(sizes.values()) < 1000, sizes


def test_variants_are_interleaved_and_bounded():
    calls = []
    times = interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3)
    assert calls == ["a", "b"] * 4 and all(len(timing.cpu) == 3 for timing in times.values())


def test_the_page_on_performance_gets_the_figures_between_its_marks(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "ROOT", tmp_path)
    (tmp_path / "docs" / "results").mkdir(parents=True)
    page = tmp_path / "docs" / "results" / "performance.md"
    page.write_text(f"before\n{bench.MARKS[0]}\nold\n{bench.MARKS[1]}\nafter\n")
    shown = Figure("speed", 0.5, 0.6)
    bench.write_table([shown.as_dict(), Figure("without a goal", 1.0, None).as_dict()])
    text = page.read_text()
    assert text == f"before\n{bench.MARKS[0]}\n{table([shown])}\n{bench.MARKS[1]}\nafter\n"
    days = [Figure("speed", 0.5, 0.6, measured="2026-11-22, a"), Figure("size", 2.0, 1.0, measured="2026-11-30, b")]
    bench.write_table([figure.as_dict() for figure in days])
    later = f"Measured 2026-11-30, b:\n\n{table(days[1:])}\n\nMeasured 2026-11-22, a:\n\n{table(days[:1])}"
    assert page.read_text() == f"before\n{bench.MARKS[0]}\n{later}\n{bench.MARKS[1]}\nafter\n"
    page.write_text("no marks")
    bench.write_table([shown.as_dict()])
    assert page.read_text() == "no marks"


@pytest.mark.slow
def test_an_epoch_is_compared_with_the_research_codes_way(monkeypatch):
    for name, value in {"TRAIN": 64, "VALIDATION": 32, "BATCH": 32, "FORMATS": ("fp32",)}.items():
        monkeypatch.setattr(_bench_epoch, name, value)
    (figure,) = _bench_epoch.epoch(1, 1.0)
    assert 0 < figure.value < 10


@pytest.mark.slow
def test_a_part_of_the_benchmark_runs_and_writes_json(tmp_path, monkeypatch):
    out = tmp_path / "bench.json"
    monkeypatch.setattr(sys, "argv", ["bench.py", "scenes", "--quick", "--out", str(out)])
    bench.run()
    figures = json.loads(out.read_text())["figures"]
    assert {figure["goal"] for figure in figures} >= {0.1} and all(figure["value"] > 0 for figure in figures)
