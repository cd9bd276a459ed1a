"""Dataclasses are the single truth about options: from them come command-line settings, widgets and cards."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import inspect
import math
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from palora_core import plugins
from palora_core.balancing.base import balancers
from palora_core.conditioning.base import conditionings
from palora_core.errors import UserError, quoted
from palora_core.methods.base import Method, methods
from palora_core.ranges import Range, ranges_of
from palora_core.registry import Registry
from palora_core.samplers import samplers
from palora_core.storage.cards import OWN

PARTS: dict[str, Registry] = {"conditioning": conditionings, "balancer": balancers, "sampler": samplers}


@dataclass(frozen=True)
class Option:
    """One setting of a method, a benchmark or the training loop.

    Attributes:
        path: dotted name, e.g. ``conditioning.rank``.
        type: the annotated type.
        value: its present value.
        choices: allowed values where the type is a ``Literal``.
        help: its line in the docstring's "Attributes" (or "Args").
        range: the numbers it may be, where that is declared with the type.
    """

    path: str
    type: Any
    value: Any
    choices: tuple[Any, ...]
    help: str
    range: Range | None = None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]


def options(config: Any, prefix: str = "") -> Iterator[Option]:
    """All settings of a dataclass and of the dataclasses inside it."""
    hints = typing.get_type_hints(type(config))
    described, allowed = _descriptions(type(config)), ranges_of(type(config))
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        path = f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            yield from options(value, f"{path}.")
        elif field.init:
            hint = hints[field.name]
            choices = typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()
            yield Option(path, hint, value, choices, described.get(field.name, ""), allowed.get(field.name))


def override(config: Any, settings: Mapping[str, Any]) -> Any:
    """A copy of ``config`` with ``settings`` applied: keys are option names or dotted paths, values text or typed.

    Raises:
        UserError: an unknown or ambiguous name, or a value of another type or outside the option's range; nothing is
            guessed.
    """
    for key, value in settings.items():
        option = _find(config, key)
        config = _replaced(config, option.path.split("."), parse(option, value))
    return config


def method_from(name: str, parts: Mapping[str, str] | None = None) -> Method:
    """The method called ``name`` with its defaults, some of its parts replaced: ``{"sampler": "dirichlet"}``."""
    method: Method = methods.get(name)()
    for part, entry in (parts or {}).items():
        if part not in PARTS:
            raise UserError(f"A method has no part {part!r}; its parts are {', '.join(PARTS)}.")
        method = dataclasses.replace(method, **{part: PARTS[part].get(entry)()})
    return method


def to_dict(config: Any) -> dict[str, Any]:
    """JSON form of a dataclass; registered parts carry their registry name under ``"name"``."""
    result: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            result[field.name] = {"name": PARTS[field.name].name_of(value), **to_dict(value)}
        elif field.init:
            result[field.name] = list(value) if isinstance(value, tuple) else value
    return result


def method_from_dict(data: Mapping[str, Any]) -> Method:
    """The method that ``{"name": …, **to_dict(method)}`` describes."""
    data = dict(data)
    kind = methods.get(data.pop("name"))
    values: dict[str, Any] = {}
    for key, value in data.items():
        values[key] = from_dict(PARTS[key].get(value["name"]), value) if key in PARTS else value
    return from_dict(kind, values)


def require(description: Mapping[str, Any], what: str, **others: Registry) -> None:
    """Check that the method, its parts and the ``others`` that a card or a run's configuration names are registered.

    Args:
        description: the card or configuration; it may name ``plugins``, which are mentioned and never imported.
        what: how the sentence begins, e.g. ``"This model"``.
        others: further registries by their key, e.g. ``benchmark=benchmarks``.

    Raises:
        UserError: something is missing; the sentence says what, and which plugin the description names for it.
    """
    if not isinstance(description, Mapping):
        return  # damaged; whoever reads it says so
    method = description.get("method")
    parts = method if isinstance(method, dict) else {}
    needs = [(others[key], description.get(key)) for key in others] + [(methods, method)]
    needs += [(PARTS[key], parts[key]) for key in parts if key in PARTS]
    named = [(registry, need["name"]) for registry, need in needs if isinstance(need, dict) and "name" in need]
    named = [pair for pair in named if pair != (methods, OWN)]  # no method of ours made it, and none is needed
    unknown = [_slip(registry, name) for registry, name in named if name not in registry]
    if not unknown:
        return
    verb = "is" if len(unknown) == 1 else "are"
    modules = plugins.missing(description.get("plugins")) or ["MODULE"]
    raise UserError(
        f"{what} needs {' and '.join(unknown)}, which {verb} not registered; start with --plugin "
        f"{' --plugin '.join(modules)} or PALORA_PLUGINS={','.join(modules)}"
        + ("" if modules != ["MODULE"] else ", naming the module that registers it")
        + "".join(f" ({problem})" for problem in plugins.problems())
        + "."
    )


def _slip(registry: Registry, name: object) -> str:
    close = registry.closest(name)
    return f"the {registry.kind} {quoted(name)}" + (f" (did you mean {close!r}?)" if close else "")


def from_dict(kind: Any, data: Mapping[str, Any]) -> Any:
    """A ``kind`` from its JSON form.

    Raises:
        UserError: a field that ``kind`` does not have, or a value of another type than its field.
    """
    names = {field.name for field in dataclasses.fields(kind) if field.init}
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items() if key != "name"}
    given = {**getattr(kind, "before", {}), **given}  # options that a file written before them does not have
    unknown = sorted(set(given) - names)
    if unknown:
        raise UserError(f"{kind.__name__} has no option {unknown[0]!r}; its options are {', '.join(sorted(names))}.")
    hints = typing.get_type_hints(kind)
    for key, value in given.items():
        if not fits(hints[key], value):
            wanted = _type_name(hints[key])
            raise UserError(f"The option {key!r} of {kind.__name__} is {quoted(value)}; expected {wanted}.")
    return kind(**given)


def fits(hint: Any, value: Any) -> bool:
    """Whether a value is of an option's annotated type; types other than those of options fit always."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(argument, value) for argument in arguments)
    if origin is typing.Literal:
        return value in arguments
    if origin is tuple:
        return isinstance(value, tuple) and all(fits(arguments[0], item) for item in value)
    if hint in (int, float):
        kinds = (int, float) if hint is float else int
        return isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, hint) if hint in (bool, str, types.NoneType) else True


