"""The journal: what was looked at, kept, bounded, noted and decided, as a time line of views."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from app.bench.preferences import told
from app.bench.view import View

MOST = 400
What = Literal["began", "looked", "kept", "removed", "renamed", "compared", "bounded", "noted", "decided", "returned"]


@dataclass(frozen=True)
class Event:
    """One step.

    Attributes:
        what: its sort.
        said: it in words.
        view: the view after it.
        at: seconds since 1970.
        undone: whether it was taken back.
    """

    what: What
    said: str
    view: View
    at: float
    undone: bool = False

    def to_json(self) -> dict[str, Any]:
        """For files."""
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.at))
        told = {"what": self.what, "said": self.said, "at": when, "view": self.view.to_json()}
        return told | ({"undone": True} if self.undone else {})


@dataclass(frozen=True)
class Journal:
    """Events of one problem, the oldest first."""

    events: tuple[Event, ...] = ()

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)

    @property
    def standing(self) -> list[Event]:
        """The events that were not taken back."""
        return [event for event in self.events if not event.undone]

    def add(self, what: What, said: str, view: View, now: float | None = None) -> Journal:
        """With one more event. One look after another is one event: only where it ended counts."""
        event = Event(what, said, view, time.time() if now is None else now)
        before = self.events
        if what == "looked" and before and before[-1].what == "looked" and not before[-1].undone:
            before = before[:-1]
        return Journal((*before, event)[-MOST:])

    def seen(self, old: View, new: View, now: float | None = None) -> Journal:
        """With what distinguishes two views in words; as it is where nothing does."""
        journal = self if self.events else self.add("began", f"began at {told(old.preference)}", old, now)
        for what, said in differences(old, new):
            journal = journal.add(what, said, new, now)
        return journal if len(journal) > 1 or journal.events != self.events else self

    def undone(self) -> tuple[Journal, View | None]:
        """With the last standing event taken back, and the view before it; None where there is nothing to take back."""
        standing = self.standing
        if len(standing) < 2:
            return self, None
        last, before = standing[-1], standing[-2].view
        events = tuple(replace(event, undone=True) if event is last else event for event in self.events)
        return Journal(events), before

    def to_json(self) -> list[dict[str, Any]]:
        """For files."""
        return [event.to_json() for event in self.events]


def _input(image: str) -> str:
    """The input of a view in words."""
    kind, _, number = image.partition("-")
    return f", sample {int(number) + 1}" if kind == "sample" and number.isdigit() else ", an own input" if image else ""


def differences(old: View, new: View) -> list[tuple[What, str]]:
    """What was done between two views, each in words."""
    found: list[tuple[What, str]] = []
    if (old.model, old.preference, old.image) != (new.model, new.preference, new.image):
        found.append(("looked", f"looked at {told(new.preference)}" + _input(new.image)))
    before, after = ({one.name: one for one in view.shortlist} for view in (old, new))
    for name in [name for name in after if name not in before]:
        one = after[name]
        was = next(
            (gone for gone in before.values() if gone.name not in after and gone.preference == one.preference), None
        )
        found.append(
            ("renamed", f"called {was.name} {name}") if was else ("kept", f"kept {name}, {told(one.preference)}")
        )
        if was:
            before.pop(was.name)
    found += [("removed", f"removed {name}") for name in before if name not in after]
    noted = [name for name, one in after.items() if one.note != (before[name].note if name in before else "")]
    found += [
        ("noted", f"{name}: {after[name].note}" if after[name].note else f"took back the note on {name}")
        for name in noted
    ]
    if old.shortlist.against != new.shortlist.against and new.shortlist.against in before:
        found.append(("compared", f"compared with {new.shortlist.against}"))
    if old.bounds != new.bounds:
        limits = "; ".join(f"{bound.key} {bound.value:.4g}" for bound in new.bounds)
        found.append(("bounded", f"set limits: {limits}" if limits else "took back all limits"))
    if old.decision != new.decision:
        chosen = f"chose {new.decision.choice}" if new.decision.choice else "asked"
        why = new.decision.reason if new.decision.choice else new.decision.question
        found.append(("decided", f"{chosen}: {why}" if why else chosen))
    return found
