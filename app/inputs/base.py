"""What a view of inputs is; this one shows any input as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch

from app.kinds.base import numbers
from app.views import Views
from palora_core.errors import UserError
from palora_core.inputs import MOST_BYTES, Input

LIMIT = MOST_BYTES // 2**20  # megabytes
Sent = tuple[bytes, str]  # a file and its name
MOST_ROWS = 60


class InputView:
    """How the inputs of a model are shown and sent: this base shows numbers and takes files, where the kind reads any.

    Args:
        kind: what the inputs are.
    """

    kind: ClassVar[str] = ""
    pictured: ClassVar[bool] = False
    noun: ClassVar[str] = "input"  # of a person's own
    icon: ClassVar[str] = ":material/upload_file:"
    titled: ClassVar[bool] = False  # whether :meth:`title` tells inputs apart
    foreign: ClassVar[bool] = True  # whether a person's own come from elsewhere than what the model was trained on
    flips: ClassVar[bool] = False  # whether pages show where λ flips a decision: it takes many passes of the network

    def __init__(self, kind: Input) -> None:
        self.input = kind

    def picture(self, shown: Any) -> np.ndarray | None:
        """The picture uint8 [H, W, 3] that stands for an input; None where there is none."""
        return None

    def title(self, shown: Any) -> str:
        """A few words that tell it from others."""
        return ""

    def told(self, shown: Any) -> dict[str, Any]:
        """What is told of an input without a picture: ``rows`` [[what, text], …], ``text`` or ``sound`` (address).

        With ``fields`` the rows are widgets, see :class:`app.inputs.record.RecordView`.
        """
        told = numbers(torch.as_tensor(np.asarray(shown, dtype=np.float64)))
        return {"rows": told.get("rows") or [["numbers", ", ".join(f"{v:g}" for v in told["numbers"])]]}

    def edited(self, values: Mapping[str, Any]) -> Any:
        """An input, as people see it, from the fields that a person changed.

        Raises:
            UserError: these are none.
        """
        raise UserError(f"This {self.input.kind} has no such fields to change; reload the page.")

    def send(self) -> Sent | None:
        """A form for a person's own input (Streamlit); what was sent, or None."""
        import streamlit as st

        suffixes = list(self.input.suffixes)
        sent = st.file_uploader(f"A file ({', '.join(suffixes)}), up to {LIMIT} MB", type=suffixes, key="file")
        return None if sent is None else (sent.getvalue(), sent.name)


input_views = Views("view of an input", "app.inputs", InputView)


def input_view_of(kind: Input) -> InputView:
    """The view of a kind of inputs: its own, or that of the nearest kind it extends, or numbers."""
    made: InputView = input_views.showing(type(kind))(kind)
    return made
