"""The Train page in every state, its widgets and figures; and, in a real browser, a run from start to end."""

import contextlib
import json
import os
import re
import signal
import sys
import time
from pathlib import Path

import plotly.graph_objects as go
import pytest
from streamlit.testing.v1 import AppTest

from app import jobs
from app.components import run_comparison
from app.components import training_figures as figures
from app.components.option_widgets import step_of
from app.components.plain import plain
from app.components.run_comparison import RunTrace
from app.components.train_panel import duration
from app.jobs import queue
from palora_core.storage.notes import Note
from palora_core.storage.runs import Run, is_alive
from palora_core.storage.writing import plain as plain_json
from palora_core.training.card import run_config
from palora_core.training.setup import configure
from tests.app.browsing import WAIT, settle
from tests.app.servers import running

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    folder = tmp_path / "runs"
    monkeypatch.setenv("PALORA_RUNS", str(folder))
    monkeypatch.delenv("PALORA_READ_ONLY", raising=False)
    monkeypatch.setattr(queue, "launch", lambda folder: None)  # nothing trains here
    return folder


def step(number, tasks=2, total=40):
    rows = [[1 / tasks] * tasks] * 3
    losses = [1 / number] * tasks
    return "step", {"step": number, "epoch": 1 + number // 20, "tau": number / total, "losses": losses} | {
        "preferences": rows,
        "seconds_left": 75.0,
    }


def front(epoch, tasks=2):
    rows = [[float(t == k) for t in range(tasks)] for k in range(tasks)]
    objectives = [[1.5 / epoch - value for value in row] for row in rows]
    data = {
        "step": 20 * epoch,
        "epoch": epoch,
        "preferences": rows,
        "objectives": objectives,
        "hypervolume": 0.1 * epoch,
    }
    return "front", data


def begin(tasks=2):
    names = [f"task_{t}" for t in range(tasks)]
    return "start", {"step": 0, "total_steps": 40, "epochs": 2, "tasks": names, "resumed": False}


def make_run(root, name, *events, log="", process=None):
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"benchmark": {"name": "multimnist"}, "method": {"name": "palora"}}')
    for kind, data in events:
        Run(folder).event(kind, **data)
    (folder / "log.txt").write_text(log)
    if process:
        Run(folder).note_process(process)
    return name


def open_page(**query) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=200)
    app.query_params.update(query)
    app.run()
    app.switch_page("pages/train.py")
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception, app.exception
    return app


def labels(app):
    return [button.label for button in app.button]


def written(app):
    return " ".join(e.value for kind in (app.markdown, app.caption, app.subheader, app.error, app.info) for e in kind)


def charts(app):
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def test_no_runs_yet():
    app = open_page()
    assert "No runs yet" in written(app)
    assert "Start training" in labels(app)
    assert re.search(r"Roughly \d+ (min|s)", written(app)), "scaled from the card of the shipped model"
    assert {"benchmark", "method", "precision", "sampler"} <= {box.label for box in app.selectbox}
    assert {"epochs", "seed", "rank", "preferences per step"} <= {number.label for number in app.number_input}


def test_starting_a_run_puts_it_into_the_queue_with_the_changed_options_only(root):
    app = open_page()
    app.number_input(key="page.multimnist.palora.training.epochs").set_value(3)
    app.number_input(key="page.multimnist.palora.method.conditioning.rank").set_value(2)
    app.run()
    next(button for button in app.button if button.label == "Start training").click()
    app.run()
    assert not app.exception
    (folder,) = [path for path in root.iterdir() if path.is_dir()]
    assert folder.name.startswith("multimnist-palora-epochs3-rank2-20")
    arguments = json.loads((folder / "job.json").read_text())["arguments"]
    changed = ["--set", "training.epochs=3", "--set", "method.conditioning.rank=2"]
    assert arguments == ["--benchmark", "multimnist", "--method", "palora", *changed]
    assert app.query_params["run"] in (folder.name, [folder.name])
    assert "Waiting" in written(app)


