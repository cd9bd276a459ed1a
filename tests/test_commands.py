"""``palora`` on the command line: the same commands as the scripts, exit codes, advice, and what the doctor finds."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from palora_core import commands, plugins
from palora_core.commands import console, doctor, machine, studio
from palora_core.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = {"prepare": "prepare_data"}


def python(*words: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=240)


def test_every_command_is_listed_and_is_a_module():
    found = {
        path.stem for path in (ROOT / "palora_core" / "commands").glob("*.py") if "def arguments(" in path.read_text()
    }
    assert found == set(commands.COMMANDS)


@pytest.mark.parametrize("command", sorted(commands.COMMANDS))
def test_help_explains_a_command_without_torch(command, capsys, monkeypatch):
    with pytest.raises(SystemExit) as end:
        commands.main([command, "--help"])
    shown = capsys.readouterr().out
    assert end.value.code == 0 and f"usage: palora {command}" in shown and "--plugin MODULE" in shown


def test_help_needs_nothing_heavy(tmp_path):
    code = (
        "import sys; from palora_core import commands\n"
        "for name in commands.COMMANDS:\n"
        "    try: commands.main([name, '--help'])\n"
        "    except SystemExit: pass\n"
        "print([n for n in ('torch', 'numpy', 'streamlit', 'plotly') if n in sys.modules])"
    )
    done = python("-c", code, cwd=tmp_path)
    assert done.stdout.strip().splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize("command", sorted(set(commands.COMMANDS) - {"app", "doctor"}))
def test_a_script_is_its_command(command, monkeypatch):
    called = []
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    monkeypatch.setattr(commands, "run", lambda *given: called.append(given) or 7)
    monkeypatch.setattr(sys, "argv", [script := f"scripts/{SCRIPTS.get(command, command)}.py", "--seed", "1"])
    monkeypatch.delitem(sys.modules, "_cli", raising=False)
    with pytest.raises(SystemExit) as end:
        exec(compile((ROOT / script).read_text(), script, "exec"), {"__name__": "__main__"})
    monkeypatch.delitem(sys.modules, "_cli", raising=False)
    assert end.value.code == 7 and called == [(command, ["--seed", "1"], f"python {script}")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "--benchmark", "nonsense", "--out", "x"], "unknown benchmark 'nonsense'"),
        (["train", "--out", "x"], "--benchmark is missing"),
        (["no_command"], "invalid choice: 'no_command'"),
        (["export", "nowhere", "--out", "x"], "There is no model folder nowhere"),
        (["export", "nowhere", "--out", "x", "--plugin", "no_such_module"], "There is no module 'no_such_module'"),
        (["export", "nowhere", "--out", "x", "--plugin", "./own.py"], "without .py"),
        (["app", "--models", "nowhere"], "There is no folder of models nowhere"),
    ],
)
def test_what_a_person_can_put_right_is_a_sentence_and_status_2(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PALORA_PLUGINS", "")
    monkeypatch.setattr(plugins, "_tried", {})
    monkeypatch.setattr(plugins, "_settled", "")
    try:
        status = commands.main(words)
    except SystemExit as end:  # argparse's own
        status = end.code
    assert status == 2 and said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_training_words_begin_or_go_on(tmp_path):
    args = argparse.Namespace(benchmark="own", data=Path("d"), device="cpu", epochs=3, set=["lr=1"])
    words = console.training_words(args, tmp_path, "palora", 2, {"sampler": "fixed", "rank": "4"})
    text = " ".join(words)
    assert text == (
        f"train --out {tmp_path} --data d --device cpu --benchmark own --method palora --seed 2 --epochs 3 "
        "--sampler=fixed --set lr=1 --set rank=4"
    )
    (tmp_path / "config.json").write_text("{}")
    assert console.training_words(args, tmp_path, "palora", 2, {})[-1] == "--resume"


def test_the_dashboard_is_found_in_a_checkout_and_beside_an_installed_package(tmp_path, monkeypatch):
    assert studio.home() == ROOT
    assert str(ROOT / "app" / "app.py") in studio.app_command(8600, None)
    installed = tmp_path / "palora_studio"
    (installed / "app").mkdir(parents=True)
    (installed / "app" / "app.py").touch()
    monkeypatch.setattr(studio, "INSTALLED", installed)
    assert studio.home() == installed
    monkeypatch.delenv("PALORA_CACHE", raising=False)
    assert str(installed) not in studio.app_environment()["PALORA_CACHE"]
    monkeypatch.setattr(studio, "PACKAGE", tmp_path / "elsewhere")
    monkeypatch.setattr(studio, "INSTALLED", tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"palora-core\[app\]"):
        studio.app_command(None, None)


def test_the_doctor_of_a_sound_machine(tmp_path, capsys):
    assert commands.run("doctor", ["--runs", str(tmp_path / "runs"), "--data", str(tmp_path)], "palora doctor") == 0
    shown = capsys.readouterr().out
    models = "multimnist, multimnist-bottleneck, rooms, spoken_digits, streets"
    for expected in ("torch", "oneDNN", "bf16 is", "extra app", models, "can be written"):
        assert expected in shown
    assert {line.split()[0] for line in shown.splitlines()} <= {"ok", "missing", "slow"}


def test_the_doctor_finds_what_is_broken(tmp_path, capsys, monkeypatch):
    (tmp_path / "models" / "bad").mkdir(parents=True)
    for name in ("card.json", "model.safetensors"):
        (tmp_path / "models" / "bad" / name).write_bytes((ROOT / "trained_models" / "multimnist" / name).read_bytes())
    with (tmp_path / "models" / "bad" / "model.safetensors").open("ab") as file:
        file.write(b"0")
    (tmp_path / "file").touch()
    monkeypatch.setenv("PALORA_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(machine, "OLDEST_TORCH", (99, 0))
    monkeypatch.setitem(doctor.EXTRAS, "hub", {"a-package": "a_package_nobody_has"})
    status = commands.run(
        "doctor", ["--runs", str(tmp_path / "file" / "runs"), "--data", str(tmp_path)], "palora doctor"
    )
    broken = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("ok")]
    assert status == 1
    for expected in ("torch>=99.0", "weights of", "cannot be written", 'no a-package; pip install "palora-core[hub]"'):
        assert any(expected in line for line in broken), (expected, broken)


def test_the_doctor_reports_a_plugin_that_fails(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PALORA_PLUGINS", "")
    monkeypatch.setattr(plugins, "_tried", {})
    given = ["--runs", str(tmp_path), "--data", str(tmp_path), "--plugin", "no_such_module"]
    assert commands.run("doctor", given, "palora doctor") == 1
    assert "broken   There is no module 'no_such_module'" in capsys.readouterr().out


def test_the_dashboard_starts_with_a_plugin_that_fails_and_hands_it_on(monkeypatch):
    started = {}
    monkeypatch.setenv("PALORA_PLUGINS", "first_one")

    def execve(file, command, environment):
        started.update(environment)
        raise SystemExit(0)  # as this process is gone

    monkeypatch.setattr("os.execve", execve)
    with pytest.raises(SystemExit):
        commands.run("app", ["--plugin", "no_such_module"], "palora app")
    assert started["PALORA_PLUGINS"] == "first_one,no_such_module"
