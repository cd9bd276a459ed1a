"""A decision as one HTML file to print: question, choice, candidates, evidence, journal, card, and how to repeat it."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from app.analysis import limits, trade_offs
from app.analysis.queries import columns
from app.bench.journal import Journal
from app.bench.preferences import told, written
from app.bench.shortlist import Candidate
from app.bench.view import View
from app.components.finder import wishes_of
from app.components.model_cards import facts, listed
from app.components.shortlist import model_of, shortlist_table
from app.components.side_by_side import same_image
from app.exports.report.compose import HERE, MOST_PAIRS, figure, legend, note_html, paragraphs, table
from app.exports.report.front_svg import front_svg
from app.exports.report.gather import Gathered, gather
from app.library.loading import LoadedModel
from app.pictures.scenes import note
from app.services import Services


@dataclass(frozen=True)
class Evidence:
    """What a candidate predicts for the input on screen."""

    candidate: Candidate
    seen: Gathered


def decision_report(
    services: Services, loaded: LoadedModel, view: View, journal: Journal, label: str, trust: str = ""
) -> bytes:
    """The file.

    Args:
        services: whom to ask for pictures.
        loaded: the model on screen.
        view: with at least one candidate.
        journal: what was done.
        label: the input on screen, for people.
        trust: a section on how sure the figures are, as HTML.

    Raises:
        UserError: the server is too busy.
    """
    chosen = view.shortlist.get(view.decision.choice) or view.shortlist.compared or next(iter(view.shortlist))
    evidence = _evidence(services, loaded, view, label)
    rows = shortlist_table(loaded, view.shortlist)
    card = facts(loaded.card, None, loaded.benchmark)
    filled = {
        "TITLE": html.escape(str(loaded.card.get("title") or loaded.entry.title)),
        "STYLE": (HERE / "report.css").read_text(encoding="utf-8"),
        "QUESTION": html.escape(view.decision.question or "Which trade-off?"),
        "DATE": time.strftime("%d %B %Y, %H:%M UTC", time.gmtime()),
        "CHOICE": _choice(view),
        "CANDIDATES": table(*rows.upright(), "Candidates"),
        "LIMITS": _limits(loaded, view, chosen),
        "TRUST": trust,
        "IMAGE": html.escape(label),
        "NOTE": note_html(note(loaded, view.image, services.uploads)),
        "EVIDENCE": _pictures(evidence) + _words(evidence),
        "FRONT": _front(loaded, view, chosen),
        "JOURNAL": _journal(journal),
        "COMMAND": _command(loaded, view, chosen),
        "CARD": "".join(f"<h3>{html.escape(name)}</h3>{listed(section)}" for name, section in card.items()),
        "WEIGHTS": html.escape(str(loaded.card.get("weights_sha256", ""))),
    }
    template = (HERE / "decision.html").read_text(encoding="utf-8")
    return re.sub("@([A-Z]+)@", lambda match: filled[match[1]], template).encode()


def _evidence(services: Services, loaded: LoadedModel, view: View, label: str) -> list[Evidence]:
    """Predictions of all candidates that read the same input."""
    found = []
    for candidate in view.shortlist:
        own = model_of(loaded, candidate)
        if view.image and own is not None and (own is loaded or same_image(loaded, own, view.image)):
            found.append(Evidence(candidate, gather(services, own, view.image, label, candidate.preference)))
    return found


def _choice(view: View) -> str:
    chosen = view.shortlist.get(view.decision.choice)
    if chosen is None:
        return "<p class='choice'>Nothing is chosen yet.</p>"
    reason = f'<p class="text">{html.escape(view.decision.reason)}</p>' if view.decision.reason else ""
    noted = f"<p>{html.escape(chosen.note)}</p>" if chosen.note else ""
    return f"<p class='choice'>{html.escape(chosen.name)}, {told(chosen.preference)}</p>{reason}{noted}"


def _limits(loaded: LoadedModel, view: View, chosen: Candidate) -> str:
    """The limits, whether the choice meets them, and what one gain costs there."""
    front, wishes = loaded.front, wishes_of(loaded, view)
    if front is None or chosen.model != loaded.entry.id:
        return "<p>No limits were set.</p>"
    leading = trade_offs.leading(columns(front, loaded.tasks), loaded.tasks)
    here = limits.here(front, wishes, chosen.preference).replace("This λ", f"{chosen.name}", 1)
    said = [f"Limits: {'; '.join(map(str, wishes))}." if wishes else "No limits were set.", here]
    said += trade_offs.sentences(front, leading, chosen.preference)
    return paragraphs(text for text in said if text)


def _pictures(evidence: Sequence[Evidence]) -> str:
    """Per task with pictures the ground truth, where there is one, and every candidate's prediction."""
    parts = []
    for number, task in enumerate(evidence[0].seen.tasks if evidence else ()):
        if not task.pictures:
            continue
        known = [figure(caption, data) for caption, data in task.pictures if caption == "ground truth"]
        shown = [
            figure(f"{one.candidate.name}, {told(one.candidate.preference)}", data)
            for one in evidence
            for caption, data in one.seen.tasks[number].pictures
            if caption == "prediction"
        ]
        inner = f'<div class="beside">{"".join(known + shown)}</div>{legend(task.legend)}'
        parts.append(f"<h3>{html.escape(task.title)}</h3>{inner}")
    return "".join(parts)