def test_two_runs_of_one_benchmark_are_told_apart_by_what_was_set(root):
    for name, settings in (("a", ()), ("b", ("--set", "method.conditioning.rank=2", "--epochs", "3"))):
        make_run(root, name, begin(), step(3))
        order = {"arguments": ["--benchmark", "multimnist", "--method", "palora", *settings], "created": 5.0}
        (root / name / "job.json").write_text(json.dumps(order))
    listed = [button.label for button in open_page(run="a").button if (button.key or "").startswith("open.")]
    assert sorted(listed) == ["**PaLoRA on MultiMNIST · rank 2\\, epochs 3**", "**PaLoRA on MultiMNIST**"]


def test_a_run_can_be_named_and_noted(root):
    name = make_run(root, "a", begin(), step(3))
    app = open_page(run=name)
    next(box for box in app.text_input if box.label == "Name").set_value("My [best](http://example.com) run")
    next(box for box in app.text_area if box.label == "Note").set_value("lr is too high?")
    next(button for button in app.button if button.label == "Keep").click()
    app.run()
    assert not app.exception
    assert Note.read(root / name) == Note("My [best](http://example.com) run", "lr is too high?")
    assert app.subheader[0].value == plain("My [best](http://example.com) run"), "a name is no Markdown"
    assert "lr is too high?" in " ".join(text.value for text in app.text)


def test_the_panel_shows_every_setting_with_those_that_were_changed_first(root):
    name = make_run(root, "a", begin(), step(3))
    bench, *rest = configure("multimnist", "palora", {"rank": 3, "epochs": 7})
    config = run_config(bench.problem(), *rest)
    (root / name / "config.json").write_text(json.dumps(plain_json(config)))
    app = open_page(run=name)
    frame = next(frame.value for frame in app.dataframe if "setting" in frame.value)
    assert list(frame["setting"][:2]) == ["conditioning.rank", "epochs"] and list(frame["value"][:2]) == ["3", "7"]
    assert list(frame[""][:3]) == ["changed", "changed", ""] and len(frame) > 20
    assert app.subheader[0].value == "PaLoRA on MultiMNIST · rank 3\\, epochs 7"


def start(app):
    return next(button for button in app.button if button.label == "Start training")


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("training.epochs", 0, "epochs must be from 1 to 1,000,000, found 0"),
        ("training.lr", 1e9, "lr must be above 0 and below 10"),
        ("method.conditioning.rank", -1, "rank must be from 1 to 4,096, found -1"),
        ("method.conditioning.alpha", -5.0, "alpha must be above 0"),
        ("method.conditioning.unfrozen", "nonsense((", "nothing is frozen"),
        ("method.sampler.epsilon", 0.5, "epsilon must be above 0 and below 0.5"),
        ("benchmark.train_images", -3, "train_images must be from 0"),
        ("training.lr_milestones", "soon", "lr_milestones must be numbers separated by commas"),
        ("training.lr_milestones", "3", "lr_milestones must be fractions of training"),
    ],
)
def test_a_value_that_cannot_be_is_said_under_its_field_and_the_button_stays(option, value, sentence):
    app = open_page()
    key = f"page.multimnist.palora.{option}"
    field = next(w for kind in (app.number_input, app.text_input) for w in kind if w.key == key)
    field.set_value(value).run()
    assert not app.exception and start(app).disabled
    said = [caption.value.replace("\\", "") for caption in app.caption if ":red[" in caption.value]
    assert any(sentence in line for line in said) and any("Not yet" in line for line in said)
    if not option.endswith("unfrozen"):  # right by itself: only with the rest of the form it is not
        assert len(said) == 2, "once under the field, once under the button"
    good = {"unfrozen": "", "lr_milestones": "0.5"}.get(
        option.rpartition(".")[2], 0.25 if isinstance(value, float) else 1
    )
    next(w for kind in (app.number_input, app.text_input) for w in kind if w.key == key).set_value(good).run()
    assert not start(app).disabled and not any(":red[" in caption.value for caption in app.caption)


@pytest.mark.parametrize("method", ["ls", "pamal", "cagrad", "phn"])
def test_other_methods_bring_their_own_options(method):
    app = open_page()
    app.selectbox(key="page.method").set_value(method)
    app.run()
    assert not app.exception
    assert "Start training" in labels(app)


