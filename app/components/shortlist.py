"""The shortlist for the browser and for files: each candidate with its figures on the evaluated split."""

from __future__ import annotations

from functools import partial
from typing import Any

from app.analysis.queries import columns, interpolate, on_simplex
from app.bench.shortlist import Candidate, Shortlist
from app.components.side_by_side import same_image
from app.exports.shortlist import Table
from app.library.loading import LoadedModel
from app.services import services
from palora_core.errors import UserError


def figures(loaded: LoadedModel, candidate: Candidate) -> dict[str, float]:
    """A candidate's figures by column: its own model's front between its points; {} where there is none."""
    own = model_of(loaded, candidate)
    if own is None or own.front is None or not on_simplex(candidate.preference):
        return {}
    found = columns(own.front, own.tasks)
    values = {c.key: float(interpolate(own.front.preferences, c.values, candidate.preference)[0]) for c in found}
    return {key: value for key, value in values.items() if value == value}


def model_of(loaded: LoadedModel, candidate: Candidate) -> LoadedModel | None:
    """The model of a candidate: the one on screen, or another one of its problem; None if that is gone or differs."""
    if candidate.model == loaded.entry.id:
        return loaded
    try:
        other = services().registry.get(candidate.model)
    except UserError:
        return None
    alike = other.entry.benchmark == loaded.entry.benchmark and [t.name for t in other.tasks] == [
        t.name for t in loaded.tasks
    ]
    return other if alike else None


def shortlist_data(loaded: LoadedModel, shortlist: Shortlist, image: str, reported: Any = None) -> dict[str, Any]:
    """What the browser is told of the shortlist.

    Args:
        loaded: the model on screen.
        shortlist: its candidates.
        image: the input on screen.
        reported: what the browser reported last, whose ``revision`` is told back.
    """
    rows = []
    for candidate in shortlist:
        own = model_of(loaded, candidate)
        here = own is not None and (own is loaded or same_image(loaded, own, image))
        rows.append({**candidate.to_json(), "figures": figures(loaded, candidate), "here": here})
    revision = reported.get("revision", 0) if isinstance(reported, dict) else 0
    return {"candidates": rows, "against": shortlist.against, "revision": revision if isinstance(revision, int) else 0}


def shortlist_table(loaded: LoadedModel, shortlist: Shortlist) -> Table:
    """A shortlist with all figures, for files and reports."""
    known = {one.model: model_of(loaded, one) for one in shortlist}
    titles = {model: own.entry.short_title for model, own in known.items() if own is not None}
    found = [] if loaded.front is None else columns(loaded.front, loaded.tasks)
    return Table.of(shortlist, found, partial(figures, loaded), titles)
