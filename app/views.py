"""Views of kinds: which class shows a kind of task or input, found by walking a package and beside the plugins.

A plugin ``my.module`` brings its views in a module of their own, which only the dashboard imports: ``my.module_views``,
or ``my.module.views`` where it is a package. A kind without a view is shown by that of the kind that it extends, and at
last as numbers.
"""

from __future__ import annotations

import importlib
import inspect
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from palora_core import plugins
from palora_core.errors import UserError, shortened
from palora_core.registry import DISCOVERY, Kinds

_tried: dict[str, str] = {}  # plugin → why its views could not be loaded; "" where all is well
_all: list[Views] = []


class Views(Kinds):
    """The views of one side by the kinds that they show.

    Args:
        kind: what they show, in messages.
        package: whose modules hold them, one each.
        default: what shows a kind without a view.
    """

    def __init__(self, kind: str, package: str, default: type) -> None:
        super().__init__(kind, package)
        self.default = default
        _all.append(self)

    def showing(self, kind: type) -> Any:
        """The view of a class of tasks or inputs: its own, or that of the nearest class that it extends."""
        for made in kind.__mro__:
            name = vars(made).get("kind")
            if name in self:
                return self.get(name)
        return self.default

    def _complete(self) -> None:
        super()._complete()
        load()


def script(view: type) -> Path | None:
    """What the browser needs to show a kind beyond its legend: the file of its view's name that ends in ``.js``."""
    beside = Path(inspect.getfile(view)).with_suffix(".js")
    return beside if vars(view).get("kind") and beside.is_file() else None


def problems() -> list[str]:
    """One sentence per plugin whose views could not be loaded."""
    load()
    return [problem for problem in _tried.values() if problem]


def load() -> None:
    """Import the views of the plugins that are in, once; a fault in them is a sentence, and their kinds are numbers."""
    for name in plugins.loaded():
        with DISCOVERY:
            if name not in _tried:
                _tried[name] = ""  # before the import, which registers and so comes by here
                _tried[name] = _import(name)


def _import(name: str) -> str:
    package = hasattr(importlib.import_module(name), "__path__")
    module = f"{name}.views" if package else f"{name}_views"
    if find_spec(module) is None:
        return ""
    restore = []
    for views in _all:
        views.discover()  # what is built in takes its names first
        restore.append(views.snapshot())
    try:
        importlib.import_module(module)
    except (Exception, SystemExit) as error:
        for back in restore:
            back()
        why = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        return f"The views {module} could not be loaded ({shortened(' '.join(why.split()), 240)}); mend them."
    return ""