def test_replacing_a_part_changes_the_options():
    app = open_page()
    assert not any(".dirichlet." in (number.key or "") for number in app.number_input)
    app.selectbox(key="page.multimnist.palora.sampler").set_value("dirichlet")
    app.run()
    assert not app.exception
    assert any(".dirichlet." in (number.key or "") for number in app.number_input)


def test_a_running_run(root):
    name = make_run(root, "a", begin(), step(1), step(10), front(1), step(30), process=os.getpid())
    app = open_page(run=name)
    assert "Stop" in labels(app)
    assert "Resume" not in labels(app)
    assert "Yes, delete it" not in labels(app)
    assert "1 min 15 s left" in app.get("progress")[0].proto.text
    assert [metric.value for metric in app.metric] == ["2 / 2", "0.03333", "0.03333", "0.1000"]
    assert len(charts(app)) == 3
    next(button for button in app.button if button.label == "Stop").click()
    app.run()
    assert Run(root / name).stop_requested()


def test_without_a_choice_the_page_shows_what_is_training(root):
    make_run(root, "old", begin(), ("end", {"step": 40, "reason": "finished"}))
    make_run(root, "live", begin(), step(3), process=os.getpid())
    assert "folder `live`" in written(open_page())


def test_a_stopped_run_can_be_resumed_and_deleted(root):
    name = make_run(root, "a", begin(), step(12), ("end", {"step": 12, "reason": "stopped"}))
    app = open_page(run=name)
    assert {"Resume", "Yes, delete it"} <= set(labels(app))
    next(button for button in app.button if button.label == "Resume").click()
    app.run()
    assert jobs.job(name).status == "queued"
    assert "Take out of the queue" in labels(app)


def test_deleting_asks_first_and_removes_the_folder(root):
    name = make_run(root, "a", begin(), step(12), ("end", {"step": 12, "reason": "stopped"}))
    app = open_page(run=name)
    assert "cannot be undone" in written(app)
    next(button for button in app.button if button.label == "Yes, delete it").click()
    app.run()
    assert not app.exception
    assert not (root / name).exists()


def test_a_folder_that_cannot_be_written_is_said_once_and_a_refused_delete_stays_with_its_run(root):
    name = make_run(root, "a", begin(), step(12), ("end", {"step": 12, "reason": "stopped"}))
    (root / ".queue.lock").mkdir()
    app = open_page(run=name)
    assert [("cannot be written" in warning.value) for warning in app.warning] == [True]
    next(button for button in app.button if button.label == "Yes, delete it").click()
    app.run()
    assert not app.exception and "cannot be written" in app.toast[0].value
    assert app.query_params["run"] in (name, [name]) and f"folder `{name}`" in written(app)


def test_a_run_deleted_in_another_tab_is_no_traceback(root, monkeypatch):
    name = make_run(root, "a", begin(), step(12), ("end", {"step": 12, "reason": "stopped"}))
    monkeypatch.setattr(jobs, "log_tail", lambda folder: jobs.folder_of("gone"))  # gone between panel and log
    app = open_page(run=name)
    assert not app.exception and "(nothing yet)" in [code.value for code in app.code]


def test_a_failed_run_says_why_in_one_sentence(root):
    message = "The loss of task_0 became NaN or infinite at step 13."
    name = make_run(root, "a", begin(), step(12), ("error", {"step": 12, "message": message}), log="a\nb")
    app = open_page(run=name)
    assert [error.value for error in app.error] == [plain(message)]
    assert app.code[0].value == "a\nb"
    assert "Resume" in labels(app)


def test_a_crashed_run_says_so(root):
    name = make_run(root, "a", begin(), step(12))
    app = open_page(run=name)
    assert "ended without a word" in app.error[0].value
    assert "Resume" in labels(app)


def test_a_finished_run_leads_to_explore(root):
    end = ("end", {"step": 40, "reason": "finished"})
    name = make_run(root, "a", begin(), step(39), front(1), front(2), end)
    app = open_page(run=name)
    link = app.get("page_link")[0].proto
    assert link.label == "Explore"
    assert "run%3Aa" in link.query_string or "run:a" in link.query_string
    assert "Yes, delete it" in labels(app)
    assert not {"Stop", "Resume"} & set(labels(app))
    assert len(charts(app)) == 4


