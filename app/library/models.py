"""The models that can be shown: listed often, and loaded when they are asked for."""

from __future__ import annotations

import gc
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

from app.library.entries import Entry, found, read_entry, stamp_of, told_apart
from app.library.loading import LoadedModel, load
from palora_core.errors import UserError

MAX_LOADED = 4
# How old the listing of the folders may be, in seconds; a finished run appears after at most this.
LISTING_AGE = 2.0

Key = tuple[str, tuple[int, ...]]  # id, and what tells one state of its files from another


class ModelRegistry:
    """Lists model folders and loads them, the ones used last staying in memory.

    Args:
        models: folder of the shipped models.
        runs: folder of training runs.
    """

    def __init__(self, models: Path, runs: Path) -> None:
        self.models = models
        self.runs = runs
        self._lock = threading.RLock()
        self._listed: tuple[float, dict[str, Entry]] = (-1e9, {})
        self._found: dict[str, Entry] = {}  # as they call themselves
        self._loaded: OrderedDict[Key, LoadedModel] = OrderedDict()
        self._loading: dict[Key, threading.Lock] = {}

    def entries(self, asked: str = "") -> list[Entry]:
        """All model folders: shipped ones first, then runs, by name.

        Args:
            asked: id of a model that somebody comes for; a listing that lacks it is made anew, so that a link is right
                from the moment on that its model is there.
        """
        return list(self._listing(asked).values())

    def entry(self, model_id: str) -> Entry:
        """The entry called ``model_id``.

        Raises:
            UserError: there is none.
        """
        entry = self._listing(model_id).get(model_id)
        if entry is None:
            raise UserError("This model is not (or no longer) here; choose one from the list.")
        return entry

    def get(self, model_id: str) -> LoadedModel:
        """The model called ``model_id``, from memory if its files are unchanged.

        Raises:
            UserError: unknown, damaged, or made for something this program does not have.
        """
        entry = self.entry(model_id)
        if entry.problem:
            raise UserError(entry.problem)
        key = (entry.id, entry.stamp)
        with self._lock:
            loaded = self._loaded.get(key)
            if loaded is not None:
                self._loaded.move_to_end(key)
                return loaded
            loading = self._loading.setdefault(key, threading.Lock())
        with loading:  # whoever wants another model does not wait for it
            return self._loaded.get(key) or self._load(key, entry)

    def _load(self, key: Key, entry: Entry) -> LoadedModel:
        try:
            loaded = load(entry)
        except UserError:
            self._loading.pop(key, None)
            raise
        with self._lock:
            self._loaded[key] = loaded
            self._loading.pop(key, None)
            while len(self._loaded) > MAX_LOADED:
                self._loaded.popitem(last=False)
            # Weights and modules stay for long: without this every full collection walks all of torch's objects.
            gc.collect()
            gc.freeze()
        return loaded

    def _listing(self, asked: str = "") -> dict[str, Entry]:
        with self._lock:
            age, entries = self._listed
            if time.monotonic() - age > LISTING_AGE or (asked and asked not in entries):
                self._found = {entry.id: entry for entry in self._scan()}
                entries = {entry.id: entry for entry in told_apart(list(self._found.values()))}
                self._listed = (time.monotonic(), entries)
            return entries

    def _scan(self) -> Iterator[Entry]:
        known = {(entry.id, entry.stamp): entry for entry in self._found.values()}
        for model_id, folder in found(self.models, self.runs):
            stamp = stamp_of(model_id, folder)
            yield known.get((model_id, stamp)) or read_entry(model_id, folder, stamp)
