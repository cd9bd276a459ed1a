"""The dashboard with a plugin that fails, and with models that need one that is not loaded."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app.settings import child_environment
from palora_core import plugins
from palora_core.children import python
from tests.app.pages import MAIN, open_on, spelt, texts

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "trained_models" / "multimnist"


CHANGES = {
    "sound": {},
    "own_net": {"network": {"name": "mycnn", "options": {}}, "plugins": ["somebodys.networks"]},
    "own_data": {"benchmark": {"name": "own", "options": {}}},
}


def shown(app: AppTest) -> str:
    """Notices without the characters that keep texts of others from being read as Markdown."""
    return spelt("".join(map(texts, (app.error, app.warning, app.caption))))


@pytest.fixture
def roots(request, tmp_path, monkeypatch):
    """A dashboard with one model: a sound one, or one whose network or benchmark a plugin had brought."""
    from app import services

    name = request.param
    shutil.copytree(SHIPPED, tmp_path / "models" / name)
    card = json.loads((SHIPPED / "card.json").read_text())
    (tmp_path / "models" / name / "card.json").write_text(json.dumps({**card, **CHANGES[name]}))
    monkeypatch.setenv("PALORA_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("PALORA_RUNS", str(tmp_path / "runs"))
    services.reset()
    yield name
    services.reset()


@pytest.mark.parametrize("page", ["explore", "models", "probe", "compare"])
@pytest.mark.parametrize(
    ("roots", "expected"),
    [
        ("own_net", "the network 'mycnn', which is not registered; start with --plugin somebodys.networks"),
        ("own_data", "the benchmark 'own', which is not registered; start with --plugin MODULE"),
    ],
    indirect=["roots"],
)
def test_a_model_without_its_plugin_says_so_in_a_sentence(roots, page, expected):
    app = open_on(page, model=roots)
    assert not app.exception
    if (page, roots) != ("compare", "own_net"):  # its front is enough there
        assert expected in shown(app)


@pytest.mark.parametrize("roots", ["sound"], indirect=True)
def test_a_plugin_that_fails_is_named_and_everything_else_goes_on(roots, monkeypatch, tmp_path):
    (tmp_path / "fails_in_the_app.py").write_text("import palora_core as pc\npc.register('network', 'lenet')(print)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PALORA_PLUGINS", "fails_in_the_app")
    monkeypatch.setattr(plugins, "_tried", {})
    app = AppTest.from_file(str(MAIN), default_timeout=120).run()
    assert not app.exception and not app.error
    assert "fails_in_the_app could not be loaded (the network name 'lenet' is taken" in shown(app)
    assert app.selectbox(key="model").value == "sound"


def test_what_the_dashboard_starts_finds_the_plugins(monkeypatch, tmp_path):
    (tmp_path / "of_the_queue.py").write_text("import palora_core as pc\npc.register('network', 'queue_net')(object)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(ROOT / "app"), str(ROOT), *(p for p in sys.path if p)])
    monkeypatch.setenv("PALORA_PLUGINS", "of_the_queue")
    monkeypatch.setattr(plugins, "_tried", {})
    assert plugins.loaded() == ["of_the_queue"]
    command = python("-c", "import app, palora_core as pc; print('queue_net' in pc.networks(), app.__path__)")
    done = subprocess.run(command, cwd="/", env=child_environment(), capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == f"True ['{ROOT / 'app'}']", done.stderr
