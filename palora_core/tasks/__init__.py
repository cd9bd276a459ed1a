"""Tasks: losses and metrics of classes, numbers, depth, normals, places, tokens and texts.

A `Task` says how a prediction is scored and has no parameters or state of its own. Everything a metric needs is a sum
over elements of the split (`Task.sums`), so accumulators of several machines are merged by adding their tensors.
Kinds are found by walking this package, one file each; ``palora_core.tasks()`` lists them.
"""

from palora_core.objectives import LOSS, Accumulator, Convention, Metric, Sums
from palora_core.registry import make_callable
from palora_core.tasks.base import Task
from palora_core.tasks.classification import Classification
from palora_core.tasks.depth import Depth
from palora_core.tasks.keypoints import KeyPoints
from palora_core.tasks.multilabel import MultiLabel
from palora_core.tasks.next_token import NextToken
from palora_core.tasks.normals import Normals, angles_between, histogram_median
from palora_core.tasks.ordinal import Ordinal
from palora_core.tasks.quantile import Quantile
from palora_core.tasks.regression import Regression
from palora_core.tasks.segmentation import Segmentation, confusion_matrix, mean_iou
from palora_core.tasks.tokens import Tokens

__all__ = [
    "LOSS",
    "Accumulator",
    "Classification",
    "Convention",
    "Depth",
    "KeyPoints",
    "Metric",
    "MultiLabel",
    "NextToken",
    "Normals",
    "Ordinal",
    "Quantile",
    "Regression",
    "Segmentation",
    "Sums",
    "Task",
    "Tokens",
    "angles_between",
    "confusion_matrix",
    "histogram_median",
    "mean_iou",
]

make_callable(__name__)  # palora_core.tasks() gives what is registered
