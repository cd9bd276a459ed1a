"""Objectives: scalars to be minimised, one per entry of λ, with the metrics that say how good they are.

``base`` (an objective, or one of any function) · ``metrics`` · ``accumulator`` (a split, batch by batch) · ``gaps``
(fairness between groups) · ``dpo`` (of two answers, the one that people like) · ``decisions`` (AUROC and calibration of
a yes or no).
"""

from palora_core.objectives.accumulator import Accumulator
from palora_core.objectives.base import Objective, check_objectives, combine, objective, terms_of
from palora_core.objectives.dpo import DPO
from palora_core.objectives.metrics import LOSS, Convention, Measure, Metric, Sums, sum_dtype

__all__ = [
    "DPO",
    "LOSS",
    "Accumulator",
    "Convention",
    "Measure",
    "Metric",
    "Objective",
    "Sums",
    "check_objectives",
    "combine",
    "objective",
    "sum_dtype",
    "terms_of",
]
