"""How far apart the corners of a front are, by one setting: a figure and a table from the runs of a sweep.

``palora sweep grid --benchmark census --param hidden=1,2,3,4,6,8 … --out SWEEP``, then
``python scripts/widths.py SWEEP/results.json --out docs/results/census_width``.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _cli import main

from palora_core.checkpoint import benchmark_of
from palora_core.errors import UserError
from palora_core.evaluation.front import Front
from palora_core.objectives import Metric, Objective
from palora_core.storage.cards import read_card

COLOURS = ("#1f5fae", "#c4501b", "#2d7d46")


@dataclass(frozen=True)
class Run:
    """One point of the sweep.

    Attributes:
        value: of the setting.
        front: on the test split.
        tasks: what was learnt.
    """

    value: float
    front: Front
    tasks: tuple[Objective, ...]

    def at_corner(self, task: int, corner: int) -> float:
        """The first metric of a task where only ``corner`` counts, fractions in percent."""
        row = self.front.nearest(np.eye(len(self.tasks))[corner])
        metric = self.tasks[task].metrics[0]
        value = float(self.front.metrics[f"{self.tasks[task].name}/{metric.name}"][row])
        return 100 * value if metric.unit == "%" else value


def run() -> None:
    parser = argparse.ArgumentParser(description="The corners of fronts by one setting.")
    parser.add_argument("results", type=Path, help="results.json of a sweep over one setting")
    parser.add_argument("--out", type=Path, required=True, help="NAME: writes NAME.png and NAME.md")
    args = parser.parse_args()
    name, runs = read(args.results)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    draw(name, runs, args.out.with_suffix(".png"))
    args.out.with_suffix(".md").write_text(table(name, runs, args.out.with_suffix(".png").name), encoding="utf-8")
    print(args.out.with_suffix(".md").read_text(encoding="utf-8"))


def read(path: Path) -> tuple[str, list[Run]]:
    """The setting, and its runs in order."""
    rows = json.loads(path.read_text(encoding="utf-8"))["results"]
    names = {name for row in rows for name in row["settings"]}
    if len(names) != 1:
        raise UserError(f"{path} varies {', '.join(sorted(names)) or 'nothing'}; expected a sweep over one setting.")
    (name,) = names
    runs = []
    for row in rows:
        folder = path.parent / row["folder"]
        tasks = tuple(benchmark_of(read_card(folder)).tasks)
        runs.append(Run(float(row["settings"][name]), Front.load(folder / "front.json"), tasks))
    return name, sorted(runs, key=lambda one: one.value)


def draw(name: str, runs: list[Run], path: Path) -> None:
    """A panel per task: at its own corner, and at the corners of the others."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    tasks, x = runs[0].tasks, [run.value for run in runs]
    figure, places = pyplot.subplots(1, len(tasks), figsize=(4.4 * len(tasks), 3.2), squeeze=False)
    for t, (place, task) in enumerate(zip(places[0], tasks)):
        own = [run.at_corner(t, t) for run in runs]
        place.plot(x, own, color=COLOURS[t % 3], marker="o", label=f"λ on {words(task)}")
        for other, rival in enumerate(tasks):
            if other != t:
                there = [run.at_corner(t, other) for run in runs]
                place.plot(
                    x, there, color=COLOURS[t % 3], marker="o", mfc="white", ls="--", label=f"λ on {words(rival)}"
                )
                place.fill_between(x, own, there, color=COLOURS[t % 3], alpha=0.12, lw=0)
        place.set_title(f"{words(task)}, {label(task.metrics[0])}", fontsize=10)
        place.set_xlabel(name.replace("_", " "))
        place.set_xticks(x)
        place.legend(frameon=False, fontsize=9)
        place.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def table(name: str, runs: list[Run], picture: str) -> str:
    """The same as Markdown, with hypervolume and effect."""
    tasks, training = runs[0].tasks, runs[0].front.about
    heads = [f"{words(task)} {label(task.metrics[0])}: λ on {words(other)}" for task in tasks for other in tasks]
    heads += ["hypervolume of losses", *(f"{words(task)} changed by λ %" for task in tasks)]
    lines = [f"| {name} | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for run in runs:
        cells = [f"{run.at_corner(t, other):.2f}" for t in range(len(tasks)) for other in range(len(tasks))]
        effect = run.front.effect()
        cells += [f"{run.front.hypervolume():.4f}", *(f"{100 * effect[task.name]:.1f}" for task in tasks)]
        lines.append(f"| {run.value:g} | {' | '.join(cells)} |")
    told = f"{training.get('title', '')} on {training.get('benchmark', '')}"
    about = f"{told}, {training.get('items', 0):,} test items, one seed."
    title = f"# {training.get('benchmark', '').capitalize()} by {name}"
    return "\n\n".join([title, f"![corners by {name}]({picture})", about, "\n".join(lines)]) + "\n"


def words(task: Objective) -> str:
    return task.name.replace("_", " ")


def label(metric: Metric) -> str:
    return f"{metric.label} {metric.unit}".rstrip()


if __name__ == "__main__":
    main(run)