@pytest.mark.parametrize("tasks", [1, 2, 3, 5])
def test_any_number_of_tasks(root, tasks):
    name = make_run(root, "a", begin(tasks), step(1, tasks), front(1, tasks), front(2, tasks), step(30, tasks))
    assert len(charts(open_page(run=name))) == 4


@pytest.mark.parametrize("name", ["gone", "../../etc", "a/../b"])
def test_a_run_that_is_not_there_is_a_notice(root, name):
    make_run(root, "a")
    app = open_page(run=name)
    assert "not here any more" in app.warning[0].value


def test_a_public_demo_shows_runs_and_starts_none(root, monkeypatch):
    name = make_run(root, "a", begin(), step(12), ("end", {"step": 12, "reason": "stopped"}))
    monkeypatch.setenv("PALORA_READ_ONLY", "1")
    assert not {"Resume", "Stop", "Yes, delete it"} & set(labels(open_page(run=name)))
    app = open_page(run="new")
    assert "switched off" in written(app)
    assert "Start training" not in labels(app)


@pytest.mark.parametrize("tasks", [1, 2, 3, 8])
def test_a_run_is_drawn_beside_earlier_ones_of_its_benchmark(root, tasks):
    run = begin(tasks), step(1, tasks), front(1, tasks), step(30, tasks)
    make_run(root, "multimnist-palora-old", *run)
    make_run(root, "multimnist-ls-empty")
    name = make_run(root, "new", *run, front(2, tasks))
    app = open_page(run=name)
    (choice,) = app.multiselect
    assert choice.options == ["PaLoRA on MultiMNIST (1)"], "runs that never took a step have nothing to show"
    choice.set_value(["multimnist-palora-old"])
    app.run()
    assert not app.exception
    losses, fronts, hypervolumes = charts(app)
    assert len(losses["data"]) == 2 * (tasks if tasks <= run_comparison.MOST_PANELS else 1)
    names = [trace["name"] for trace in fronts["data"]]
    assert names == ["PaLoRA on MultiMNIST (3)", "PaLoRA on MultiMNIST (1)"], "told apart by when they were made"
    assert fronts["data"][0]["marker"]["symbol"] != fronts["data"][1]["marker"]["symbol"]
    assert len(hypervolumes["data"][0]["x"]) == 2


