"""Tiny data for every benchmark, prepared once per session from releases that the tests write."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1]))

import releases
import small_language

from palora_core import simplex
from palora_core.batches import Batch
from palora_core.benchmarks import _faces
from palora_core.benchmarks.celeba import CelebA
from palora_core.benchmarks.cityscapes import CityScapes
from palora_core.benchmarks.nyuv2 import NYUv2
from palora_core.benchmarks.utkface import UTKFace
from palora_core.data import Targets
from palora_core.preparation.base import preparers

RELEASES = {
    **{"adult": releases.adult, "census": releases.census, "sarcos": releases.sarcos, "celeba": releases.celeba},
    **{"utkface": releases.utkface, "cityscapes": releases.cityscapes_mtan, "nyuv2": releases.nyuv2_mtan},
    **{"multifashion": releases.mnist, "spoken_digits": releases.spoken_digits},
    "real_rooms": releases.real_rooms,
}


@pytest.fixture(scope="session")
def data_for(tmp_path_factory) -> Callable[[str], Path]:
    """Benchmark → data root; prepared, or generated, where it is asked for first."""
    root = tmp_path_factory.mktemp("conformance")
    done: set[str] = set()

    def root_with(benchmark: str) -> Path:
        if benchmark == "authors" and benchmark not in done:
            small_language.small_base(root / "base")
            small_language.small_texts(root, repeats=8)
            done.add(benchmark)
        if benchmark in RELEASES and benchmark not in done:
            preparers.get(benchmark)().prepare(RELEASES[benchmark](root / "releases" / benchmark), root)
            done.add(benchmark)
        return root

    return root_with


@pytest.fixture(autouse=True)
def small(monkeypatch) -> None:
    """Pictures of prepared releases with every second or third row and column only, and fronts of few points."""
    monkeypatch.setitem(simplex._LATTICE_PARTITIONS, 3, 1)
    monkeypatch.setattr(simplex, "_MANY_TASKS_POINTS", 4)
    monkeypatch.setattr(simplex, "_MANY_TASKS_EDGES", 2)
    monkeypatch.setattr(_faces, "SIZE", _faces.SIZE // 2)
    for bench, step in ((CityScapes, 2), (NYUv2, 3), (UTKFace, 2), (CelebA, 2)):
        monkeypatch.setattr(bench, "convert", _thinned(bench.convert, step))
        if hasattr(bench, "size"):
            monkeypatch.setattr(bench, "size", tuple(side // step for side in bench.size))


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Networks this small are slower on several threads, many times so where the machine has other work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _thinned(convert: Callable, step: int) -> Callable:
    def thinned(self, x: Tensor, targets: Targets) -> Batch:
        x, targets = convert(self, x, targets)
        return x[..., ::step, ::step], {n: t[..., ::step, ::step] if t.dim() > 1 else t for n, t in targets.items()}

    return thinned
