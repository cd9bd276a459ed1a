"""Registries: from a name on a command line or in a sidebar to the class or factory behind it."""

import difflib
import importlib
import pkgutil
import sys
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from palora_core.errors import UserError

Entry = TypeVar("Entry", bound=Callable[..., Any])

# Several sessions of the app may ask for the first time at once; re-entrant because the modules that are being imported
# may look names up themselves. One lock for all registries and for plugins, which fill several of them.
DISCOVERY = threading.RLock()


class Registry:
    """A set of named classes or factories of one kind that fills itself from the files of a package.

    Adding one thing means adding one file: the first look-up imports every module of `package` (those whose name
    starts with an underscore excepted), and the modules register what they define. What plugins register
    (:mod:`palora_core.plugins`) is there at the first look-up, too.

    Example:
        >>> methods = Registry("method", package="palora_core.methods")
        >>> @methods.register("palora")          # in palora_core/methods/palora.py
        ... class Palora: ...
        >>> methods.get("palora")

    Args:
        kind: What the entries are, in the singular; used in messages.
        package: Dotted name of the package to import on first use; None where all entries live in one module.
    """

    def __init__(self, kind: str, package: str | None = None) -> None:
        self.kind = kind
        self.package = package
        self.unavailable: dict[str, str] = {}
        self._entries: dict[str, Callable[..., Any]] = {}
        self._discovered = package is None
        # Apart from the lock of the discovery: a thread that imports one of the modules directly holds its import lock
        # when it registers, and must not wait for the discovery, which may be waiting for that import lock.
        self._lock = threading.Lock()

    def register(self, name: str) -> Callable[[Entry], Entry]:
        """Decorator that files a class or factory under `name`.

        Raises:
            UserError: If another object already has this name. Importing the same module again is allowed.
        """

        def file(entry: Entry) -> Entry:
            with self._lock:
                earlier = self._entries.get(name)
                if earlier is not None and _origin(earlier) != _origin(entry):
                    taken = f"the {self.kind} name {name!r} is taken by {_origin(earlier)}"
                    raise UserError(f"{taken}; give {_origin(entry)} another one")
                self._entries[name] = entry
            return entry

        return file

    def names(self) -> list[str]:
        """All registered names in alphabetical order."""
        self._complete()
        return sorted(self._entries)

    def get(self, name: str) -> Callable[..., Any]:
        """The class or factory called `name`.

        Raises:
            UserError: If there is none; the message lists the known names and the closest one.
        """
        if name in self:
            return self._entries[name]
        raise UserError(self._unknown(name))

    def name_of(self, value: Any) -> str:
        """The name under which the class of ``value`` is registered.

        Raises:
            UserError: it is not.
        """
        for name, entry in self().items():
            if entry is type(value):
                return name
        raise UserError(f"{type(value).__name__} is not a registered {self.kind}; register it under a name first.")

    def __call__(self) -> dict[str, Callable[..., Any]]:
        """All entries as a new dictionary, names in alphabetical order."""
        return {name: self._entries[name] for name in self.names()}

    def __contains__(self, name: object) -> bool:
        self._complete()
        return isinstance(name, str) and name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def __repr__(self) -> str:
        return f"Registry({self.kind!r}, names={self.names()})"

    def closest(self, name: object) -> str:
        """The registered name that ``name`` may be a slip of; "" if none is near."""
        return next(iter(difflib.get_close_matches(str(name).lower().replace("-", "_"), self.names(), n=1)), "")

    def _unknown(self, name: object) -> str:
        close = self.closest(name)
        hint = f"did you mean {close!r}? " if close else ""
        message = f"unknown {self.kind} {name!r}: {hint}known names are {', '.join(self.names()) or '(none)'}"
        for module, reason in self.unavailable.items():
            message += f"; {module} could not be loaded ({reason})"
        return f"{message}; one of your own comes in with --plugin MODULE or PALORA_PLUGINS=MODULE"

    def snapshot(self) -> Callable[[], None]:
        """What brings the present entries back, for an import that may fail half-way."""
        before = dict(self._entries)

        def restore() -> None:
            with self._lock:
                self._entries = before

        return restore

    def _complete(self) -> None:
        self.discover()
        # By name, as the packages are: plugins know all registries, and no registry knows them.
        importlib.import_module("palora_core.plugins").load()

    def discover(self) -> None:
        """Import the modules of the package once; what lacks an optional dependency is noted, not fatal."""
        with DISCOVERY:
            if self._discovered or self.package is None:
                return
            self._discovered = True  # before the imports, which may ask this registry
            try:
                package = importlib.import_module(self.package)
                for module in sorted(module.name for module in pkgutil.iter_modules(package.__path__)):
                    if not module.startswith("_"):
                        self._import(f"{self.package}.{module}")
            except BaseException:
                self._discovered = False  # a broken module must fail on every look-up, not only on the first
                raise

    def _import(self, module: str) -> None:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            own = module.partition(".")[0]
            if (error.name or "").partition(".")[0] == own:
                raise  # one of our own modules is missing: a fault, not a missing extra
            self.unavailable[module] = str(error)


class Kinds(Registry):
    """A registry of classes that know their own name: filed as ``"depth"``, a class has ``kind = "depth"``.

    Whoever needs something of a kind looks it up by that name, or asks the object itself; nobody compares it.
    """

    def register(self, name: str) -> Callable[[Entry], Entry]:
        """As :meth:`Registry.register`, and the class is told its name."""
        file = super().register(name)

        def named(entry: Entry) -> Entry:
            file(entry).kind = name  # type: ignore[attr-defined]
            return entry

        return named


class _CallableModule(types.ModuleType):
    """A module that answers a call with the entries of the registry that it holds."""

    def __call__(self) -> dict[str, Callable[..., Any]]:
        name = self.__name__.rpartition(".")[2]
        holder = importlib.import_module(f"{self.__name__}.base") if hasattr(self, "__path__") else self
        return getattr(holder, name)()


def make_callable(module: str) -> None:
    """Let ``palora_core.methods()`` list what ``palora_core.methods``, a module of that very name, holds."""
    sys.modules[module].__class__ = _CallableModule


def _origin(entry: Callable[..., Any]) -> str:
    return f"{getattr(entry, '__module__', '?')}.{getattr(entry, '__qualname__', repr(entry))}"
