"""Renders chunks of scenes into a cache's arrays; ``python -m palora_core.scenes.worker`` is one of several processes.

Input: one JSON object, {"folder", "parameters", "pieces"}. It reports null for every scene rendered, and a chunk for
every chunk that is completely on the disk.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from palora_core.children import ChildError, messages_of, report
from palora_core.scenes import arrays
from palora_core.scenes.generate import SceneError, render
from palora_core.scenes.manifest import Chunk, Parameters, digest

Piece = tuple[int, int]


def render_pieces(parameters: Parameters, folder: Path, pieces: list[Piece]) -> Iterator[Chunk | None]:
    """Render and store pieces in this process; gives None after every scene and a Chunk after every piece."""
    p = parameters
    for start, stop in pieces:
        scenes = []
        for index in range(start, stop):
            scenes.append(render(p.kind, p.seed, index, p.height, p.width, p.split))
            yield None
        hashes = {}
        for field in p.fields():
            rows = np.stack([field.pack(scene[field.key]) for scene in scenes])
            arrays.write(field, folder, start, rows)
            hashes[field.name] = digest(rows)
        yield Chunk(start, stop, hashes)


def render_in_processes(
    parameters: Parameters, folder: Path, pieces: list[Piece], workers: int
) -> Iterator[Chunk | None]:
    """The same from ``workers`` child processes, in the order in which things get done.

    Raises:
        SceneError: a child failed; the last lines that it wrote say why.
    """
    about = {"folder": str(Path(folder).resolve()), "parameters": asdict(parameters)}
    jobs = [json.dumps({**about, "pieces": pieces[number::workers]}).encode() for number in range(workers)]
    try:
        for message in messages_of("palora_core.scenes.worker", jobs):
            yield None if message is None else Chunk(**message)
    except ChildError as error:
        raise SceneError(f"Scenes can't be generated in {folder}: {error}") from None


if __name__ == "__main__":
    job = json.load(sys.stdin)
    chunks = render_pieces(Parameters(**job["parameters"]), Path(job["folder"]), job["pieces"])
    sys.exit(report(None if chunk is None else asdict(chunk) for chunk in chunks))
