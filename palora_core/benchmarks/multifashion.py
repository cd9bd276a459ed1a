"""MultiFashion: two overlapping pieces of clothing from Fashion-MNIST."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from palora_core.benchmarks.base import benchmarks
from palora_core.benchmarks.multimnist import MultiMNIST


@benchmarks.register("multifashion")
@dataclass(frozen=True)
class MultiFashion(MultiMNIST):
    """As MultiMNIST, with Fashion-MNIST's articles; needs its idx files below the data root."""

    title: ClassVar[str] = "MultiFashion"
    summary: ClassVar[str] = "Pairs of overlapping Fashion-MNIST articles, generated from a fixed seed."
    citation: ClassVar[str] = "Xiao, Rasul, Vollgraf: Fashion-MNIST, arXiv 1708.07747, 2017"
    licence: ClassVar[str] = "Articles: Fashion-MNIST, MIT (Zalando). Weights: MIT."
    digits: ClassVar[str] = "FashionMNIST"
