"""Damage of every kind for model and run folders, from a seed: what fuzz tests read afterwards."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 10**30, -(10**18), 1.5, 1e300, float("inf"), float("nan")),
    *("", "text", "a" * 5000, "<img src=x>![i](http://x/y)", "\ud800", "a\nb\u202ec", "../../etc", "%{x}$y$"),
    *([], [[]], [1], ["a"], {}, {"name": 1}, {"a": {"b": []}}, [[1, 2], [3]], [None, None], list(range(300))),
)
JSON = ("card.json", "front.json", "config.json", "process.json", "job.json", "note.json", "best.json")
OTHERS = ("events.jsonl", "samples.npz", "model.safetensors", "log.txt", "stop")


def complete(folder: Path) -> None:
    """Give a model folder everything that a run has as well."""
    tasks = [task["name"] for task in json.loads((folder / "card.json").read_text())["tasks"]]
    even = [[1 / len(tasks)] * len(tasks)]
    events = [
        {"time": 1.0, "kind": "start", "step": 0, "epochs": 1, "total_steps": 4, "tasks": tasks},
        *({"time": 2.0, "kind": "step", "step": s, "epoch": 1, "tau": 0.5, "losses": even[0], "preferences": even,
           "seconds_left": 1.0} for s in (1, 2, 3, 4)),
        {"time": 3.0, "kind": "front", "step": 4, "epoch": 1, "preferences": even, "objectives": even,
         "hypervolume": 0.5},
        {"time": 4.0, "kind": "end", "step": 4, "reason": "finished"},
    ]  # fmt: skip
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    card = json.loads((folder / "card.json").read_text())
    config = {"format": 1, "benchmark": card["benchmark"], "method": card["method"], "training": {"epochs": 1}}
    for name, content in {
        "config.json": config,
        "job.json": {"script": "train.py", "arguments": ["--benchmark", "toy"], "created": 1.0, "queued": None},
        "process.json": {"pid": 999_999_999, "start": "1", "time": 1.0},
        "note.json": {"name": "mine", "text": "a note"},
        "best.json": card,
    }.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "log.txt").write_text("a word\n")


def is_sound(path: Path) -> bool:
    """Whether a file is still one, and can be changed as what it is."""
    if not path.is_file() or path.is_symlink():
        return False
    try:
        return path.suffix not in (".json", ".jsonl") or bool([json.loads(x) for x in _parts(path)])
    except (ValueError, RecursionError):
        return False


def _parts(path: Path) -> list[str]:
    text = path.read_text()
    return text.splitlines() if path.suffix == ".jsonl" else [text]


def damage(folder: Path, rng: random.Random) -> str:
    """Spoil one file of a folder; returns what was done."""
    name = rng.choice([name for name in (*JSON * 3, *OTHERS * 2) if is_sound(folder / name)])
    path = folder / name
    ways = [_bytes, _other_thing]
    if name in JSON:
        ways += [_value] * 4
    elif name == "events.jsonl":
        ways += [_event] * 4
    elif name == "samples.npz" and zipfile.is_zipfile(path):
        ways += [_array] * 2
    return f"{name}: {rng.choice(ways)(path, rng)}"


def _bytes(path: Path, rng: random.Random) -> str:
    data = bytearray(path.read_bytes())
    way = rng.choice(("flip", "cut", "empty", "junk", "deep"))
    if way == "flip" and data:
        for _ in range(rng.choice((1, 1, 5, 50))):
            data[rng.randrange(len(data))] = rng.randrange(256)
    elif way == "cut":
        data = data[: rng.randrange(len(data) + 1)]
    else:
        data = {"empty": b"", "junk": rng.randbytes(300), "deep": b"[" * 100_000}.get(way, data)
    path.write_bytes(bytes(data))
    return way


def _other_thing(path: Path, rng: random.Random) -> str:
    path.unlink()
    way = rng.choice(("missing", "folder", "circle", "pipe", "nowhere"))
    if way == "folder":
        path.mkdir()
    elif way == "circle":
        path.symlink_to(path.name)
    elif way == "pipe":
        os.mkfifo(path)
    elif way == "nowhere":
        path.symlink_to("not there")
    return way


def _value(path: Path, rng: random.Random) -> str:
    data = json.loads(path.read_text())
    told = _change(data, rng)
    path.write_text(json.dumps(data))
    return told


def _event(path: Path, rng: random.Random) -> str:
    lines = path.read_text().splitlines()
    place = rng.randrange(len(lines))
    event = json.loads(lines[place])
    told = _change(event, rng)
    lines[place] = json.dumps(event)
    if rng.random() < 0.2:
        rng.shuffle(lines)
    path.write_text("\n".join(lines) + "\n")
    return f"line {place}, {told}"


def _change(data: Any, rng: random.Random) -> str:
    """Replace, remove, double or add a value anywhere in JSON."""
    places: list[tuple[Any, Any]] = []
    waiting = [data]
    while waiting:
        part = waiting.pop()
        for key in list(part) if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ():
            places.append((part, key))
            waiting.append(part[key])
    if not places:
        return "nothing to change"
    part, key = rng.choice(places)
    way = rng.choice(("replace", "replace", "replace", "remove", "add"))
    if way == "remove":
        del part[key]
    elif way == "add":
        part.append(rng.choice(VALUES)) if isinstance(part, list) else part.update(
            {rng.choice("abc"): rng.choice(VALUES)}
        )
    else:
        part[key] = rng.choice(VALUES)
    return f"{way} {key!r}"


def _array(path: Path, rng: random.Random) -> str:
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, OSError, zipfile.BadZipFile, zlib.error):
        return "damaged already"
    name = rng.choice(list(arrays))
    array = arrays[name]
    way = rng.choice(
        ("scalar", "short", "empty", "nan", "text", "object", "kind", "shape", "missing", "large", "header")
    )
    made = {
        "scalar": lambda: np.float32(1),
        "short": lambda: array[:1],
        "empty": lambda: array[:0],
        "nan": lambda: np.full(array.shape, np.nan, np.float32),
        "text": lambda: np.array(["a"] * len(array)),
        "object": lambda: np.array([{}] * len(array), dtype=object),
        "kind": lambda: array.astype(rng.choice([bool, np.int8, np.uint64, np.float16, np.float64, ">f8", complex])),
        "shape": lambda: array.reshape(len(array), -1)[:, :3],
        "large": lambda: (array.astype(np.float64) * 1e30).astype(np.float64),
    }
    if way in made:
        arrays[name] = made[way]()
    elif way == "missing":
        del arrays[name]
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    data = buffer.getvalue()
    if way == "header":
        data = data.replace(b"'shape': (", b"'shape': (9999999999, ", 1)
        with zipfile.ZipFile(io.BytesIO(buffer.getvalue())) as archive, zipfile.ZipFile(path, "w") as out:
            for info in archive.infolist():
                out.writestr(info.filename, archive.read(info).replace(b"(4,", b"(4000000,", 1))
        return way
    path.write_bytes(data)
    return f"{way} {name}"


def copied(source: Path, target: Path) -> Path:
    """A copy of a folder in which links and pipes are left as they are."""
    return Path(shutil.copytree(source, target, symlinks=True))
