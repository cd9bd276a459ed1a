"""Renders chunks of scenes into a cache's arrays; ``python -m palora_core.scenes.worker`` is one of several processes.

A plain child process instead of ``multiprocessing``: it works below pytest, Streamlit, daemons and scripts without a
main guard alike, and it ends by itself, by the broken pipe, when the process that wants the scenes is killed.

Input: one JSON object, {"folder", "parameters", "pieces"}. Output: a line "scene" for every scene rendered, and
"chunk JSON" for every chunk that is completely on the disk.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from queue import Queue

import numpy as np

from palora_core.errors import UserError
from palora_core.scenes import arrays
from palora_core.scenes.generate import SceneError, render
from palora_core.scenes.manifest import Chunk, Parameters, digest

Piece = tuple[int, int]
_PACKAGE_ROOT = Path(__file__).resolve().parents[2]
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


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
    lines: Queue[tuple[int, str | None]] = Queue()
    children = [_start(parameters, folder, pieces[number::workers]) for number in range(workers)]
    threads = [threading.Thread(target=_read, args=(n, child, lines), daemon=True) for n, child in enumerate(children)]
    last: dict[int, list[str]] = {number: [] for number in range(workers)}
    try:
        for thread in threads:
            thread.start()
        running = workers
        while running:
            number, line = lines.get()
            if line is None:
                running -= 1
                if children[number].wait() != 0:
                    raise SceneError(f"Scenes can't be generated in {folder}: {' '.join(last[number]) or 'killed'}")
            elif line == "scene":
                yield None
            elif line.startswith("chunk "):
                yield Chunk(**json.loads(line[6:]))
            else:
                last[number] = [*last[number], line][-3:]
    finally:
        for child, thread in zip(children, threads):
            child.kill()
            child.wait()
            thread.join()


def _start(parameters: Parameters, folder: Path, pieces: list[Piece]) -> subprocess.Popen[str]:
    paths = [str(_PACKAGE_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    child = subprocess.Popen(
        [sys.executable, "-m", "palora_core.scenes.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **_ONE_THREAD, "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert child.stdin is not None
    job = {"folder": str(Path(folder).resolve()), "parameters": asdict(parameters), "pieces": pieces}
    try:
        child.stdin.write(json.dumps(job))
        child.stdin.close()
    except BrokenPipeError:  # it failed on start; what it wrote says why
        pass
    return child


def _read(number: int, child: subprocess.Popen[str], lines: Queue[tuple[int, str | None]]) -> None:
    assert child.stdout is not None
    with child.stdout as output:
        for line in output:
            lines.put((number, line.rstrip("\n")))
    lines.put((number, None))


def main() -> int:
    """Work through the job on the standard input."""
    job = json.load(sys.stdin)
    try:
        for chunk in render_pieces(Parameters(**job["parameters"]), Path(job["folder"]), job["pieces"]):
            print("scene" if chunk is None else f"chunk {json.dumps(asdict(chunk))}", flush=True)
    except BrokenPipeError:  # nobody waits for the scenes any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, UserError) as error:
        print(getattr(error, "strerror", None) or error, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
