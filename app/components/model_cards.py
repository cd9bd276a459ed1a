"""What a model's card says, as short facts and as a small picture of its front; no Streamlit here."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from app.analysis import effects
from app.components.method_styles import method_style
from app.library.cards import checked_benchmark
from app.library.entries import IMPORTED, OWN, Entry
from palora_core import checkpoint
from palora_core.benchmarks.base import benchmarks, origin
from palora_core.errors import UserError
from palora_core.evaluation.front import Front
from palora_core.methods.base import methods

WIDTH, HEIGHT, MARGIN = 250, 92, 10
Facts = dict[str, str]


@dataclass(frozen=True)
class Card:
    """A model as the Models page shows it.

    Attributes:
        entry: where it comes from.
        title: for people.
        method: registry name.
        tasks: task names.
        data: what its data are where they are not simply real.
        single: whether it is one solution instead of a front.
        facts: sections → facts, in the order they are shown.
        front: its front, if there is one.
        problem: one sentence on why it cannot be used.
    """

    entry: Entry
    title: str
    method: str = ""
    tasks: tuple[str, ...] = ()
    data: str = ""
    single: bool = False
    facts: dict[str, Facts] = field(default_factory=dict)
    front: Front | None = None
    problem: str | None = None

    @property
    def origin(self) -> str:
        """Where it comes from, in a word."""
        return {OWN: "own run", IMPORTED: "imported"}.get(self.entry.group, "shipped")


def read(entry: Entry) -> Card:
    """The card of a model folder, however damaged."""
    if entry.problem:
        return Card(entry, entry.title, problem=entry.problem)
    try:
        card = checkpoint.read_card(entry.folder)
        front = _front(entry.folder)
        tasks = tuple(str(task["name"]) for task in card["tasks"])
        method = str(card["method"].get("name", ""))
        kind = benchmarks.get(entry.benchmark) if entry.benchmark in benchmarks else None
        single = front is not None and len(front.preferences) == 1
        title = str(card.get("title") or entry.title)
        return Card(entry, title, method, tasks, origin(kind), single, facts(card, front, kind), front)
    except (UserError, KeyError, TypeError, ValueError, AttributeError):
        problem = f"The card of {entry.folder.name} is incomplete; copy the model folder again."
        return Card(entry, entry.title, problem=problem)


def row(card: Card) -> dict[str, Any]:
    """A card as a row of a table."""
    front, network = card.front, card.facts.get("Network", {})
    few = front is not None and len(front.tasks) <= 5
    return {
        "model": ("⚠ " if card.problem else "") + card.title,
        "folder": card.entry.folder.name,
        "kind": "" if front is None else "one solution" if card.single else f"front of {len(front.preferences)}",
        "hypervolume": round(front.hypervolume(), 4) if few else None,
        "parameters": network.get("parameters", card.problem or "").partition(" parameters")[0],
    }


def _front(folder: Path) -> Front | None:
    try:
        return Front.load(folder / "front.json")
    except UserError:
        return None


def facts(card: Mapping[str, Any], front: Front | None, benchmark: Any) -> dict[str, Facts]:
    """All sections of a card; what it does not know is left out."""
    sections = {
        "Data": _data(card, benchmark),
        "Network": _network(card),
        "Training": _training(card),
        "Merged": _merged(card),
        "Front": {**quality(front), **_effect(card, front)} if front is not None else {},
        "Terms": _terms(card),
    }
    return {name: kept for name, section in sections.items() if (kept := {k: v for k, v in section.items() if v})}


def _data(card: Mapping[str, Any], benchmark: Any) -> Facts:
    name = getattr(benchmark, "title", "") or card["benchmark"]["name"]
    options = {k: v for k, v in (card["benchmark"].get("options") or {}).items() if v not in (0, "", None, False)}
    items = (card.get("training") or {}).get("train_items")
    data = origin(benchmark)
    return {
        "benchmark": f"{name} ({data})" if data and "synthetic" not in name else str(name),
        "data": str(card.get("data") or getattr(benchmark, "summary", "")),
        "tasks": ", ".join(f"{t['name'].replace('_', ' ')} ({t['kind']})" for t in card["tasks"][:8])
        + (f" and {len(card['tasks']) - 8} more" if len(card["tasks"]) > 8 else ""),
        "training items": f"{items:,}" if items else "",
        "options": ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in options.items()),
    }


def _network(card: Mapping[str, Any]) -> Facts:
    method = card["method"]
    name = str(method.get("name", ""))
    title = getattr(methods.get(name), "title", name) if name in methods else name
    title = "merged, not trained" if "merged" in card else title
    conditioning = method.get("conditioning") or {}
    kept = {k: v for k, v in conditioning.items() if k in ("rank", "alpha", "conv_form")}
    told = [f"{k.replace('_', ' ')} {v}" for k, v in kept.items()]
    told += ["members drawn apart at the start"] if conditioning.get("reinit") is True else []
    counts = card.get("parameters") or {}
    size = f"{counts['base'] + counts['extra']:,}" if {"base", "extra"} <= set(counts) else ""
    overhead = counts.get("overhead_percent")
    return {
        "method": str(title),
        "conditioning": ", ".join(told),
        "network": str(card["network"]["name"]),
        "parameters": (size and f"{size} parameters")
        + (f", {overhead:.2f} % on top of the plain network" if overhead is not None else ""),
    }


def _training(card: Mapping[str, Any]) -> Facts:
    training, machine = card.get("training") or {}, card.get("machine") or {}
    seconds = training.get("seconds")
    where = ", ".join(str(machine[key]) for key in ("processor", "gpu") if machine.get(key))
    cores = machine.get("cores")
    finished = training.get("finished")
    return {
        "epochs": str(training.get("epochs") or ""),
        "seed": str(training.get("seed", "")),
        "time": duration(seconds) if seconds is not None else "",
        "machine": where + (f", {cores} cores" if where and cores else ""),
        "state": "stopped before its end" if finished is False else "",
    }


def _merged(card: Mapping[str, Any]) -> Facts:
    """What a model that was not trained was made of."""
    told = card.get("merged")
    if not isinstance(told, Mapping):
        return {}
    parts = told.get("parts")
    names = (
        [str(part.get("name", "")) for part in parts if isinstance(part, Mapping)] if isinstance(parts, list) else []
    )
    tasks = [str(task["name"]).replace("_", " ") for task in card["tasks"]]
    corners = [f"{task}: {name}" for task, name in zip(tasks, names)]
    error, statistics = told.get("error"), str(told.get("statistics", ""))
    statistics = {"measured": "measured on training inputs", "mixed": "mixed by λ, near between the corners"}.get(
        statistics, ""
    )
    return {
        "at its corners": ", ".join(corners),
        "start": "what all were fine-tuned from" if told.get("base") is True else "the mean",
        "relative error": f"{error:.2g}" if isinstance(error, float) and error > 1e-6 else "exact",
        "BatchNorm statistics": statistics,
    }


def quality(front: Front) -> Facts:
    """How good an evaluated front is."""
    few = len(front.tasks) <= 5
    point = ", ".join(f"{v:g}" for v in front.reference)
    alignment = [v for v in front.spearman() if np.isfinite(v)] if len(front.preferences) > 1 else []
    names = [name.replace("_", " ") for name in front.tasks]
    best = front.objectives.min(0)
    return {
        "evaluated on": f"{front.about.get('split', 'test')} split, {len(front.preferences)} preferences",
        "hypervolume": f"{front.hypervolume():.4f} up to ({point})" if few else "",
        "non-dominated": f"{int(front.nondominated().sum())} of {len(front.preferences)}",
        "Spearman": ", ".join(f"{v:.2f}" for v in alignment[:6]),
        "best loss": ", ".join(f"{n} {v:.4g}" for n, v in zip(names[:4], best)),
    }


def _effect(card: Mapping[str, Any], front: Front) -> Facts:
    """What λ changes between its corners; nothing of objectives that this program does not know."""
    try:
        objectives = checked_benchmark(card).tasks
    except UserError:
        return {}
    return {"λ changes": "; ".join(f"{name}: {text}" for name, text in effects.told(front, objectives))}


def _terms(card: Mapping[str, Any]) -> Facts:
    citation = card.get("citation") or {}
    cited = "; ".join(str(v) for v in citation.values() if v) if isinstance(citation, Mapping) else str(citation)
    return {"licence": str(card.get("licence") or ""), "limits": str(card.get("limits") or ""), "please cite": cited}


def listed(section: Facts) -> str:
    """Facts as an HTML list in two columns; nothing in them is markup."""
    rows = "".join(
        f'<dt style="opacity:.7">{html.escape(name)}</dt><dd style="margin:0">{html.escape(text)}</dd>'
        for name, text in section.items()
    )
    grid = "display:grid;grid-template-columns:132px 1fr;gap:5px 14px;margin:0;font-size:.92rem"
    return f'<dl style="{grid}">{rows}</dl>'


def duration(seconds: float) -> str:
    """For people: ``"45 s"``, ``"12 min"``, ``"3.4 h"``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def thumbnail(card: Card) -> str:
    """A small SVG of the front: the first two losses (bars of all losses for other numbers of tasks)."""
    style = method_style(card.method)
    if card.front is None or len(card.front.tasks) < 2:
        return ""
    values = card.front.objectives
    shapes = _bars(values[0], style.colour) if card.single or values.shape[1] < 2 else _dots(values, style.colour)
    label = html.escape(f"front of {card.title}")
    axes = f'<path d="M{MARGIN} 4V{HEIGHT - MARGIN}H{WIDTH - 4}" fill="none" stroke="#8888" />'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="100%" height="{HEIGHT}" '
        f'role="img" aria-label="{label}">{axes}{shapes}</svg>'
    )


def _dots(values: np.ndarray, colour: str) -> str:
    points = values[np.isfinite(values[:, :2]).all(1), :2]
    if not len(points):
        return ""
    low, extent = points.min(0), np.ptp(points, axis=0)
    scaled = (points - low) / np.where(extent > 0, extent, 1)
    x = MARGIN + 8 + scaled[:, 0] * (WIDTH - 2 * MARGIN - 16)
    y = HEIGHT - MARGIN - 8 - scaled[:, 1] * (HEIGHT - 2 * MARGIN - 12)
    return "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.4" fill="{colour}" />' for a, b in zip(x, y))


def _bars(values: Sequence[float] | np.ndarray, colour: str) -> str:
    top = max(float(np.nanmax(values)), 1e-9)
    step = (WIDTH - 2 * MARGIN) / len(values)
    width = min(46.0, 0.6 * step)
    parts = []
    for i, value in enumerate(values):
        height = max(1.0, (HEIGHT - 2 * MARGIN - 8) * max(0.0, float(value)) / top)
        x = MARGIN + step * (i + 0.5) - width / 2
        y = HEIGHT - MARGIN - height
        parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}" />')
    return "".join(parts)
