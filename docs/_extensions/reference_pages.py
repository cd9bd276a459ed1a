"""The reference: a page per public name, per registry and per room, out of the code itself."""

import inspect
import pkgutil
import re
from pathlib import Path

from writing import heading, write_pages

import palora_core as pc
from palora_core.registries import REGISTRIES
from palora_core.registry import Registry

FOLDER = "reference/generated"
PLURALS = {"benchmark": "Benchmarks", "input": "Kinds of inputs", "task": "Kinds of tasks"}


def setup(app) -> dict[str, bool]:
    """Sphinx calls it once."""
    # Before the gallery runs the tutorials, which register things of their own.
    app.connect("builder-inited", lambda app: write_pages(Path(app.srcdir) / FOLDER, pages()), priority=100)
    app.connect("autodoc-process-docstring", as_written, priority=400)  # before napoleon's
    return {"parallel_read_safe": True}


def as_written(app, what, name, obj, options, lines: list[str]) -> None:
    """Signs of docstrings stand for themselves: |x| is no substitution, [T, *shape] no emphasis."""
    lines[:] = [line if re.match(r"\s*(>>>|\.\.\.|\*\w+:)", line) else escaped(line) for line in lines]


def escaped(line: str) -> str:
    """A line with these signs escaped, outside of what is literal."""
    parts = re.split(r"(^\s*\* |``.+?``|`[^`]+`)", line)  # a bullet stays one
    parts[::2] = [re.sub(r"[|*]|(?<=\w)_(?=\W|$)", r"\\\g<0>", part) for part in parts[::2]]
    return "".join(parts)


def pages() -> dict[str, str]:
    """All pages by their file's name."""
    made = {f"palora_core.{name}.rst": name_page(name) for name in pc.__all__}
    made |= {f"registry-{kind}.rst": registry_page(kind, registry) for kind, registry in REGISTRIES.items()}
    made |= {f"room-{room}.rst": room_page(room, modules) for room, modules in rooms().items()}
    return made


def name_page(name: str) -> str:
    """The page of ``palora_core.name``."""
    found = getattr(pc, name)
    if inspect.isclass(found):
        body = f".. autoclass:: palora_core.{name}\n   :members:\n   :inherited-members: Module, ValueError\n"
    elif inspect.ismodule(found):
        kind = found.__name__.rpartition(".")[2]
        body = f"``pc.{name}()`` lists what is registered, by name: :doc:`all of them <{registry_file(kind)}>`.\n"
    else:
        body = f".. autofunction:: palora_core.{name}\n"
    return f"{heading(f'pc.{name}')}\n{body}"


def registry_file(plural: str) -> str:
    """The page of the registry that the package's module of this name holds."""
    return f"registry-{next(kind for kind in REGISTRIES if plural.startswith(kind[:5]))}"


def title(kind: str) -> str:
    """What a registry's page is called."""
    return PLURALS.get(kind, f"{kind.capitalize()}s")


def registry_page(kind: str, registry: Registry) -> str:
    """Every entry of a registry under its name, with its options and its source."""
    parts = [heading(title(kind)), f"Registered names; add your own with ``pc.register({kind!r}, NAME)``.\n"]
    for name, entry in registry().items():
        directive = "autoclass" if inspect.isclass(entry) else "autofunction"
        parts.append(heading(name, "-"))
        parts.append(f".. {directive}:: {entry.__module__}.{entry.__qualname__}\n   :no-index:\n")
        parts[-1] += "   :no-members:\n" if inspect.isclass(entry) else ""
    return "\n".join(parts)


def rooms() -> dict[str, list[str]]:
    """Public modules of the package, by the room (or, at the top, the module) they stand in."""
    found: dict[str, list[str]] = {}
    for module in pkgutil.walk_packages(pc.__path__, "palora_core."):
        parts = module.name.split(".")[1:]
        if not any(part.startswith("_") for part in parts):
            found.setdefault(parts[0], []).append(module.name)
    return found


def room_page(room: str, modules: list[str]) -> str:
    """All that a room defines, but what has a page of its own."""
    parts = [heading(f"palora_core.{room}")]
    for name in modules:
        own = [each for each in pc.__all__ if getattr(getattr(pc, each), "__module__", "") == name]
        parts.append(heading(name, "-") if len(modules) > 1 else "")
        parts += [f":doc:`pc.{each} <palora_core.{each}>` has a page of its own.\n" for each in own]
        parts.append(f".. automodule:: {name}\n   :members:\n   :ignore-module-all:\n")
        parts[-1] += f"   :exclude-members: {', '.join(own)}\n" if own else ""
    return "\n".join(parts)
