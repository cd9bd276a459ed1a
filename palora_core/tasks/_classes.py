"""What tasks with classes have in common: their number, their names, and the label that counts nowhere."""

from dataclasses import dataclass

from torch import Tensor

from palora_core.tasks.base import Task, check_classes, check_labels


@dataclass(frozen=True)
class ClassTask(Task):
    """A task whose targets are labels from 0 to C − 1. Subclasses, one per kind, say of what.

    Args:
        num_classes: Number of classes C.
        ignore_index: Label of what counts nowhere.
        classes: Their names, where they have any.
    """

    num_classes: int
    ignore_index: int = -1
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_classes(self, self.classes, self.num_classes)

    @property
    def out_channels(self) -> int:
        """C, one logit per class."""
        return self.num_classes

    def _check(self, target: Tensor) -> None:
        check_labels(self, target, self.num_classes, self.ignore_index)
