"""SARCOS: inverse dynamics of a robot arm, two MATLAB files of 28 columns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from palora_core.errors import UserError
from palora_core.preparation._read import check_finite, find, load_mat
from palora_core.preparation._shards import Part
from palora_core.preparation.base import Piece, Plan, Preparer, count_note, preparers

INPUTS, TORQUES = 21, 7
FILES = {"train": "sarcos_inv", "test": "sarcos_inv_test"}
OFFICIAL = {"train": 44_484, "test": 4_449}
FIELDS = {"inputs": ((INPUTS,), "float32"), "torques": ((TORQUES,), "float32")}


@dataclass(frozen=True)
class Table:
    """Rows of one file; picklable.

    Attributes:
        path: the file.
        variable: its variable.
    """

    path: Path
    variable: str

    def __call__(self, first: int, last: int) -> dict[str, np.ndarray]:
        """Rows first … last - 1."""
        rows = read_table(self.path, self.variable)[first:last].astype(np.float32)
        return {"inputs": rows[:, :INPUTS].copy(), "torques": rows[:, INPUTS:].copy()}

    def sources(self, index: int) -> list[Path]:
        """The file."""
        return [self.path]


def read_table(path: Path, variable: str) -> np.ndarray:
    """float64 [N, 28] from a file whose variable is named like it."""
    variables = load_mat(path, f"{variable}.mat")
    if variable not in variables:
        names = ", ".join(name for name in variables if not name.startswith("__")) or "none"
        raise UserError(f"{path} has no variable {variable!r} (it has {names}); it is another file.")
    table = np.asarray(variables[variable])
    if table.ndim != 2 or table.shape[1] != INPUTS + TORQUES or table.dtype.kind not in "fiu":
        raise UserError(f"{path}: {variable} is {list(table.shape)}, expected [N, {INPUTS + TORQUES}] numbers.")
    with np.errstate(over="ignore"):
        check_finite(table.astype(np.float32), str(path))  # as it is stored
    if len(table) < 2:
        raise UserError(f"{path}: {variable} has {len(table)} rows, expected at least 2.")
    return table


@preparers.register("sarcos")
class Sarcos(Preparer):
    """``sarcos_inv.mat`` and ``sarcos_inv_test.mat``."""

    name: ClassVar[str] = "sarcos"
    title: ClassVar[str] = "SARCOS"
    site: ClassVar[str] = "http://gaussianprocess.org/gpml/data"
    licence: ClassVar[str] = "no licence text; published with Rasmussen & Williams, Gaussian Processes for ML, 2006"
    pieces: ClassVar[tuple[Piece, ...]] = tuple(
        Piece(f"{name}.mat", (f"{name}.mat",), "the site's list of files") for name in FILES.values()
    )

    def plan(self, source: Path) -> Plan:
        """Parts ``train`` (validation rows first) and ``test``."""
        parts: list[Part] = []
        notes: list[str] = []
        for part, variable in FILES.items():
            path = find(source, f"{variable}.mat")
            if path is None:
                raise UserError(f"There is no {variable}.mat below {source}. {self.where()}")
            count = len(read_table(path, variable))
            table = Table(path, variable)
            parts.append(Part(part, count, FIELDS, table, table.sources, max(count, 1)))
            notes += count_note(f"{part} rows", count, OFFICIAL[part])
        return Plan("the two MATLAB files", tuple(parts), tuple(notes))
