"""Names of folders and titles are anything: pages show them letter by letter, open and delete what they name."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import tomllib

from app import jobs
from app.folders import id_of, name_of
from app.library import transfer
from app.library.models import ModelRegistry
from palora_core.errors import UserError
from tests.app.damage import copied
from tests.app.pages import open_on
from tests.app.test_damage import mutate

PAGES = ("explore", "probe", "compare", "models", "train", "learn")
NAMES = (
    "my__run",
    "a b",
    "-rf",
    "100%",
    'it\'s "so"',
    "\U0001f600",
    "a\nb",
    "x" * 240,
    "%41",
    "`code`",
    "a&b=c?#",
)


def test_names_of_folders_become_ids_and_back():
    names = [*NAMES, os.fsdecode(b"bad\xff"), "\u202egnp"]
    ids = [id_of(name) for name in names]
    assert len(set(ids)) == len(ids)
    assert [name_of(text) for text in ids] == names
    assert all(text.isprintable() and text.encode() for text in ids)
    for text in ("", ".", "..", ".hidden", "%2E%2E", "a%2Fb", "a%00", "%41", "\ud800", "a/b"):
        with pytest.raises(UserError):
            name_of(text)


def test_a_link_in_a_circle_hides_nothing(whole, runs):
    copied(whole / "digits", runs / "sound")
    (runs / "circle").symlink_to("circle")
    assert [entry.id for entry in ModelRegistry(runs, runs).entries()] == ["sound", "run:sound"]
    assert jobs.names() == ["sound"]


@pytest.fixture
def served(runs):
    from app import services

    services.reset()
    yield runs
    services.reset()


@pytest.mark.parametrize("name", [*NAMES, os.fsdecode(b"bad\xff")], ids=lambda name: id_of(name)[:12])
def test_any_folder_is_shown_and_deleted(whole, served, name):
    copied(whole / "digits", served / name)
    model = f"run:{id_of(name)}"
    for page in ("explore", "probe"):
        app = open_on(page, model=model)
        assert not app.exception, page
    app = open_on("train", run=id_of(name))
    assert not app.exception
    assert id_of(name) in jobs.names()
    jobs.delete(id_of(name))
    assert list(served.glob("[!.]*")) == []


EVIL = "![i](http://evil.example/t.png) <img src=x> [l](javascript:x) :red[a] $x$ **b** :smile: www.evil.example `c`"
READ = ("](http", "<img", ":red[", "**b", " $x$", "`c`", ":smile:", "www.evil")
NO_MARKDOWN = ("Text", "Code", "Json", "BidiComponent", "Arrow", "PlotlyChart", "Html", "IFrame")


def markdown_of(app) -> list[str]:
    """Whatever Streamlit may read as Markdown on a page: bodies, labels, choices, captions and tooltips."""
    found = []
    waiting = [app._tree]
    while waiting:
        node = waiting.pop()
        waiting += list(getattr(node, "children", {}).values())
        if getattr(node, "proto", None) is not None:
            found += texts_in(node.proto)
    return found


def texts_in(proto) -> list[str]:
    """The labels, bodies and the like of an element or a block, and of what is in it."""
    found = []
    if type(proto).__name__ in NO_MARKDOWN:
        return found
    for field, value in proto.ListFields():
        values = value if field.is_repeated else [value]
        if field.message_type is not None:
            found += [text for one in values if hasattr(one, "ListFields") for text in texts_in(one)]
        elif field.name in ("body", "label", "help", "delta", "content", "caption", "captions", "text"):
            found += [one for one in values if isinstance(one, str)]
        elif field.name == "options" and type(proto).__name__ == "Radio":
            found += list(values)
    return found


@pytest.mark.parametrize("page", PAGES)
def test_titles_are_never_markup(whole, served, page):
    folder = copied(whole / "digits", served / "evil")
    card = json.loads((folder / "card.json").read_text())
    for part in (card, card.setdefault("machine", {})):
        part.update({"title": EVIL, "name": EVIL, "limits": EVIL, "licence": EVIL, "processor": EVIL})
    (folder / "card.json").write_text(json.dumps(card))
    (folder / "note.json").write_text(json.dumps({"name": EVIL[:80], "text": EVIL}))
    for parameters in ({"model": "run:evil", "run": "evil"}, {}):
        app = open_on(page, **parameters)
        assert not app.exception
        for text in markdown_of(app):
            outside = re.sub(r"(`+).+?\1(?!`)", "", text.replace("\\`", "").replace("\\<", ""))
            assert not any(mark in outside for mark in READ), text


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("seed", [3, 11])
def test_pages_stay_with_damaged_runs(whole, served, page, seed):
    copied(whole / "digits", served / "sound")
    for number in range(6):
        mutate(whole, served, seed * 100 + number)
        (served / "damaged").rename(served / f"damaged-{number}")
    for job in jobs.jobs()[:7] if page == "train" else [None]:
        app = open_on(page, **({"run": job.name} if job else {"model": "run:sound"}))
        assert not app.exception


def test_one_number_for_zips():
    config = tomllib.loads((Path(__file__).resolve().parents[2] / "app" / ".streamlit" / "config.toml").read_text())
    assert config["server"]["maxUploadSize"] * transfer.MIB == transfer.MAX_ZIP
