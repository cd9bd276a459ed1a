"""Whether runs were measured on the same test items: those that travel with each of them tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from app.library.entries import file_stamp
from app.library.leaderboards import EvaluatedModel
from app.library.models import ModelRegistry
from palora_core.errors import UserError
from palora_core.storage.samples import load_samples


def measured_apart(models: Sequence[EvaluatedModel], registry: ModelRegistry) -> list[EvaluatedModel]:
    """The models whose test items are not those of most; a model that brings no items is not judged.

    The items compared are the first of the test split, which travel with every model by one rule, and their number.
    """
    found = {}
    for model in models:
        try:
            file = registry.entry(model.id).samples_file
        except UserError:  # published, added, or gone
            continue
        first = first_items(file, file_stamp(file))[:1]
        if first:
            found[model.id] = (*first, model.front.about.get("items"))
    if len(set(found.values())) < 2:
        return []
    usual = Counter(found.values()).most_common(1)[0][0]
    return [model for model in models if found.get(model.id, usual) != usual]


@lru_cache(maxsize=512)
def first_items(file: Path, stamp: tuple[int, int]) -> tuple[str, ...]:
    """Hashes of the first test items in a file of samples; () where it cannot be read. ``stamp`` notices changes."""
    try:
        return load_samples(file, None).digests()
    except UserError:
        return ()
