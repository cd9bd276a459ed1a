"""What a person sees of a model: where λ stands, on which input, with which candidates and limits.

This is the one form of a view. Links, the journal, files and reports are written from it and read into it; what
cannot be used of them is dropped with a sentence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from app.analysis.queries import on_simplex
from app.bench import bounds as limits
from app.bench.bounds import Bound
from app.bench.preferences import Preference, checked, parsed, written
from app.bench.shortlist import Candidate, Shortlist
from app.serving.protocol import MAX_SEED
from palora_core.errors import UserError

PARAMETERS = ("model", "preference", "sample", "kept", "against", "bounds", "seed", "pinned")
MOST_TEXT = 2000  # of a question or a reason
ALONE = "A"  # the name of the one λ that older links have pinned


@dataclass(frozen=True)
class Frame:
    """What may stand in a view of a model.

    Attributes:
        model: its id.
        num_tasks: T.
        samples: ids of the samples that a link may name.
        keys: of the columns of its front.
    """

    model: str
    num_tasks: int
    samples: Sequence[str] = ()
    keys: Sequence[str] = ()


@dataclass(frozen=True)
class Decision:
    """What is decided, and why.

    Attributes:
        question: what the choice is about.
        choice: the name of the candidate that was chosen; "" before.
        reason: why that one.
    """

    question: str = ""
    choice: str = ""
    reason: str = ""

    @classmethod
    def from_json(cls, found: Any) -> Decision:
        """What a file says of it; texts only, no longer than allowed."""
        given = found if isinstance(found, Mapping) else {}
        texts = (given.get(name) for name in ("question", "choice", "reason"))
        return cls(*(text[:MOST_TEXT] if isinstance(text, str) else "" for text in texts))


@dataclass(frozen=True)
class View:
    """One view of a model.

    Attributes:
        model: its id.
        preference: λ [T] on the simplex.
        image: what is looked at: a sample's id, that of a person's own input, or "".
        off: a λ [T] off the simplex that the Probe page stands at, or None.
        shortlist: candidates of the model's problem.
        bounds: limits on its metrics.
        seed: of what is drawn at random.
        decision: what was decided about the problem; in no link, as its texts are long.
    """

    model: str
    preference: Preference
    image: str = ""
    off: Preference | None = None
    shortlist: Shortlist = field(default_factory=Shortlist)
    bounds: tuple[Bound, ...] = ()
    seed: int = 0
    decision: Decision = field(default_factory=Decision)

    def at(self, preference: Preference | None) -> View:
        """At another λ, which may lie off the simplex; None leaves it where it is."""
        if preference is None:
            return self
        if on_simplex(preference):
            return replace(self, preference=preference, off=None)
        return replace(self, off=preference)

    def to_link(self, samples: Sequence[str], off: bool = False) -> dict[str, str]:
        """The parameters of its address; people's own inputs are not in it, nor is λ off the simplex unless ``off``."""
        here = self.off if off and self.off else self.preference
        told = {"model": self.model, "preference": written(here)}
        told["sample"] = self.image if self.image in samples else ""
        told["kept"] = ";".join(one.to_link(self.model) for one in self.shortlist)
        told["against"] = self.shortlist.against
        told["bounds"] = limits.to_link(self.bounds)
        told["seed"] = str(self.seed) if self.seed else ""
        return {key: value for key, value in told.items() if value}

    def followed(self, link: Mapping[str, str], frame: Frame) -> tuple[View, list[str]]:
        """As a link has it, and one sentence for each part that cannot be used; what it does not name stays."""
        view, problems = self, []
        if "preference" in link:
            there = parsed(link["preference"], frame.num_tasks)
            problems += [] if there else [f"its λ is not {frame.num_tasks} numbers"]
            view = view.at(there)
        if link.get("sample"):
            known = link["sample"] in frame.samples
            problems += [] if known else ["this model has no such sample"]
            view = replace(view, image=link["sample"]) if known else view
        if "kept" in link or "pinned" in link:
            shortlist, wrong = _shortlist(link, frame)
            problems += wrong
            view = replace(view, shortlist=shortlist)
        if "seed" in link:
            text = link["seed"]
            seed = checked_seed(int(text)) if text.isascii() and text.isdigit() and len(text) < 11 else None
            problems += ["its seed is no number of words drawn"] if seed is None else []
            view = replace(view, seed=seed or 0)
        if "bounds" in link:
            found, wrong = limits.from_link(link["bounds"], frame.keys)
            problems += wrong
            view = replace(view, bounds=found)
        return view, problems

    def to_json(self) -> dict[str, Any]:
        """For files: the journal and reports."""
        return {
            "model": self.model,
            "preference": list(self.preference),
            "image": self.image,
            "shortlist": self.shortlist.to_json(),
            "bounds": [bound.to_json() for bound in self.bounds],
            "seed": self.seed,
            "decision": asdict(self.decision),
        }

    @classmethod
    def from_json(cls, found: Any, frame: Frame) -> View:
        """What :meth:`to_json` wrote, of the same model.

        Raises:
            UserError: it is no view of this model.
        """
        if not isinstance(found, Mapping) or found.get("model") != frame.model:
            raise UserError("the view is of another model")
        preference = checked(found.get("preference"), frame.num_tasks)
        if preference is None:
            raise UserError(f"λ of the view is not {frame.num_tasks} numbers")
        image = found.get("image") if found.get("image") in frame.samples else ""
        rows = found.get("bounds", [])
        bounds = tuple(Bound.from_json(row, frame.keys) for row in rows) if isinstance(rows, list) else ()
        decision = Decision.from_json(found.get("decision"))
        return cls(
            frame.model,
            preference,
            str(image),
            None,
            Shortlist.from_json(found.get("shortlist"), frame.num_tasks),
            bounds,
            checked_seed(found.get("seed", 0)) or 0,
            decision,
        )


def checked_seed(value: Any) -> int | None:
    """A seed of what is drawn at random; None for what is none."""
    return value if type(value) is int and 0 <= value < MAX_SEED else None


def _shortlist(link: Mapping[str, str], frame: Frame) -> tuple[Shortlist, list[str]]:
    """The candidates in a link; a link of old has one λ pinned."""
    problems: list[str] = []
    if "kept" not in link:
        there = parsed(link["pinned"], frame.num_tasks)
        if there is None:
            return Shortlist(), [f"the pinned λ is not {frame.num_tasks} numbers"]
        return Shortlist((Candidate(ALONE, frame.model, there),), ALONE), problems
    candidates: dict[str, Candidate] = {}
    for part in filter(None, link["kept"].split(";")):
        try:
            one = Candidate.from_link(part, frame.model, frame.num_tasks)
            Shortlist.of([*candidates.values(), one], "")
            candidates[one.name] = one
        except UserError as error:
            problems.append(str(error))
    return Shortlist.of(candidates.values(), link.get("against", "")), problems
