"""A plugin in this process for as long as a test needs it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app import views
from app.inputs import input_views
from app.kinds import views as task_views
from palora_core import plugins
from palora_core.registries import REGISTRIES

EVERY_KIND = Path(__file__).parents[1] / "every_kind"
PROBLEMS = ("reviews", "tones", "dots")  # of the plugin in there


@contextmanager
def plugged(folder: Path, name: str) -> Iterator[None]:
    """The module ``name`` in ``folder`` is loaded as a plugin, and gone with all that it registered afterwards."""
    patch = pytest.MonkeyPatch()
    registries = (*REGISTRIES.values(), task_views, input_views)
    back = [len(registry) and registry.snapshot() for registry in registries]  # once they hold what is built in
    patch.syspath_prepend(str(folder))
    for module in [path.stem for path in folder.glob("*.py")]:  # it registers when it is imported, once more
        patch.delitem(sys.modules, module, raising=False)
    patch.setenv("PALORA_PLUGINS", name)
    patch.setattr(plugins, "_tried", {})
    patch.setattr(plugins, "_settled", None)
    patch.setattr(views, "_tried", {})
    plugins.load()
    assert not plugins.problems()
    try:
        yield
    finally:
        for restore in back:
            restore()
        patch.undo()