def parse(option: Option, value: Any) -> Any:
    """``value`` (text from a command line, or already typed) as the option's type."""
    if option.choices:
        for choice in option.choices:
            if str(value) == str(choice):
                return choice
        raise UserError(f"{option.path} must be one of {', '.join(map(str, option.choices))}, found {quoted(value)}.")
    try:
        converted = _converted(option.type, value)
    except (ValueError, SyntaxError, TypeError, OverflowError, RecursionError, MemoryError):
        raise UserError(f"{option.path} must be {_type_name(option.type)}, found {quoted(value)}.") from None
    if option.range is not None:
        option.range.check(option.path, converted)
    return converted


def _converted(kind: Any, value: Any) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None or (isinstance(value, str) and value.lower() in ("none", "")):
            return None
        return _converted(next(a for a in arguments if a is not type(None)), value)
    if origin is tuple:
        items = _items(value) if isinstance(value, str) else value
        return tuple(_converted(arguments[0], item) for item in items)
    if kind is bool:
        return _boolean(value)
    if kind is int and not isinstance(value, str) and value != int(value):
        raise ValueError
    return kind(value)


def _items(text: str) -> tuple[Any, ...]:
    """The items of ``"0.5, 0.75"``, with or without brackets; none of ``""`` or ``"none"``."""
    text = text.strip().removeprefix("(").removeprefix("[").removesuffix(")").removesuffix("]").strip().rstrip(",")
    return ast.literal_eval(f"({text},)") if text and text.lower() != "none" else ()


def _boolean(value: Any) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if str(value).lower() not in words:
        raise ValueError
    return words[str(value).lower()]


def _type_name(kind: Any) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    if typing.get_origin(kind) is tuple:
        return "numbers separated by commas"
    inner = [a for a in typing.get_args(kind) if a is not type(None)]
    return names.get(kind) or (f"{_type_name(inner[0])} or none" if inner else str(kind))


def _find(config: Any, key: str) -> Option:
    every = list(options(config))
    exact = [option for option in every if option.path == key]
    found = exact or [option for option in every if option.name == key]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"{key!r} could mean {' or '.join(o.path for o in found)}; give the full name.")
    close = difflib.get_close_matches(key, [o.path for o in every] + [o.name for o in every], n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise UserError(f"There is no option {key!r}{hint}; the options are {', '.join(o.path for o in every)}.")


def _replaced(config: Any, path: list[str], value: Any) -> Any:
    if len(path) > 1:
        value = _replaced(getattr(config, path[0]), path[1:], value)
    return dataclasses.replace(config, **{path[0]: value})


def _descriptions(kind: type) -> dict[str, str]:
    """Field → its description, read from the "Attributes:" or "Args:" of the class docstrings."""
    found: dict[str, str] = {}
    for cls in reversed(kind.__mro__):
        current, indent = None, 0
        section = False
        for line in inspect.cleandoc(cls.__doc__ or "").splitlines():
            if line.strip() in ("Attributes:", "Args:"):
                section, indent = True, 4
            elif section and line.strip() and not line.startswith(" "):
                section = False
            elif section and len(line) - len(line.lstrip()) == indent and ":" in line:
                current, _, text = line.strip().partition(":")
                found[current] = text.strip()
            elif section and current and line.strip():
                found[current] += " " + line.strip()
    return found
