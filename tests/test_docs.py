"""What the README and the site tell a user to type works as it stands there."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import shlex
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch

import palora_core as pc
from palora_core.commands import COMMANDS
from palora_core.registries import REGISTRIES

ROOT = Path(__file__).resolve().parent.parent
MADE = ("_build", "auto_tutorials", "generated")  # by the build
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if not set(path.parts) & set(MADE) and path.name != "CHANGELOG.md"
}
ELSEWHERE = tuple(f"docs/howto/{name}.md" for name in ("large-models", "plugins", "merging"))  # tests of their own


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", PAGES[page], re.DOTALL | re.MULTILINE)


PROGRAMS = [(page, number) for page in PAGES if page not in ELSEWHERE for number in range(len(blocks(page, "python")))]
TYPED = [
    (page, line.split("  #")[0])
    for page in PAGES
    for block in blocks(page, "bash")
    for line in block.replace("\\\n", " ").splitlines()
    if re.match(r"\s*(srun torchrun|torchrun|palora|python scripts|PALORA|make)\b", line)
]


@pytest.fixture
def registries():
    """What a page registers is gone behind it."""
    restore = [registry.snapshot() for registry in REGISTRIES.values() if registry.names()]
    yield
    for each in restore:
        each()


@pytest.mark.parametrize(("page", "number"), PROGRAMS)
def test_programs_on_pages_run(page, number, tmp_path, monkeypatch, capsys, registries):
    (tmp_path / "trained_models").symlink_to(ROOT / "trained_models")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    module = types.ModuleType("page")  # dataclasses look their module up
    monkeypatch.setitem(sys.modules, "page", module)
    names = vars(module)
    exec(compile(blocks(page, "python")[number], page, "exec"), names)
    if "run" in names:
        assert names["run"].finished and names["run"].front().hypervolume() > 0
    if page == "README.md":
        assert re.match(r"0\.\d+ \[-?\d", capsys.readouterr().out)


def test_the_loop_of_ones_own_makes_a_front():
    names: dict = {}
    torch.manual_seed(0)
    exec(compile(blocks("docs/howto/own-loop.md", "python")[0], "own-loop.md", "exec"), names)
    corners = [names["model"](names["x"], corner).detach() for corner in ([1.0, 0.0], [0.0, 1.0])]
    losses = [[float((y[:, t] - names[n]).square().mean()) for t, n in enumerate(("first", "second"))] for y in corners]
    assert losses[0][0] < losses[1][0] and losses[1][1] < losses[0][1], "each corner is best at its own objective"


def test_the_commands_run_one_after_another(tmp_path):
    commands = blocks("docs/howto/commands.md", "bash")[0].strip().splitlines()
    assert len(commands) >= 4
    for command in commands:
        words = shlex.split(command, comments=True)
        assert words[0] == "palora"
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        typed = [sys.executable, "-m", "palora_core", *words[1:]]
        result = subprocess.run(typed, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280)
        assert result.returncode == 0, f"{command}\n{result.stderr}"
    assert (tmp_path / "runs" / "first" / "chosen.safetensors").stat().st_size > 50_000
    assert (tmp_path / "runs" / "expanded" / "front.json").is_file()


def parser_of(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    importlib.import_module(f"palora_core.commands.{command}").arguments(parser)
    parser.add_argument("--plugin", action="append")
    return parser


@pytest.mark.parametrize(("page", "line"), TYPED)
def test_commands_on_pages_exist_with_their_options(page, line):
    words = shlex.split(re.sub(r"\$\([^)]*\)", "", line).split("|")[0].replace("…", ""))
    while words and re.fullmatch(r"[A-Z_]+=.*|&&", words[0]):
        words = words[1:]
    if words[:1] == ["make"]:
        target = next((word for word in words[1:] if "=" not in word), "")
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), line
        return
    if words[:1] == ["srun"] or "palora_core" in words:  # python -m palora_core, under torchrun
        words = ["palora", *words[words.index("palora_core") + 1 :]]
    if words[:1] == ["python"] and words[1].startswith("scripts/"):
        assert (ROOT / words[1]).is_file(), line
        if (command := Path(words[1]).stem.replace("prepare_data", "prepare")) not in COMMANDS:
            return
        words = ["palora", command, *words[2:]]
    assert words[0] == "palora", line
    assert words[1] in COMMANDS, line
    known = set(parser_of(words[1])._option_string_actions)
    assert {word for word in words[2:] if word.startswith("--")} <= known, line


def test_every_command_that_is_named_is_one():
    named = {name for text in PAGES.values() for name in re.findall(r"`palora (\w+)", text)}
    assert named <= {*COMMANDS, "X"}


SCRIPTS = sorted({name for text in PAGES.values() for name in re.findall(r"`(?:python )?(scripts/[a-z]\w+\.py)", text)})


@pytest.mark.parametrize("command", SCRIPTS)
def test_every_script_that_is_named_explains_itself(command):
    result = subprocess.run([sys.executable, command, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr
    assert "usage:" in result.stdout


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_is_linked_exists(page):
    for target in re.findall(r"\]\((?!http|#)([^)#\s]+)[^)]*\)", PAGES[page]):
        if "generated/" not in target:
            base = ROOT if page in ("README.md", "CONTRIBUTING.md", "SECURITY.md") else (ROOT / page).parent
            assert (base / target).exists(), target


TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.py"))


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_tutorials_are_short(path):
    assert len(path.read_text().splitlines()) <= 85
    assert path.read_text().startswith('"""\n'), "sphinx-gallery needs a title"


def test_every_public_name_has_a_docstring():
    lacking = [name for name in pc.__all__ if not (getattr(pc, name).__doc__ or "").strip()]
    assert not lacking


def test_the_readme_is_one_screen():
    assert len(PAGES["README.md"].splitlines()) <= 60
    assert len(PAGES["README.md"]) < 4500