def test_runs_of_other_lengths_line_up_by_epoch():
    events = [dict(kind=kind, **data) for kind, data in (begin(), step(20), step(40))]
    half = [events[0] | {"total_steps": 20, "step": 0}, *(e | {"step": e["step"] // 2} for e in events[1:])]
    figure = run_comparison.losses([RunTrace("a", events), RunTrace("b", half)])
    first, *_, last = figure.data
    assert list(first.x) == list(last.x) == [1.0, 2.0]


def test_an_expansion_starts_from_a_shipped_model(root):
    app = open_page()
    app.segmented_control(key="kind").set_value("expansion").run()
    app.selectbox(key="expand.source").set_value("multimnist").run()
    app.number_input(key="expand.multimnist.method.conditioning.alpha").set_value(2.5)
    app.number_input(key="expand.multimnist.training.epochs").set_value(2)
    app.run()
    next(button for button in app.button if button.label == "Start training").click()
    app.run()
    assert not app.exception
    (folder,) = [path for path in root.iterdir() if path.is_dir()]
    order = json.loads((folder / "job.json").read_text())
    assert order["script"] == "expand.py"
    assert order["arguments"][:2] == ["--benchmark", "multimnist"]
    assert order["arguments"][3] == str(ROOT / "trained_models" / "multimnist")
    assert order["arguments"][4:] == ["--epochs", "2", "--set", "method.conditioning.alpha=2.5"]
    assert any("Expansion of PaLoRA on MultiMNIST" in label for label in labels(app))


def test_training_can_be_started_from_the_sidebar(root):
    app = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=200).run()
    assert "sidebar.start" not in [button.key for button in app.sidebar.button], "a closed form costs nothing"
    make_run(root, "live", begin(), step(10), process=os.getpid())
    app = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=200)
    app.session_state["train_popover"] = True
    app.run()
    assert not app.exception
    assert {"benchmark", "method"} <= {box.label for box in app.sidebar.selectbox}
    assert {"epochs", "seed", "rank"} <= {number.label for number in app.sidebar.number_input}
    assert "25 %" in app.sidebar.get("page_link")[0].proto.label


def test_figures_are_plain_functions_of_events():
    steps = [dict(kind="step", **step(k)[1]) for k in range(1, 2000)]
    losses = figures.loss_curves(steps, ["a_b", "c"])
    assert [trace.name for trace in losses.data] == ["a b", "c"]
    assert len(losses.data[0].x) <= figures.MAX_POINTS + 1
    assert losses.data[0].x[-1] == 1999
    assert losses.data[0].line.dash != losses.data[1].line.dash  # not by colour alone
    assert isinstance(figures.loss_curves([], ["a"]), go.Figure)


def test_the_film_has_a_frame_per_epoch_and_shows_the_newest():
    fronts = [dict(kind="front", **front(k)[1]) for k in range(1, 6)]
    film = figures.front_film(fronts, ["a", "b"])
    assert [frame.name for frame in film.frames] == ["1", "2", "3", "4", "5"]
    assert film.layout.sliders[0].active == 4
    assert list(film.data[-1].x) == list(film.frames[-1].data[0].x)
    assert film.frames[0].traces == (len(film.data) - 1,)
    assert len(figures.front_film(fronts[:1], ["a", "b"]).layout.sliders) == 0
    assert len(figures.front_film([], ["a", "b"]).data) == 0
    low, high = film.layout.xaxis.range
    newest = film.data[-1].x
    assert low <= min(newest) < max(newest) <= high
    assert (max(newest) - min(newest)) / (high - low) > 0.15


@pytest.mark.parametrize(("tasks", "kind"), [(1, "bar"), (2, "scatter"), (3, "scatterternary"), (6, "bar")])
def test_the_schedule_is_drawn_on_the_simplex(tasks, kind):
    names = [f"t{k}" for k in range(tasks)]
    figure = figures.schedule([[1 / tasks] * tasks] * 4, names)
    assert figure.data[-1].type == kind


def test_small_helpers():
    assert [duration(value) for value in (8.4, 200, 3900, None)] == ["8 s", "3 min 20 s", "1 h 05 min", "unknown"]
    assert [step_of(value) for value in (1e-3, 0.5, 1.0, 0.0)] == pytest.approx([1e-4, 0.01, 0.1, 0.1])


# -- a real browser ---------------------------------------------------------------------------------------------------
@pytest.fixture
def server(tmp_path):
    command = [sys.executable, "-m", "streamlit", "run", "app/app.py", "--server.address", "127.0.0.1"]
    command += ["--server.headless", "true", "--server.port"]
    with running(lambda port: [*command, port], tmp_path / "server.txt", PALORA_RUNS=str(tmp_path / "runs")) as found:
        yield found[0]
    for note in tmp_path.glob("runs/*/process.json"):
        owner = json.loads(note.read_text())
        if is_alive(owner):
            with contextlib.suppress(ProcessLookupError):  # ended in this moment
                os.killpg(owner["pid"], signal.SIGKILL)


def type_into(page, label, value):
    field = page.get_by_role("spinbutton", name=label, exact=True).first
    field.fill(str(value))
    field.press("Enter")
    settle(page)


def held_run(root: Path) -> Run:
    """The only run, held as soon as it has a front: a person may look at it for as long as they like."""
    end = time.monotonic() + WAIT / 1000
    while True:
        for note in root.glob("*/process.json"):
            run = Run(note.parent)
            if any(event["kind"] == "front" for event in run.events()):
                os.killpg(run.process()["pid"], signal.SIGSTOP)
                return run
        assert time.monotonic() < end, "no front"
        time.sleep(0.01)


def let_go_on(run: Run) -> None:
    """Once the run is asked to stop."""
    end = time.monotonic() + WAIT / 1000
    while not run.stop_requested():
        assert time.monotonic() < end, "nothing asked it to stop"
        time.sleep(0.01)
    os.killpg(run.process()["pid"], signal.SIGCONT)


def steps_shown(page):
    return int(re.search(r"step ([\d,]+) of", page.get_by_text(re.compile(r"step [\d,]+ of")).first.inner_text())[1])


@pytest.fixture
def new_page(chromium):
    """Open a page in a session of its own."""
    contexts = []

    def new():
        contexts.append(chromium.new_context(viewport={"width": 1366, "height": 768}))
        contexts[-1].set_default_timeout(WAIT)
        return contexts[-1].new_page()

    yield new
    for context in contexts:
        context.close()


@pytest.mark.browser
def test_expand_leads_to_the_form_with_that_run_and_a_wrong_number_is_said_under_its_field(server, new_page, tmp_path):
    root = tmp_path / "runs"
    make_run(root, "done", begin(), step(39), front(1), ("end", {"step": 40, "reason": "finished"}))
    for file in ("card.json", "model.safetensors", "front.json"):
        (root / "done" / file).write_bytes((ROOT / "trained_models" / "multimnist" / file).read_bytes())
    page = new_page()
    page.goto(f"{server}/train?run=done")
    page.get_by_role("button", name="Expand").click()
    page.get_by_text("adds adapters and trains only those").wait_for()  # without a reload
    page.wait_for_url(re.compile("from=run"))
    assert "done" in page.get_by_role("combobox", name="Starts from").input_value()
    type_into(page, "epochs", 0)
    page.get_by_text("epochs must be from 1 to 1,000,000, found 0").first.wait_for()
    assert page.get_by_role("button", name="Start training").is_disabled()
    type_into(page, "epochs", 1)
    page.get_by_text("epochs must be from").first.wait_for(state="hidden")
    assert page.get_by_role("button", name="Start training").is_enabled()


@pytest.mark.browser
@pytest.mark.timeout(600)
def test_a_person_starts_watches_reloads_stops_and_resumes_a_run(server, new_page, tmp_path):
    page = new_page()
    page.goto(f"{server}/learn")
    page.get_by_role("button", name="Train a model").click()  # there on every page
    page.get_by_role("link", name="Every option").click()
    page.get_by_text("No runs yet").wait_for()
    type_into(page, "epochs", 60)
    page.get_by_text("Benchmark and data").click()
    type_into(page, "train images", 512)
    type_into(page, "test images", 64)
    page.get_by_role("button", name="Start training").click()
    run = held_run(tmp_path / "runs")
    config = run.config()
    assert config["training"]["epochs"] == 60
    assert [config["benchmark"]["options"][name] for name in ("train_images", "test_images")] == [512, 64]
    page.get_by_text(re.compile(r"step [\d,]+ of 120")).first.wait_for()
    page.wait_for_url(re.compile("run=multimnist-palora"))
    page.get_by_test_id("stMainBlockContainer").get_by_role("button", name="Stop").wait_for()
    page.get_by_text("Front on the validation split").wait_for()

    before = steps_shown(page)
    page.reload()
    page.get_by_text(re.compile(r"step [\d,]+ of 120")).first.wait_for()
    assert steps_shown(page) >= before

    second = new_page()
    second.goto(server)
    second.get_by_test_id("stSidebarNavItems").get_by_role("link", name="Train").click()
    second.get_by_text(re.compile(r"step [\d,]+ of 120")).first.wait_for()  # no run named: it attaches to the live one

    second.get_by_test_id("stMainBlockContainer").get_by_role("button", name="Stop").click()
    let_go_on(run)
    page.get_by_test_id("stMainBlockContainer").get_by_role("button", name="Resume").wait_for()  # seen here too
    stopped = steps_shown(page)
    assert 0 < stopped < 120
    page.get_by_test_id("stMainBlockContainer").get_by_role("button", name="Resume").click()
    page.get_by_role("link", name="Explore").nth(1).wait_for(timeout=150_000)
    page.get_by_text("step 120 of 120").first.wait_for()
    assert page.get_by_text("Traceback").count() == 0
