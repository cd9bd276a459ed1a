"""Runs as a laboratory's table: names, settings that differ, search, ranges, groups, files, and starting one alike."""

import csv
import io
import json
import shutil

import numpy as np
import pytest

from app.components import front_table, run_lab
from app.components import front_table_files as files
from app.components.parallel import parallel_data
from app.components.quantities import quantities
from app.components.run_table import row
from app.components.start_like import answers_of
from app.library import leaderboards
from app.library.entries import Entry, told_apart
from app.library.lab import CONFIGURATION, METHOD, RUN, headings
from palora_core.storage.notes import Note
from tests.app.browsing import WAIT, settle
from tests.app.pages import open_on, spelt, texts
from tests.app.test_compare import addressed, names

RANKS = {"a": (2, 0), "b": (2, 1), "c": (8, 0), "d": (8, 1)}  # rank and seed
RANK = "method.conditioning.rank"


@pytest.fixture
def lab_root(model_root, tmp_path, monkeypatch):
    """Four runs of one benchmark: two ranks, two seeds; two of them have one name, one a damaged note."""
    from app import services

    root = tmp_path / "runs"
    for name, (rank, seed) in RANKS.items():
        shutil.copytree(model_root / "two", root / name)
        card = json.loads((root / name / "card.json").read_text())
        card["method"]["conditioning"]["rank"] = rank
        card |= {"title": "PaLoRA on Toy", "training": {"seed": seed, "seconds": 5, "lr": 0.01 * (1 + seed)}}
        card["weights_sha256"] = f"{rank}{seed}".ljust(64, "0")
        (root / name / "card.json").write_text(json.dumps(card))
        front = json.loads((root / name / "front.json").read_text())
        front["objectives"] = (np.array(front["objectives"]) * (1 + 0.1 * seed + 0.01 * rank)).tolist()
        (root / name / "front.json").write_text(json.dumps(front))
    Note.of("best", "lr is right", "Baseline, lr study").write(root / "a")
    Note.of("best", "").write(root / "c")
    (root / "b" / "note.json").write_bytes(b"\xff{")
    monkeypatch.setenv("PALORA_MODELS", str(tmp_path / "none"))
    monkeypatch.setenv("PALORA_RUNS", str(root))
    services.reset()
    yield services.services()
    services.reset()


@pytest.fixture
def lab(lab_root):
    (board, *_), _ = leaderboards.read(lab_root.registry.entries())
    columns = front_table.columns(board, quantities(board))
    return board, columns, run_lab.lab_of(board.models, columns)


def ids(models) -> str:
    return "".join(one.id.removeprefix("run:") for one in models)


def test_no_two_runs_have_one_name(lab, lab_root):
    _, _, lab = lab
    assert sorted(lab.names.values()) == ["PaLoRA · b", "PaLoRA · d", "best (a)", "best (c)"]
    titles = [entry.title for entry in lab_root.registry.entries()]
    assert titles[0] == "PaLoRA on Toy · best (a)" and len(set(titles)) == 4
    assert [e.title for e in lab_root.registry.entries()] == titles, "also when nothing has changed"
    alone = Entry("x", None, "One", "", 0, None, ())
    assert told_apart([alone])[0].title == "One"


def test_settings_in_which_runs_differ(lab):
    _, _, lab = lab
    assert lab.settings == {
        "seed": {f"run:{name}": float(seed) for name, (_, seed) in RANKS.items()},
        RANK: {f"run:{name}": float(rank) for name, (rank, _) in RANKS.items()},
        "training.lr": {f"run:{name}": 0.01 * (1 + seed) for name, (_, seed) in RANKS.items()},
    }
    assert headings([RANK, "training.lr"]) == {RANK: "rank", "training.lr": "learning rate"}
    assert headings(["a.temperature", "b.temperature"])["b.temperature"] == "temperature (b)"
    assert "best segmentation loss" in lab.figures and "hypervolume, ref. (10, 10)" in lab.figures


@pytest.mark.parametrize(
    ("find", "found"),
    [
        *(("", "abcd"), ("best", "ac"), ("BASELINE", "a"), ("rank 8", "cd"), ("rank 8 best", "c")),
        *(("lr is right", "a"), ("nobody", ""), ("seed 1", "bd")),
    ],
)
def test_runs_are_found_by_what_is_said_of_them(lab, find, found):
    assert ids(lab[2].passing(find, {})) == found


def test_ranges_keep_runs(lab):
    _, _, lab = lab
    assert ids(lab.passing("", lab.checked({RANK: [1, 4]}))) == "ab"
    assert ids(lab.passing("", lab.checked({RANK: [9, 4], "seed": [0.5, 2]}))) == "d"
    assert ids(lab.passing("best", lab.checked({RANK: [2, 2]}))) == "a"


@pytest.mark.parametrize(
    "brush",
    [
        None,
        3,
        [],
        {RANK: None},
        {RANK: [1]},
        {RANK: [1, "2"]},
        {RANK: [1, float("nan")]},
        {"made up": [1, 2]},
        {RANK: [True, 2]},
    ],
)
def test_what_no_range_is_keeps_all(lab, brush):
    assert lab[2].checked(brush) == {}


def test_groups(lab):
    board, _, lab = lab
    told = {by: [(one.name, ids(one.members)) for one in lab.grouped(board.models, by)] for by in (RANK, RUN)}
    assert told[RANK] == [("rank 2", "ab"), ("rank 8", "cd")]
    assert told[RUN] == [("best (a)", "a"), ("PaLoRA · b", "b"), ("best (c)", "c"), ("PaLoRA · d", "d")]
    assert len(lab.grouped(board.models, CONFIGURATION)) == 4, "the learning rate differs, too"
    colours = {run_lab.style_of(one).colour for one in lab.grouped(board.models, RANK)}
    assert len(colours) == 2


