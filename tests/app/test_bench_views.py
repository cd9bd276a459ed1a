"""One form of a view: what a link, a file and the journal say of it is read back; what is damaged is dropped."""

import json
from dataclasses import replace

import pytest

from app.bench.bounds import Bound
from app.bench.journal import Journal
from app.bench.shortlist import MOST, Candidate, Shortlist
from app.bench.view import Decision, Frame, View
from palora_core.errors import UserError

FRAME = Frame("rooms", 2, ("sample-0", "sample-1"), ("depth/loss", "depth/abs_err", "segmentation/miou"))
START = View("rooms", (0.5, 0.5), "sample-0")
NAMES = ("A", "low cost", "50 % / 50 %", "a:b;c,d", "λ⋆", "=1+1", "x" * 24)


MANY = ";".join(f"{i}:0,1" for i in range(10))


def full() -> View:
    candidates = [
        Candidate(name, "rooms", (i / 10, 1 - i / 10), f"why; {name}: 1,2") for i, name in enumerate(NAMES[:5])
    ]
    candidates.append(Candidate("other", "run:mine/a b", (0.25, 0.75)))
    bounds = (Bound("depth/abs_err", 0.4), Bound("segmentation/miou", 0.123456789))
    return View("rooms", (0.3, 0.7), "sample-1", None, Shortlist.of(candidates, "a:b;c,d"), bounds, 7)


def decided() -> View:
    return replace(full(), decision=Decision("Which for the car?", "low cost", "the heat"))


def test_a_link_gives_the_view_back():
    link = full().to_link(FRAME.samples)
    assert all(isinstance(value, str) for value in link.values())
    assert START.followed(link, FRAME) == (full(), [])


def test_a_file_gives_the_view_back():
    assert View.from_json(json.loads(json.dumps(decided().to_json())), FRAME) == decided()


def test_an_own_picture_is_in_no_link():
    assert "sample" not in View("rooms", (0.5, 0.5), "upload-123").to_link(FRAME.samples)


@pytest.mark.parametrize(
    ("link", "left", "said"),
    [
        ({"preference": "x,1"}, {}, "its λ is not 2 numbers"),
        ({"preference": "0.1,0.2,0.7"}, {}, "its λ is not 2 numbers"),
        ({"sample": "sample-99"}, {}, "no such sample"),
        ({"kept": "A:0,1;B:nan,1;C"}, {"kept": "A:0,1"}, "'B' is not 2 numbers"),
        ({"kept": "A:0,1;A:1,0"}, {"kept": "A:0,1"}, "unlike names"),
        ({"kept": MANY[:60]}, {"kept": MANY[: 6 * MOST - 1]}, "at most 6"),
        ({"kept": "A:0,1:n:m:x"}, {}, "more than four parts"),
        ({"bounds": "depth/abs_err:0.4;no/such:1"}, {"bounds": "depth/abs_err:0.4"}, "no metric 'no/such'"),
        ({"bounds": "depth/abs_err:nan"}, {}, "expected a number"),
        ({"seed": "-1"}, {}, "its seed is no number"),
        ({"seed": "12"}, {"seed": "12"}, None),
        ({"pinned": "1"}, {}, "the pinned λ is not 2 numbers"),
        ({"pinned": "0,1"}, {"kept": "A:0,1", "against": "A"}, None),
    ],
)  # fmt: skip
def test_what_is_damaged_is_dropped_with_a_sentence(link, left, said):
    view, problems = START.followed(link, FRAME)
    assert view.to_link(FRAME.samples) == START.to_link(FRAME.samples) | left
    assert (said in " ".join(problems)) if said else problems == []


def test_names_are_the_shortlists_own():
    shortlist = Shortlist()
    for place in range(MOST):
        shortlist = shortlist.kept("rooms", (place / 10, 1 - place / 10))
    assert [one.name for one in shortlist] == list("ABCDEF") and shortlist.against == "A"
    with pytest.raises(UserError, match=r"holds 6 candidates"):
        shortlist.kept("rooms", (1.0, 0.0))
    assert shortlist.without("A").against == "B" and shortlist.without("B").free_name() == "B"
    with pytest.raises(UserError, match=r"There is a candidate called 'B'"):
        shortlist.without("F").kept("rooms", (1.0, 0.0), "B")


def test_the_journal_says_what_was_done_and_takes_it_back():
    journal, views = Journal(), [START]

    def go(view: View) -> None:
        nonlocal journal
        journal = journal.seen(views[-1], view, now=1000.0 + len(views))
        views.append(view)

    go(START.at((0.2, 0.8)))
    go(START.at((0.3, 0.7)))  # one look after another is one event
    kept = START.at((0.3, 0.7))
    go(View(kept.model, kept.preference, kept.image, None, Shortlist().kept("rooms", (0.3, 0.7))))
    renamed = Shortlist((Candidate("cheap", "rooms", (0.3, 0.7), "less heat"),), "cheap")
    go(View(kept.model, kept.preference, kept.image, None, renamed))
    go(View(kept.model, kept.preference, kept.image, None, renamed, (Bound("depth/abs_err", 0.4),)))
    go(replace(views[-1], decision=Decision("?", "cheap", "because")))
    go(views[-1])
    whats = [event.what for event in journal]
    assert whats == ["began", "looked", "kept", "renamed", "noted", "bounded", "decided"]
    assert [event.said for event in journal][2:5] == ["kept A, λ = (0.30, 0.70)", "called A cheap", "cheap: less heat"]
    undone, before = journal.undone()
    assert before == journal.events[-2].view and undone.events[-1].undone
    for _ in range(10):
        undone, before = undone.undone()
    assert before is None and len(undone.standing) == 1 and len(undone) == len(journal), "nothing is forgotten"
    assert [View.from_json(row["view"], FRAME) for row in json.loads(json.dumps(journal.to_json()))] == [
        e.view for e in journal
    ]
