"""Auto-λ: loss weights that lower the loss on held-out data one step ahead."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.balancing.auto_lambda import AutoLambda
from palora_core.balancing.base import Balancer
from palora_core.methods.base import Method, methods


@methods.register("auto_lambda")
@dataclass(frozen=True)
class AutoLambdaMethod(Method):
    """One network; weights meta-learnt on held-out batches."""

    title: ClassVar[str] = "Auto-λ"
    source: ClassVar[str] = "Liu, James, Davison, Johns: Auto-Lambda, TMLR 2022 (arXiv 2202.03091)"

    balancer: Balancer = field(default_factory=AutoLambda)