def _words(evidence: Sequence[Evidence]) -> str:
    """What tasks without pictures say, a row per candidate."""
    rows = [
        [one.candidate.name, task.told_of, what, predicted, truth]
        for one in evidence
        for task in one.seen.tasks
        for what, predicted, truth in task.values
    ]
    return table(("candidate", "task", "", "prediction", "ground truth"), rows, "Predictions") if rows else ""


def _front(loaded: LoadedModel, view: View, chosen: Candidate) -> str:
    front = loaded.front
    if front is None or loaded.num_tasks < 2:
        return "<p>No front was evaluated.</p>"
    names = [task.name.replace("_", " ").capitalize() for task in loaded.tasks]
    marks = [(one.name, one.preference) for one in view.shortlist if one.model == loaded.entry.id and one is not chosen]
    pairs = list(combinations(range(len(names)), 2))[:MOST_PAIRS]
    drawings = "".join(front_svg(front, chosen.preference, names, a, b, marks) for a, b in pairs)
    split = html.escape(str(front.about.get("split", "test")))
    told_of = f"The diamond is {html.escape(chosen.name)}; letters are the other candidates."
    return f'<div class="fronts">{drawings}</div><p>{len(front.preferences)} preferences, {split} split. {told_of}</p>'


def _journal(journal: Journal) -> str:
    rows = [
        (time.strftime("%H:%M:%S", time.gmtime(event.at)), event.said + (" (taken back)" if event.undone else ""))
        for event in journal
    ]
    return table(("time (UTC)", "step"), rows, "Journal") if rows else ""


def _command(loaded: LoadedModel, view: View, chosen: Candidate) -> str:
    """The commands that give the network that was chosen, and the address of this view."""
    own = model_of(loaded, chosen) or loaded
    weights = " ".join(f"{value:g}" for value in chosen.preference)
    folder = html.escape(own.entry.folder.name)
    lines = [
        f"palora export {folder} --preference {weights} --format safetensors --out chosen.safetensors",
        f"palora export {folder} --preference {weights} --format onnx --out chosen.onnx",
    ]
    link = "&".join(f"{key}={value}" for key, value in view.to_link([view.image]).items())
    address = f"<p>The view, behind the address of the dashboard: <code>?{html.escape(link)}</code></p>"
    return f"<pre>{chr(10).join(lines)}</pre><p>λ = ({written(chosen.preference)})</p>{address}"
