"""Plugins: what leads in, what a failing one leaves behind, and what people read where one is missing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NETWORK = """
import palora_core as pc
from palora_core.networks.lenet import lenet

@pc.register("network", {name!r})
def mine(outputs, batch_norm=False):
    return lenet(outputs, batch_norm)
"""
EXAMPLE = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "howto" / "plugins.md").read_text(), re.DOTALL)[1]
SMALL = ("train_images=16", "test_images=8", "batch_size=8", "num_preferences=2", "samples=1", "front_points=2")


@pytest.fixture
def python(tmp_path):
    """Run code in ``tmp_path`` with plugins in the environment; gives what it printed."""

    def run(code: str, plugins: str = "", **variables: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PALORA_PLUGINS": plugins, **variables}
        command = [sys.executable, "-c", textwrap.dedent(code)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


def write(folder: Path, **modules: str) -> None:
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)


def test_the_environment_names_plugins_in_the_current_folder(tmp_path, python):
    write(tmp_path, first=NETWORK.format(name="net_one"), second=NETWORK.format(name="net_two"))
    code = """
    import palora_core as pc
    from palora_core import plugins
    print("net_one" in pc.networks(), "net_two" in pc.networks(), plugins.loaded(), plugins.problems())
    """
    assert python(code, plugins="first, second") == "True True ['first', 'second'] []"
    assert python(code) == "False False [] []"


def test_an_installed_package_brings_its_plugin_along(tmp_path, python):
    write(tmp_path, installed_one=NETWORK.format(name="net_one"))
    about = tmp_path / "installed_one-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: installed-one\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[palora.plugins]\nany name = installed_one\n")
    code = (
        "import palora_core as pc; from palora_core import plugins; print('net_one' in pc.networks(), plugins.loaded())"
    )
    assert python(code, PYTHONPATH=f"{ROOT}{os.pathsep}{tmp_path}") == "True ['installed_one']"


FAULTS = {
    "zero": ("1 / 0", "The plugin zero could not be loaded (ZeroDivisionError: division by zero)"),
    "needy": ("import nobody_has_it", "could not be loaded (ModuleNotFoundError: No module named 'nobody_has_it')"),
    "quits": ("raise SystemExit('no')", "could not be loaded (SystemExit: no)"),
    "broken": ("def broken(:", "could not be loaded (SyntaxError"),
    "thief": (NETWORK.format(name="lenet"), "the network name 'lenet' is taken by palora_core.networks.lenet.lenet"),
    "second": (NETWORK.format(name="shared"), "the network name 'shared' is taken by good.mine"),
    "long": ("raise RuntimeError('x' * 5000)", "x … x"),
    "absent": (None, "There is no module 'absent'"),
}


def test_one_that_fails_leaves_nothing_and_the_others_go_on(tmp_path, python):
    write(tmp_path, good=NETWORK.format(name="shared"), later=NETWORK.format(name="net_later"))
    for name, (fault, _) in FAULTS.items():
        if fault is not None:
            half = NETWORK.format(name=f"half_{name}").replace("def mine", "def half")
            write(tmp_path, **{name: half + fault})
    code = """
    import palora_core as pc
    from palora_core import plugins
    names = pc.networks()
    print([name for name in names if name in ("shared", "net_later", "lenet") or "half" in name], plugins.loaded())
    print(*plugins.problems(), sep="\\n")
    """
    first, *sentences = python(code, plugins=",".join(["good", *FAULTS, "later"])).splitlines()
    assert first == "['lenet', 'net_later', 'shared'] ['good', 'later']"
    assert len(sentences) == len(FAULTS)
    for (name, (_, expected)), sentence in zip(FAULTS.items(), sentences):
        assert expected in sentence and name in sentence and len(sentence) < 500


def test_a_plugin_may_look_names_up_while_it_is_imported(tmp_path, python):
    write(tmp_path, curious="import palora_core as pc\nfound = 'lenet' in pc.networks()\n")
    assert python(
        "import palora_core as pc, sys; pc.networks(); print(sys.modules['curious'].found)", plugins="curious"
    ) == ("True")


def test_a_person_who_takes_a_built_in_name_is_told_so_at_once(python):
    code = """
    import palora_core as pc
    try:
        pc.register("network", "lenet")(lambda outputs: None)
    except pc.UserError as error:
        print(error)
    """
    assert "the network name 'lenet' is taken by palora_core.networks.lenet" in python(code)


def test_first_look_ups_from_many_threads_see_the_plugin(tmp_path, python):
    write(tmp_path, slow=NETWORK.format(name="net_slow") + "\nimport time; time.sleep(0.2)\n")
    code = """
    import threading
    import palora_core as pc
    seen = []
    kinds = (pc.networks, pc.benchmarks, pc.methods, pc.networks)
    look = lambda kind: (kind(), seen.append("net_slow" in pc.networks()))
    threads = [threading.Thread(target=look, args=(kind,)) for kind in kinds]
    for thread in threads: thread.start()
    for thread in threads: thread.join(60)
    print(seen)
    """
    assert python(code, plugins="slow") == "[True, True, True, True]"


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with the plugin that the documents show, another one, and ``run``, trained with both."""
    folder = tmp_path_factory.mktemp("own")
    write(folder, own_net=NETWORK.format(name="own_net"), own_data=EXAMPLE)
    words = ["--benchmark", "own_digits", "--out", "run", "--epochs", "1", "--data", "data", "--device", "cpu"]
    words += [word for setting in SMALL for word in ("--set", setting)]
    done = palora(folder, "train", *words, "--plugin", "own_net", "--plugin", "own_data")
    assert done.returncode == 0, done.stderr
    return folder


