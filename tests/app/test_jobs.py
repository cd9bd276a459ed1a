"""Training processes behind the dashboard: names that stay inside, a queue on disk, stop, resume, delete."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from app import jobs
from app.jobs import queue, status
from app.jobs.orders import read_order, write_order
from palora_core.errors import UserError
from palora_core.storage.runs import Run, is_alive

SHORT = {"benchmark.train_images": 64, "benchmark.test_images": 32, "training.epochs": 1, "training.front_points": 3}


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    folder = tmp_path / "runs"
    monkeypatch.setenv("PALORA_RUNS", str(folder))
    monkeypatch.delenv("PALORA_READ_ONLY", raising=False)
    monkeypatch.setenv("PALORA_RUNS_AT_ONCE", "1")
    yield folder
    for name in jobs.names():  # nothing of a failed test may go on training
        owner = Run(jobs.folder_of(name)).process()
        if owner and is_alive(owner) and owner["pid"] != os.getpid():
            with contextlib.suppress(ProcessLookupError):  # ended in this moment
                os.killpg(owner["pid"], signal.SIGKILL)


@pytest.fixture
def no_launch(monkeypatch):
    """Runs that are launched run in a process that only waits."""
    children = []

    def launch(folder):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
        children.append(child)
        write_order(folder, {**read_order(folder), "queued": None, "launched": time.time()})
        Run(folder).note_process(child.pid)

    monkeypatch.setattr(queue, "launch", launch)
    yield children
    for child in children:
        child.kill()
        child.wait()


def order(**settings):
    return jobs.Order("multimnist", "palora", {**SHORT, **settings})


def wait_for(name, *statuses, seconds=200):
    end = time.monotonic() + seconds
    while (found := jobs.job(name).status) not in statuses:
        assert time.monotonic() < end, f"{found}: {jobs.log_tail(jobs.folder_of(name))}"
        time.sleep(0.05)
    return jobs.job(name)


def make_run(root, name, *events, **files):
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"benchmark": {"name": "multimnist"}, "method": {"name": "palora"}}')
    for kind, data in events:
        Run(folder).event(kind, **data)
    for file, text in files.items():
        (folder / file.replace("_", ".")).write_text(text)
    return name


def test_a_process_that_cannot_be_started_is_a_failed_run_with_a_sentence(root, monkeypatch):
    def refuse(*_, **__):
        raise OSError(11, "Resource temporarily unavailable")

    with monkeypatch.context() as patched:
        patched.setattr(queue.subprocess, "Popen", refuse)
        name = jobs.start(order())
        found = jobs.job(name)
        assert found.status == "failed"
        assert found.message.startswith("The training process could not be started (Resource temporarily unavailable)")
        jobs.resume(name)
        assert jobs.job(name).status == "failed", "refused again, and said again"
    jobs.resume(name)
    assert jobs.job(name).status in ("starting", "running")
    jobs.stop(name)


def test_a_run_from_start_to_finish(root):
    name = jobs.start(order())
    assert jobs.job(name).live
    done = wait_for(name, "finished", "failed", "crashed")
    assert (done.status, done.message) == ("finished", "")
    assert (done.benchmark, done.method) == ("multimnist", "palora")
    assert done.step == done.total_steps > 0
    assert (root / name / "model.safetensors").exists()
    longer = jobs.estimate(order(**{"training.epochs": 10, "training.seed": 4}))
    assert longer.alike and longer.seconds > 0
    other = jobs.estimate(order(**{"training.epochs": 10, "method.rank": 7, "method.num_preferences": 10}))
    assert not other.alike and other.seconds > longer.seconds, "twice the preferences of a step"
    assert jobs.estimate(jobs.Order("sarcos", "palora")) is None
    with pytest.raises(UserError, match="finished"):
        jobs.resume(name)
    larger = jobs.start(
        jobs.Expansion("multimnist", root / name, "my run", {"training.epochs": 1, "training.samples": 2})
    )
    done = wait_for(larger, "finished", "failed", "crashed")
    assert (done.status, done.message, done.expands, done.method) == ("finished", "", "my run", "palora")
    card = json.loads((root / larger / "card.json").read_text())
    assert card["benchmark"]["options"]["train_images"] == 64, "as the source was trained"
    assert card["method"]["conditioning"]["adapters_only"]
    jobs.delete(larger)
    jobs.delete(name)
    assert jobs.names() == []
    assert [path.name for path in root.iterdir() if path.is_dir()] == []


def test_stopping_and_resuming_a_process(root):
    name = jobs.start(order(**{"training.epochs": 100_000}))  # on no machine it ends by itself meanwhile
    wait_for(name, "running")
    with pytest.raises(UserError, match="stop it before"):
        jobs.delete(name)
    while jobs.job(name).step < 2:
        time.sleep(0.05)
    jobs.stop(name)
    stopped = wait_for(name, "stopped", "finished")
    assert stopped.status == "stopped"
    jobs.resume(name)
    wait_for(name, "running")
    assert [e["resumed"] for e in Run(root / name).events() if e["kind"] == "start"] == [False, True]
    os.killpg(Run(root / name).process()["pid"], signal.SIGKILL)
    assert "without a word" in wait_for(name, "crashed").message


def test_only_one_run_trains_at_a_time_and_the_oldest_is_next(no_launch):
    names = []
    for _ in range(3):
        names.append(jobs.start(order()))
    assert [jobs.job(name).status for name in names] == ["starting", "queued", "queued"]
    no_launch[0].kill()
    no_launch[0].wait()
    jobs.advance()
    jobs.advance()
    assert [jobs.job(name).status for name in names] == ["crashed", "starting", "queued"]
    jobs.set_at_once(2)
    assert jobs.job(names[2]).status == ("starting" if jobs.most_at_once() > 1 else "queued")


def test_the_queue_is_on_disk(no_launch, root):
    jobs.start(order())
    waiting = jobs.start(order())
    assert json.loads((root / waiting / "job.json").read_text())["queued"] > 0
    status._logs.clear()  # as after a restart
    status._summaries.clear()
    assert jobs.job(waiting).status == "queued"
    jobs.stop(waiting)
    assert jobs.job(waiting).status == "stopped"
    jobs.resume(waiting)
    assert jobs.job(waiting).status == "queued"


def test_stopping_a_run_that_still_loads_its_data_ends_it(no_launch):
    name = jobs.start(order())
    assert jobs.job(name).status == "starting"
    jobs.stop(name)
    no_launch[0].wait(60)
    assert jobs.job(name).status == "stopped"


@pytest.mark.parametrize(
    "name",
    [
        *(
            "..",
            ".",
            "",
            "/",
            "/etc",
            "../runs/a",
            "a/../a",
            "a/",
            "a//b",
            "a/b/c/d",
            ".hidden",
            "a\x00b",
            "a\nb",
            "link",
        ),
        *("a" * 200, "~", "a\\b", "%2e%2e", "-rf", "missing"),
    ],
)
def test_names_never_leave_the_run_root(root, tmp_path, name):
    make_run(root, "a")
    make_run(tmp_path, "outside")
    (root / "link").symlink_to(tmp_path / "outside")
    for use in (jobs.folder_of, jobs.job, jobs.stop, jobs.resume, jobs.delete):
        with pytest.raises(UserError, match="no run called"):
            use(name)
    assert (tmp_path / "outside" / "config.json").exists()
    assert jobs.names() == ["a"]


def test_runs_of_sweeps_are_listed_and_strangers_are_not(root):
    make_run(root, "sweep/trial-1")
    make_run(root, "plain")
    (root / "notes").mkdir()
    (root / ".deleted-x").mkdir()
    (root / "file.txt").write_text("")
    assert sorted(jobs.names()) == ["plain", "sweep/trial-1"]
    assert jobs.folder_of("sweep/trial-1").is_dir()


@pytest.mark.parametrize(
    ("what", "match"),
    [
        (jobs.Order("nonsense", "palora"), "unknown benchmark"),
        (jobs.Order("multimnist", "palroa"), "did you mean 'palora'"),
        (jobs.Order("multimnist", "palora", {"training.epochs": 0}), "epochs must be from 1 to 1,000,000"),
        (jobs.Order("multimnist", "palora", {"method.nothing": 1}), "no option 'nothing'"),
        (jobs.Order("multimnist", "palora", {}, {"sampler": "x"}), "unknown sampler"),
        (
            jobs.Order("multimnist", "palora", {"training.start_from": "/etc/passwd"}),
            "only be given on the command line",
        ),
        (jobs.Order("multimnist", "palora", {"start_from": "/etc/passwd"}), "only be given on the command line"),
    ],
)
def test_bad_orders_are_refused_before_anything_is_made(root, what, match):
    with pytest.raises(UserError, match=match):
        jobs.start(what)
    assert not root.exists()


def test_orders_become_command_lines():
    settings = {"training.lr_milestones": (0.5, 0.75), "benchmark.norm_layers": True, "sampler.temperature": 0.5}
    what = jobs.Order("multimnist", "palora", settings, {"balancer": "linear"})
    assert what.arguments() == [
        *("--benchmark", "multimnist", "--method", "palora", "--balancer", "linear"),
        *("--set", "training.lr_milestones=0.5,0.75", "--set", "benchmark.norm_layers=true"),
        *("--set", "sampler.temperature=0.5"),
    ]
    assert [jobs.as_text(value) for value in (None, (), False, 3)] == ["none", "none", "false", "3"]


def test_what_went_wrong_is_one_sentence(root):
    dead = '{"pid": 999999999, "start": "1"}'
    refused = make_run(root, "refused", log_txt="loading\nerror: The data is not there.\n", process_json=dead)
    fault = "Traceback (most recent call last):\n  File ...\nRuntimeError: out of room\n"
    crashed = make_run(root, "crashed", ("start", {"step": 0}), log_txt=fault, process_json=dead)
    killed = make_run(root, "killed", ("start", {"step": 0}), process_json=dead)
    failed = make_run(root, "failed", ("error", {"step": 3, "message": "The loss became NaN."}))
    assert (jobs.job(refused).status, jobs.job(refused).message) == ("failed", "The data is not there.")
    assert jobs.job(crashed).status == "crashed"
    assert jobs.job(crashed).message == "The training process ended with RuntimeError: out of room"
    assert "killed" in jobs.job(killed).message
    assert (jobs.job(failed).status, jobs.job(failed).message) == ("failed", "The loss became NaN.")


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"queued": "x"}'])
def test_damaged_folders_do_not_break_the_list(root, damage):
    make_run(root, "fine")
    make_run(root, "odd", job_json=damage, config_json=damage, events_jsonl=damage, process_json=damage)
    assert {job.name for job in jobs.jobs()} == {"fine", "odd"}
    jobs.advance()


def test_a_public_demo_can_only_look(root, monkeypatch):
    name = make_run(root, "shown", ("end", {"step": 1, "reason": "stopped"}))
    monkeypatch.setenv("PALORA_READ_ONLY", "1")
    for attempt in (
        lambda: jobs.start(order()),
        lambda: jobs.resume(name),
        lambda: jobs.stop(name),
        lambda: jobs.delete(name),
        lambda: jobs.set_at_once(2),
    ):
        with pytest.raises(UserError, match="switched off"):
            attempt()
    assert jobs.job(name).status == "stopped"
    assert jobs.names() == ["shown"]


def test_a_folder_of_runs_that_cannot_be_written_is_a_sentence(root):
    name = make_run(root, "shown", ("end", {"step": 1, "reason": "stopped"}))
    (root / ".queue.lock").mkdir()  # cannot be opened for writing, not even by root
    for attempt in (
        jobs.advance,
        lambda: jobs.resume(name),
        lambda: jobs.stop(name),
        lambda: jobs.delete(name),
        lambda: jobs.set_at_once(2),
    ):
        with pytest.raises(UserError, match="folder of runs cannot be written"):
            attempt()
    assert jobs.names() == [name]


def test_the_log_is_read_from_its_end(root):
    name = make_run(root, "long", log_txt="x" * 100_000 + "\n" + "\n".join(map(str, range(500))))
    tail = jobs.log_tail(root / name, 3)
    assert tail.splitlines() == ["497", "498", "499"]
    assert jobs.log_tail(root / "missing") == ""


def test_events_are_read_again_when_they_change(root):
    step = {"losses": [1.0], "preferences": [[1.0]]}
    name = make_run(root, "a", ("start", {"tasks": ["left"]}), ("step", {"step": 1, **step}))
    first = jobs.read_events(root / name)
    assert jobs.read_events(root / name)[1] is first[1]
    Run(root / name).event("step", step=2, **step)
    assert [e["step"] for e in jobs.read_events(root / name)] == [0, 1, 2]
    assert jobs.job(name).step == 2


def test_the_number_of_runs_at_once_is_bounded(root):
    root.mkdir()
    jobs.set_at_once(10_000)
    assert jobs.at_once() == jobs.most_at_once()
    (root / ".queue.json").write_text("[1]")
    assert jobs.at_once() == 1
