"""Studies of Optuna as tables: their finished trials, with parameters and values, from a database or a journal."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from app.library.results import Table, checked
from palora_core.errors import UserError, quoted

SQLITE = b"SQLite format 3\0"
SUFFIXES = ("db", "sqlite", "sqlite3", "log", "journal", "jsonl")


def read_studies(name: str, data: bytes) -> dict[str, Table]:
    """The studies in a file by name: SQLite as ``sqlite:///…`` writes it, or a journal.

    Raises:
        UserError: Optuna is not installed, no such file, or no study with a finished trial in it.
    """
    try:
        import optuna
    except ImportError:
        raise UserError("Reading a study needs the package optuna; install it with: pip install optuna.") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="palora-study-") as folder:
        path = Path(folder) / "study"
        path.write_bytes(data)
        try:
            tables = _tables(_storage(optuna, path, data))
        except UserError:
            raise
        except Exception as error:  # whatever a file that is none makes of Optuna's many layers
            why = type(error).__name__
            raise UserError(f"{quoted(name)} holds no study that Optuna can read ({why}); export it again.") from None
    if not tables:
        raise UserError(f"{quoted(name)} has no study with a finished trial in it.")
    return tables


def _tables(storage: Any) -> dict[str, Table]:
    found = {}
    try:
        for one in storage.get_all_studies():
            names = storage.get_study_system_attrs(one._study_id).get("study:metric_names")
            falling = [direction.name != "MAXIMIZE" for direction in one.directions]
            table = _table(one.study_name, storage.get_all_trials(one._study_id), names, falling)
            found.update({one.study_name: table} if table else {})
    finally:
        engine = getattr(storage, "engine", None)
        if engine is not None:
            engine.dispose()
    return found


def _storage(optuna: Any, path: Path, data: bytes) -> Any:
    if data.startswith(SQLITE):
        return optuna.storages.RDBStorage(f"sqlite:///{path}")
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(path)))


def _table(study: str, trials: list[Any], names: Any, falling: list[bool]) -> Table | None:
    """A row per finished trial: its number, its parameters, its values; what was maximised with its sign turned."""
    done = [one for one in trials if one.state.name == "COMPLETE" and one.values]
    if not done:
        return None
    count = len(falling)
    names = names if isinstance(names, list) and len(names) == count else [f"value {i}" for i in range(count)]
    values = [str(name) if down else f"−{name}" for name, down in zip(names, falling)]
    parameters = list(dict.fromkeys(name for one in done for name in one.params))
    heads = ["trial", *(f"{name} (parameter)" if name in ("trial", *values) else name for name in parameters), *values]
    rows = [
        [
            f"trial {one.number}",
            *(_text(one.params.get(name)) for name in parameters),
            *(_text(value if down else -value) for value, down in zip(one.values, falling)),
        ]
        for one in done
    ]
    return checked(study, heads, rows)


def _text(value: Any) -> str:
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)