def test_table_files_and_axes_say_the_same(lab):
    board, columns, lab = lab
    filled = [column for column in columns if column.heading in lab.figures]
    found = list(csv.DictReader(io.StringIO(files.runs_csv(lab, board.models, filled))))
    data = parallel_data(lab, lab.axes, {}, [one.id for one in board.models], {})
    for number, one in enumerate(board.models):
        shown = row(lab, one, filled, [RANK])
        assert list(shown)[:3] == ["run", "tags", "rank"] and found[number]["run"] == shown["run"]
        for axis, value in zip(lab.axes, data["lines"][number]["values"]):
            heading = headings(lab.axes)[axis]
            decimals = next((column.decimals for column in filled if column.heading == axis), 8)
            assert float(found[number][heading]) == pytest.approx(value, rel=1e-7)
            assert shown[heading] == pytest.approx(value, abs=0.51 * 10**-decimals)
    assert found[0]["tags"] == "baseline, lr study" and found[0]["note"] == "lr is right"


def test_the_page_shows_runs_and_its_address_brings_them_back(lab_root):
    kept = json.dumps({RANK: [1, 4]})
    app = open_on("compare", show="Runs", group=RANK, find="o", brush=kept, columns=f"{RANK}|seed")
    assert not app.exception and not app.error
    assert names(app) == ["rank 2, 2 runs"]
    assert [len(one.value) for one in app.dataframe] == [2]
    told = addressed(app)
    assert {name: told[name] for name in ("show", "group", "find")} == {"show": "Runs", "group": RANK, "find": "o"}
    assert json.loads(told["brush"]) == {RANK: [1.0, 4.0]} and told["columns"] == f"{RANK}|seed"
    app.text_input(key="find").set_value("nothing like it").run()
    assert not app.exception and "No run passes" in texts(app.info)


def test_a_damaged_brush_is_none(lab_root):
    app = open_on("compare", show="Runs", brush="{" * 500)
    assert not app.exception and len(app.dataframe[0].value) == 4


def test_every_kind_of_board_has_its_runs(roots):
    boards, _ = leaderboards.read(roots.registry.entries())
    for board in boards:
        app = open_on("compare", show="Runs", benchmark=board.key)
        assert not app.exception, board.key


def test_a_run_is_started_like_another(lab_root):
    app = open_on("train", run="new", like="run:c")
    assert not app.exception and "PaLoRA on Toy" in texts(app.info)
    assert app.selectbox(key="page.benchmark").value == "toy"
    assert app.number_input(key=f"page.toy.palora.{RANK}").value == 8
    assert app.number_input(key="page.toy.palora.training.lr").value == 0.01
    app.number_input(key=f"page.toy.palora.{RANK}").set_value(4).run()
    assert app.number_input(key=f"page.toy.palora.{RANK}").value == 4, "what a person changes stays"
    other = open_on("train", run="new", like="run:nobody")
    assert not other.exception and "not (or no longer) here" in spelt(texts(other.warning))


def test_answers_are_states_of_widgets(lab_root):
    card = json.loads((lab_root.registry.entry("run:d").folder / "card.json").read_text())
    answers = answers_of(card, "page")
    assert answers["page.benchmark"] == "toy" and answers["page.toy.palora.training.seed"] == 1
    assert answers["page.toy.palora.benchmark.count"] == 2 and isinstance(
        answers["page.toy.palora.training.epochs"], int
    )
    assert answers["page.toy.palora.training.lr_milestones"] == "" and METHOD not in answers


def test_tags_are_kept_with_a_run(tmp_path):
    note = Note.of("n", "t", " Lr  study,,baseline, LR study ," + "x" * 99)
    assert note.tags == ("lr study", "baseline", "x" * 24)
    note.write(tmp_path)
    assert Note.read(tmp_path) == note
    (tmp_path / "note.json").write_text('{"tags": [3, null, "a", {"b": 1}]}')
    assert Note.read(tmp_path).tags == ("a",)
    (tmp_path / "note.json").write_text('{"tags": {"a": 1}}')
    assert Note.read(tmp_path) == Note()


# -- in a browser -----------------------------------------------------------------------------------------------------
@pytest.mark.browser
def test_a_person_keeps_a_part_of_an_axis_and_sends_the_link(chromium, server):
    context = chromium.new_context(viewport={"width": 1366, "height": 1000})
    context.set_default_timeout(WAIT)
    page = context.new_page()
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{server}/compare?show=Runs&benchmark=toy: segmentation, depth")
    page.wait_for_selector(".parallel[data-left='2'] .run path")
    settle(page)
    box = page.locator(".parallel .axis .grip").first.bounding_box()
    across = box["x"] + box["width"] / 2
    page.mouse.move(across, box["y"] + 2)
    page.mouse.down()
    page.mouse.move(across, box["y"] + 0.4 * box["height"], steps=6)
    page.wait_for_selector(".parallel[data-left='1']")
    page.mouse.up()
    page.wait_for_url("**brush=**")
    link = page.url
    page.locator(".parallel .axis").first.focus()
    page.keyboard.press("Escape")
    page.wait_for_selector(".parallel[data-left='2']")
    page.wait_for_function("() => !location.search.includes('brush=')")
    context.close()
    other = chromium.new_context()
    other.set_default_timeout(WAIT)
    again = other.new_page()
    again.goto(link)
    again.wait_for_selector(".parallel[data-left='1'] .run.out", state="attached")
    assert problems == []
    other.close()
