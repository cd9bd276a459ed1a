"""Plugins: modules of other people that register networks, benchmarks, methods and their parts when they are imported.

Three ways lead in, and all are a person's own decision: an installed package's entry point (group ``palora.plugins``),
``--plugin MODULE`` on a command line, and the environment's ``PALORA_PLUGINS=MODULE,MODULE``, by which the second way
reaches child processes, too. Modules are looked for where Python looks, then in the current folder. A card or a run's
configuration may *name* plugins; that tells people what is missing and never imports anything.

A plugin is in with all that it registers or with nothing: where one fails, the others and the built-in things go on.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from palora_core.errors import UserError, quoted, shortened
from palora_core.registry import DISCOVERY

GROUP = "palora.plugins"
VARIABLE = "PALORA_PLUGINS"
_LONGEST = 240  # characters of a foreign message that are shown

_tried: dict[str, str] = {}  # module → why it could not be loaded; "" for one that was
_settled: str | None = None  # the environment's value for which all is done
_loading = False


def ask_for(names: Iterable[str]) -> list[str]:
    """Add modules to those that this process, and every one started from here, loads when it needs a name; all of them.

    Raises:
        UserError: a name that is no module's.
    """
    wanted = [*asked_for(), *names]
    for name in wanted:
        if not is_module_name(name):
            raise UserError(
                f"--plugin takes the name of a Python module, for example my_package.my_module, without its folder "
                f"and without .py; found {quoted(name)}."
            )
    if wanted:
        os.environ[VARIABLE] = ",".join(dict.fromkeys(wanted))
    return wanted


def use(names: Iterable[str]) -> None:
    """Load these modules and those that the environment names, now.

    Raises:
        UserError: a name that is no module's, or a module that cannot be loaded.
    """
    wanted = ask_for(names)
    load()
    for name in wanted:
        if _tried.get(name):
            raise UserError(_tried[name])


def asked_for() -> list[str]:
    """The modules that the environment names."""
    return [name for name in re.split(r"[,\s]+", os.environ.get(VARIABLE, "")) if name]


def loaded() -> list[str]:
    """Plugins that are in, by module name."""
    load()
    return sorted(name for name, problem in _tried.items() if not problem)


def problems() -> list[str]:
    """One sentence per plugin that could not be loaded."""
    load()
    return [problem for problem in _tried.values() if problem]


def homes(*things: Any) -> list[str]:
    """The modules outside this package that define registered ``things``, without those inside plugins that are in.

    A script that registers things itself is called by its file, as ``--plugin`` would name it; a notebook has no name.
    """
    found = []
    for thing in things:
        module = getattr(thing, "__module__", "")
        if module == "__main__":
            main = sys.modules["__main__"]
            spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
            module = spec.name if spec is not None else Path(file).stem if file else ""
        inside = any(f"{module}.".startswith(f"{known}.") for known in ("palora_core", *loaded()))
        if module and is_module_name(module) and not inside:
            found.append(module)
    return list(dict.fromkeys(found))


def missing(named: object) -> list[str]:
    """Those of the plugins that a card or configuration names that are not in; what is no module's name is left out."""
    names = named if isinstance(named, list | tuple) else []
    return [name for name in names if isinstance(name, str) and is_module_name(name) and _tried.get(name, "?")]


def is_module_name(name: str) -> bool:
    """Whether this is a dotted Python name of an ordinary length."""
    return len(name) <= 100 and all(part.isidentifier() for part in name.split("."))


def load() -> None:
    """Import what is asked for and not tried yet; never raises for a plugin's fault (see :func:`problems`)."""
    global _settled, _loading
    asked = os.environ.get(VARIABLE, "")
    if asked == _settled:
        return
    with DISCOVERY:
        if _loading or asked == _settled:  # a plugin that is being imported looks a name up, or another thread was here
            return
        _loading = True
        try:
            installed = [] if _settled is not None else [point.module for point in entry_points(group=GROUP)]
            new = [name for name in dict.fromkeys([*installed, *asked_for()]) if name not in _tried]
            for name in new:
                _tried[name] = _import(name, here=name not in installed)
            _settled = asked
        finally:
            _loading = False


def _import(name: str, here: bool) -> str:
    """Import a plugin; "" or the sentence that says why it could not be."""
    registries = importlib.import_module("palora_core.registries").REGISTRIES.values()
    for registry in registries:
        registry.discover()  # what is built in takes its names first
    restore = [registry.snapshot() for registry in registries]
    if here and not {"", str(Path.cwd())} & set(sys.path):
        sys.path.append(str(Path.cwd()))
    try:
        importlib.import_module(name)
    except (Exception, SystemExit) as error:
        for back in restore:
            back()
        return _sentence(name, error)
    return ""


def _sentence(name: str, error: BaseException) -> str:
    absent = error.name if isinstance(error, ModuleNotFoundError) else None
    if absent and f"{name}.".startswith(f"{absent}."):
        return (
            f"There is no module {quoted(name)} for the plugin of that name; install it, or start in the folder "
            "that holds it."
        )
    why = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    why = shortened(" ".join(why.split()), _LONGEST)
    return f"The plugin {name} could not be loaded ({why}); mend it, or start without it."
