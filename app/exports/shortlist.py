"""The shortlist as a table: CSV at full precision; Markdown and LaTeX as people read it. No Streamlit here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from app.analysis.queries import Column
from app.bench.preferences import written
from app.bench.shortlist import Candidate, Shortlist
from app.components.front_table_files import csv_text, escape

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Table:
    """A shortlist with its figures.

    Attributes:
        shortlist: the candidates.
        columns: the figures to tell.
        figures: of each candidate by the columns' keys; those that are not known are missing.
        titles: of the candidates' models, by id.
    """

    shortlist: Shortlist
    columns: Sequence[Column]
    figures: Sequence[Figures]
    titles: Mapping[str, str]

    @classmethod
    def of(
        cls,
        shortlist: Shortlist,
        columns: Sequence[Column],
        figures: Callable[[Candidate], Figures],
        titles: Mapping[str, str],
    ) -> Table:
        """With every candidate's figures asked for once."""
        return cls(shortlist, columns, [figures(one) for one in shortlist], titles)

    @property
    def heads(self) -> list[str]:
        """One line per column, with its unit and the direction in which it is better."""
        known = [f"{c.label}{f' [{c.metric.unit}]' if c.metric.unit else ''}" for c in self.columns]
        arrows = ["↑" if c.metric.higher_is_better else "↓" for c in self.columns]
        return ["candidate", "model", "λ", *(f"{name} {arrow}" for name, arrow in zip(known, arrows)), "note"]

    def rows(self) -> list[list[str]]:
        """What people read: figures as on the page, behind them what distinguishes them from the one compared with."""
        return [
            [
                one.name,
                self.titles.get(one.model, one.model),
                f"({written(one.preference).replace(',', ', ')})",
                *(self._told(one, figures, column) for column in self.columns),
                one.note,
            ]
            for one, figures in zip(self.shortlist, self.figures)
        ]

    def upright(self) -> tuple[list[str], list[list[str]]]:
        """The same with a column per candidate, for paper: heads and rows."""
        lines = list(zip(self.heads, *self.rows()))
        return list(lines[0]), [list(line) for line in lines[1:]]

    def _told(self, candidate: Candidate, figures: Figures, column: Column) -> str:
        """A figure with its change against the candidate that all are compared with."""
        if column.key not in figures:
            return "–"
        told = column.metric.format(figures[column.key])
        before = self._reference().get(column.key)
        if before is None or candidate.name == self.shortlist.against:
            return told
        return f"{told} ({column.metric.change(figures[column.key], before)})"

    def _reference(self) -> Figures:
        compared = self.shortlist.compared
        return {} if compared is None else self.figures[list(self.shortlist).index(compared)]

    # -- files ---------------------------------------------------------------------------------------------------------
    def csv(self) -> str:
        """A row per candidate: λ by its tasks, every figure in its own unit (fractions as fractions)."""
        count = max((len(one.preference) for one in self.shortlist), default=0)
        heads = ["candidate", "model", *(f"λ{t + 1}" for t in range(count)), *(c.key for c in self.columns), "note"]
        rows = [
            [one.name, one.model, *one.preference, *(figures.get(c.key) for c in self.columns), one.note]
            for one, figures in zip(self.shortlist, self.figures)
        ]
        return csv_text(heads, rows)

    def markdown(self) -> str:
        """A table as GitHub shows it."""
        lines = [self.heads, ["---"] * len(self.heads), *self.rows()]
        return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)

    def latex(self) -> str:
        """A ``booktabs`` table."""
        arrows = {"↑": r"$\uparrow$", "↓": r"$\downarrow$", "−": "$-$", "±": r"$\pm$"}

        def line(cells: Sequence[str]) -> str:
            told = " & ".join(map(escape, cells))
            for mark, command in arrows.items():
                told = told.replace(mark, command)
            return told + r" \\"

        body = [line(row) for row in self.rows()]
        begin = [r"\begin{tabular}{lll" + "r" * len(self.columns) + "l}", r"\toprule", line(self.heads), r"\midrule"]
        return "\n".join([*begin, *body, r"\bottomrule", r"\end{tabular}"]) + "\n"
