"""A contact sheet: a few scenes beside their labels, depth and normals, to look at."""

from __future__ import annotations

import numpy as np

from palora_core.scenes.catalog import PALETTES
from palora_core.scenes.generate import render


def sheet(
    kind: str, n: int, height: int = 96, width: int = 128, seed: int = 0, split: str = "train", columns: int = 1
) -> np.ndarray:
    """The first ``n`` scenes as one picture uint8 [rows · H, columns · 4 · W, 3].

    Args:
        kind: ``"rooms"`` or ``"streets"``.
        n: number of scenes.
        height: H of each picture.
        width: W of each picture.
        seed: of the data set.
        split: which split.
        columns: scenes side by side.
    """
    strips = [_strip(kind, render(kind, seed, index, height, width, split)) for index in range(n)]
    strips += [np.zeros_like(strips[0])] * (-n % columns)
    rows = [np.concatenate(strips[start : start + columns], axis=1) for start in range(0, len(strips), columns)]
    return np.concatenate(rows)


def _strip(kind: str, scene: dict[str, np.ndarray]) -> np.ndarray:
    depth = scene["depth"]
    known = depth > 0
    top = np.percentile(depth[known], 98) if known.any() else 1.0
    share = np.clip(depth / top, 0, 1)[..., None] ** (1.0 if kind == "rooms" else 0.5)
    # Dark blue over green to yellow; black where nothing is known.
    heat = np.concatenate([share**2, 0.9 * share**0.7, 0.45 + 0.3 * np.sin(3 * share) - 0.6 * share**2], axis=2)
    parts = [scene["image"], PALETTES[kind][scene["label"]], _bytes(np.where(known[..., None], heat, 0))]
    parts.append(_bytes(0.5 + 0.5 * scene["normal"]))
    return np.concatenate(parts, axis=1)


def _bytes(values: np.ndarray) -> np.ndarray:
    return (np.clip(values, 0, 1) * 255).astype(np.uint8)