def palora(folder: Path, *words: str, plugins: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PALORA_PLUGINS": plugins}
    command = [sys.executable, "-m", "palora_core", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)


def test_a_run_and_its_card_name_the_plugins(trained):
    for name in ("config.json", "card.json"):
        assert json.loads((trained / "run" / name).read_text())["plugins"] == ["own_data", "own_net"]


@pytest.mark.parametrize(
    ("words", "begins"),
    [
        (("evaluate", "run", "--out", "front.json"), "This model needs"),
        (("export", "run", "--preference", "1", "0", "--out", "x.safetensors"), "This model needs"),
        (("train", "--out", "run", "--resume"), "The run in run needs"),
    ],
)
def test_what_is_missing_is_said_in_a_sentence_and_nothing_is_imported(trained, words, begins):
    (trained / "own_data.py").write_text(EXAMPLE + "\nopen('imported', 'w').close()\n")
    (trained / "imported").unlink(missing_ok=True)
    done = palora(trained, *words)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert not (trained / "imported").exists()
    assert f"error: {begins} the" in done.stderr and "not registered" in done.stderr
    assert "--plugin own_data --plugin own_net or PALORA_PLUGINS=own_data,own_net" in done.stderr


def test_with_the_plugins_everything_goes_on(trained):
    done = palora(trained, "evaluate", "run", "--out", "front.json", "--data", "data", plugins="own_net,own_data")
    assert done.returncode == 0, done.stderr
    done = palora(trained, "export", "run", "--preference", "1", "0", "--out", "x.safetensors", "--plugin", "own_data")
    assert done.returncode == 0, done.stderr


def test_sweeps_hand_plugins_on_to_their_trainings(trained):
    words = ["sweep", "grid", "--benchmark", "own_digits", "--param", "rank=1", "--out", "swept", "--data", "data"]
    words += [word for setting in SMALL for word in ("--set", setting)]
    done = palora(trained, *words, "--epochs", "1", "--device", "cpu", "--plugin", "own_net", "--plugin", "own_data")
    assert done.returncode == 0, done.stderr + (trained / "swept" / "runs" / "rank=1" / "log.txt").read_text()
    card = json.loads((trained / "swept" / "runs" / "rank=1" / "card.json").read_text())
    assert card["network"]["name"] == "two_layers"


def test_names_in_a_card_are_only_names():
    from palora_core import plugins
    from palora_core.config import require
    from palora_core.networks.base import networks

    card = {"network": {"name": "x" * 500}, "plugins": ["os; rm", "../x", 3, "a" * 300, "fine.name"]}
    assert plugins.missing(card["plugins"]) == ["fine.name"]
    with pytest.raises(ValueError, match=r"start with --plugin fine\.name or PALORA_PLUGINS=fine\.name") as found:
        require(card, "This model", network=networks)
    assert len(str(found.value)) < 300
    with pytest.raises(ValueError, match="naming the module that registers it"):
        require({"network": {"name": "mycnn"}}, "This model", network=networks)
    for damaged in ([], {"method": 3}, {"network": "lenet", "method": {"name": "palora", "sampler": 4}}):
        require(damaged, "This model", network=networks)


def test_modules_outside_are_named_for_whoever_loads_what_they_registered(monkeypatch, tmp_path):
    from palora_core import plugins

    monkeypatch.setattr(plugins, "_tried", {"mine": "", "absent": "There is no module 'absent'."})
    monkeypatch.setattr(plugins, "_settled", "")
    monkeypatch.setenv(plugins.VARIABLE, "")
    things = [type("Thing", (), {"__module__": name}) for name in ("mine.nets", "other.nets", "palora_core.tasks")]
    assert plugins.homes(*things) == ["other.nets"]
    script = type("Thing", (), {"__module__": "__main__"})
    main = type(plugins)("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert plugins.homes(script) == [], "a notebook has no name"
    main.__file__ = str(tmp_path / "my_script.py")
    assert plugins.homes(script) == ["my_script"]
    main.__file__ = str(tmp_path / "my-script.py")
    assert plugins.homes(script) == [], "no --plugin would find it"
