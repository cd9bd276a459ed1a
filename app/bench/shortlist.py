"""Candidates: trade-offs that a person has named, and the few of them that are weighed against each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, unquote

from app.bench.preferences import Preference, checked, parsed, written
from palora_core.errors import UserError, quoted

MOST = 6
MOST_NAME, MOST_NOTE, MOST_ID = 24, 200, 200
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Candidate:
    """A λ with a name.

    Attributes:
        name: unlike that of the other candidates.
        model: id of the model that it is of.
        preference: λ [T].
        note: what its owner wrote about it.
    """

    name: str
    model: str
    preference: Preference
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """For files and the browser."""
        return {"name": self.name, "model": self.model, "preference": list(self.preference), "note": self.note}

    @classmethod
    def from_json(cls, found: Any, num_tasks: int) -> Candidate:
        """What :meth:`to_json` wrote, checked.

        Raises:
            UserError: it is no candidate of T tasks.
        """
        if not isinstance(found, Mapping):
            raise UserError(f"a candidate is {quoted(found)}, expected its name, model and λ")
        name, model, note = (found.get(key, "") for key in ("name", "model", "note"))
        preference = checked(found.get("preference"), num_tasks)
        if not isinstance(name, str) or not name.strip() or not isinstance(model, str) or not 0 < len(model) <= MOST_ID:
            raise UserError(f"a candidate is called {quoted(name)} of the model {quoted(model)}, expected two names")
        if preference is None:
            raise UserError(f"λ of the candidate {quoted(name)} is not {num_tasks} numbers")
        note = note[:MOST_NOTE].strip() if isinstance(note, str) else ""
        return cls(" ".join(name.split())[:MOST_NAME], model, preference, note)

    def to_link(self, model: str) -> str:
        """As a part of an address; the model is left out where it is ``model``."""
        parts = [quote(self.name, safe=" "), written(self.preference), quote(self.note, safe=" ")]
        parts.append("" if self.model == model else quote(self.model, safe="/ "))
        return ":".join(parts).rstrip(":")

    @classmethod
    def from_link(cls, text: str, model: str, num_tasks: int) -> Candidate:
        """What :meth:`to_link` wrote, checked.

        Raises:
            UserError: it is no candidate of T tasks.
        """
        name, preference, note, other, *more = [*text.split(":"), "", "", ""]
        if any(more):
            raise UserError(f"the candidate {quoted(text)} has more than four parts")
        found = {"name": unquote(name), "preference": parsed(preference, num_tasks), "note": unquote(note)}
        return cls.from_json(found | {"model": unquote(other) or model}, num_tasks)


@dataclass(frozen=True)
class Shortlist:
    """At most ``MOST`` candidates of unlike names.

    Attributes:
        candidates: in the order in which they were kept.
        against: the name of the one that all others are compared with; "" if none is.
    """

    candidates: tuple[Candidate, ...] = ()
    against: str = ""

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self.candidates)

    def __len__(self) -> int:
        return len(self.candidates)

    def get(self, name: str) -> Candidate | None:
        """The candidate of a name."""
        return next((one for one in self.candidates if one.name == name), None)

    @property
    def compared(self) -> Candidate | None:
        """The candidate that all others are compared with."""
        return self.get(self.against)

    def free_name(self) -> str:
        """The first letter that no candidate is called by."""
        return next(letter for letter in LETTERS if self.get(letter) is None)

    def kept(self, model: str, preference: Preference, name: str = "", note: str = "") -> Shortlist:
        """With one more candidate, to compare with if it is the first.

        Raises:
            UserError: there are ``MOST`` already, or one of this name.
        """
        if len(self) >= MOST:
            raise UserError(f"The shortlist holds {MOST} candidates, which is as many as it takes; remove one first.")
        name = name or self.free_name()
        if self.get(name):
            raise UserError(f"There is a candidate called {quoted(name)}; choose another name, or remove that one.")
        added = (*self.candidates, Candidate(name, model, preference, note))
        return Shortlist(added, self.against or name)

    def without(self, name: str) -> Shortlist:
        """With one candidate less; what was compared with it is compared with the first of the others."""
        left = tuple(one for one in self.candidates if one.name != name)
        against = self.against if self.against != name else (left[0].name if left else "")
        return Shortlist(left, against)

    def noted(self, name: str, note: str) -> Shortlist:
        """With what is written about a candidate."""
        changed = (replace(one, note=note[:MOST_NOTE]) if one.name == name else one for one in self.candidates)
        return replace(self, candidates=tuple(changed))

    def to_json(self) -> dict[str, Any]:
        """For files and the browser."""
        return {"candidates": [one.to_json() for one in self.candidates], "against": self.against}

    @classmethod
    def from_json(cls, found: Any, num_tasks: int) -> Shortlist:
        """What :meth:`to_json` wrote, checked.

        Raises:
            UserError: it is no shortlist.
        """
        rows = found.get("candidates") if isinstance(found, Mapping) else None
        if not isinstance(rows, list):
            raise UserError("a shortlist must hold a list of candidates")
        candidates = [Candidate.from_json(row, num_tasks) for row in rows]
        return cls.of(candidates, str(found.get("against", "")))

    @classmethod
    def of(cls, candidates: Iterable[Candidate], against: str) -> Shortlist:
        """Of candidates that come from somewhere else.

        Raises:
            UserError: too many, or two of one name.
        """
        found = tuple(candidates)
        names = [one.name for one in found]
        if len(found) > MOST or len(set(names)) < len(names):
            raise UserError(f"a shortlist holds at most {MOST} candidates of unlike names, found {', '.join(names)}")
        return cls(found, against if against in names else "")
