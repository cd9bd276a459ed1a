"""Puts a gathered view into one HTML file without scripts; everything in it is escaped or encoded."""

from __future__ import annotations

import base64
import html
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from app.components.model_cards import facts, listed
from app.exports.report.front_svg import front_svg
from app.exports.report.gather import Gathered, TaskView, gather
from app.library.loading import LoadedModel
from app.services import Services

HERE = Path(__file__).resolve().parent
SMALL_TASKS = 6
MOST_PAIRS = 3


def report(
    services: Services, loaded: LoadedModel, image: str, label: str, preference: Sequence[float], seed: int = 0
) -> bytes:
    """The file for one input at λ [T]; ``seed`` is of what goes on from it.

    Raises:
        UserError: no such image, or the server is too busy.
    """
    return compose(gather(services, loaded, image, label, preference, seed)).encode()


def compose(view: Gathered) -> str:
    """Fill the template."""
    loaded = view.loaded
    card = facts(loaded.card, None, loaded.benchmark)
    front = loaded.front
    filled = {
        "TITLE": html.escape(str(loaded.card.get("title") or loaded.entry.title)),
        "STYLE": (HERE / "report.css").read_text(encoding="utf-8"),
        "DATE": time.strftime("%d %B %Y, %H:%M UTC", time.gmtime()),
        "IMAGE": html.escape(view.image),
        "PREFERENCE": _preference(view),
        "INPUT": (figure("input", view.picture) if view.picture else told_html(view.told)) + note_html(view.note),
        "TASKS": "".join(_task(task) for task in view.tasks if task.pictures),
        "VALUES": _values(view.tasks),
        "METRICS": _metrics(view.tasks),
        "FRONT": _front(view) if front is not None and len(view.tasks) > 1 else "<p>No front was evaluated.</p>",
        "CARD": "".join(f"<h3>{html.escape(name)}</h3>{listed(section)}" for name, section in card.items()),
        "WEIGHTS": html.escape(str(loaded.card.get("weights_sha256", ""))),
    }
    template = (HERE / "report.html").read_text(encoding="utf-8")
    return re.sub("@([A-Z]+)@", lambda match: filled[match[1]], template)


def note_html(text: str) -> str:
    """A paragraph, if there is something to say."""
    return f"<p>{html.escape(text)}</p>" if text else ""


def told_html(told: Mapping[str, Any]) -> str:
    """An input without a picture: its text, or rows of what and text."""
    rows = told.get("rows", ())
    text = f'<p class="text">{html.escape(str(told["text"]))}</p>' if "text" in told else ""
    return text + (table(("input", ""), rows, "Input") if rows else "")


def _preference(view: Gathered) -> str:
    if not view.loaded.model.controllable:
        return "<p>One solution: this network was trained for one trade-off and has no λ.</p>"
    rows = zip((task.title for task in view.tasks), view.preference)
    bars = (
        f'<div class="weight"><span>{html.escape(title)}</span><i style="width:{100 * min(1, max(0, value)):.1f}%"></i>'
        f"<b>{value:.4f}</b></div>"
        for title, value in rows
    )
    return f'<div class="weights">{"".join(bars)}</div>'


def _task(task: TaskView) -> str:
    pictures = "".join(figure(caption, data) for caption, data in task.pictures)
    inner = f'<div class="pictures">{pictures}</div>{legend(task.legend)}'
    return f"<section><h2>{html.escape(task.title)}</h2>{inner}</section>"


def figure(caption: str, data: bytes) -> str:
    """A picture with its caption."""
    kind = "png" if data.startswith(b"\x89PNG") else "webp"
    address = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    told = html.escape(caption)
    return f'<figure><img src="{address}" alt="{told}"><figcaption>{told}</figcaption></figure>'


def legend(legend: dict) -> str:
    """How the colours of a task are read."""
    parts = [f"<span>{html.escape(legend['text'])}</span>"] if "text" in legend else []
    if "classes" in legend:
        chips = [*zip(legend["colours"], legend["classes"])]
        chips += [(legend["wrong"], "error: wrong class")] if "wrong" in legend else []
        parts += [f'<span><i style="background:{c}"></i>{html.escape(str(name))}</span>' for c, name in chips]
    parts += [_ramp(legend, "prediction")] if "ramp" in legend else []
    parts += [_ramp(legend["error"], "error")] if "error" in legend else []
    return f'<div class="legend">{"".join(parts)}</div>'


def _ramp(scale: dict, what: str) -> str:
    words = scale.get("ends", ("", ""))
    low, high = (
        f"{value:.3g} {html.escape(scale['unit'])} {word}".strip() for value, word in zip(scale["range"], words)
    )
    colours = ", ".join(scale["ramp"])
    return f'<span>{what}: {low} <i class="ramp" style="background:linear-gradient(90deg,{colours})"></i> {high}</span>'


def _values(tasks: Iterable[TaskView]) -> str:
    rows = [(task.told_of, *row) for task in tasks for row in task.values]
    return table(("task", "", "prediction", "ground truth"), rows, "Predictions") if rows else ""


def _metrics(tasks: Iterable[TaskView]) -> str:
    rows = [(task.title, *row) for task in tasks for row in task.metrics]
    heads = ("task", "metric", "better", "evaluated split, at λ", "this input", "best on the front")
    return table(heads, rows, "Metrics") if rows else ""


def paragraphs(texts: Iterable[str]) -> str:
    """A paragraph for each."""
    return "".join(f"<p>{html.escape(text)}</p>" for text in texts)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], title: str, below: str = "") -> str:
    """A section with a table, and HTML ``below`` it."""
    head = "".join(f"<th>{html.escape(text)}</th>" for text in heads)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row) + "</tr>" for row in rows)
    return f"<section><h2>{title}</h2><div class='scroll'><table><tr>{head}</tr>{body}</table></div>{below}</section>"


def _front(view: Gathered) -> str:
    """The front over every pair of tasks, or over the first three pairs."""
    front = view.loaded.front
    assert front is not None
    names = [task.title for task in view.tasks]
    pairs = list(combinations(range(len(names)), 2))[:MOST_PAIRS]
    drawings = "".join(front_svg(front, view.preference, names, a, b) for a, b in pairs)
    split = html.escape(str(front.about.get("split", "test")))
    few = len(names) <= SMALL_TASKS
    volume = (
        f" Hypervolume {front.hypervolume():.4f} up to ({', '.join(f'{v:g}' for v in front.reference)})." if few else ""
    )
    note = f"{len(front.preferences)} preferences on the {split} split. The diamond is this view.{volume}"
    return f'<div class="fronts">{drawings}</div><p>{note}</p>'
