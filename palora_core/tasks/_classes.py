"""What tasks with classes have in common: their number, their names, and the label that counts nowhere."""

from dataclasses import dataclass

from torch import Tensor

from palora_core.errors import UserError
from palora_core.tasks._tensors import foreign_label
from palora_core.tasks.base import Task


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


def check_classes(task: Task, classes: tuple[str, ...], num_classes: int) -> None:
    """Refuse another number of names than there are classes; none at all is fine.

    Raises:
        UserError: naming the task and both numbers.
    """
    if classes and len(classes) != num_classes:
        raise UserError(f"task {task.name!r} ({task.kind}) has {len(classes)} names for {num_classes} classes.")


def check_labels(task: Task, target: Tensor, num_classes: int, ignore_index: int) -> None:
    """Refuse labels on the CPU that are neither a class nor ``ignore_index``.

    Raises:
        UserError: naming the task, the label and ``ignore_index``.
    """
    found = foreign_label(target, num_classes, ignore_index) if target.is_cpu else None
    if found is not None:
        raise UserError(
            f"task {task.name!r} ({task.kind}) got the label {found:g}; expected a class from 0 to {num_classes - 1}, "
            f"or ignore_index {ignore_index} where there is none. Correct the labels, or give the task "
            f"ignore_index={found:g} if that marks what is not labelled."
        )
