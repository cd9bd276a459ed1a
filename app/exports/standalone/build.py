"""Puts a network, onnxruntime-web and a few samples into one HTML file."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
from pathlib import Path
from typing import Any

import torch

from app.exports import exporting
from app.exports.exporting import Exported
from app.exports.standalone import runtime
from app.library.entries import PICTURED
from app.library.loading import LoadedModel
from app.pictures import drawing
from app.pictures.drawing import Picture, Style
from app.pictures.scenes import Scene, make_scene, sample_ids, task_names
from app.pictures.uploads import UploadStore
from palora_core.tasks import Task

HERE = Path(__file__).resolve().parent
PLAYER = HERE / "player.js"
IMPORT = re.compile(r"^import [^;]*? from '([^']+)';\n", re.MULTILINE)
MOST_SAMPLES = 6


def standalone(loaded: LoadedModel) -> Exported:
    """The page of a model; its report is that of the ONNX file inside.

    Raises:
        UserError: onnxruntime-web or the ONNX export cannot be had; one sentence says why.
    """
    script, binary = runtime.parts()
    preference = None if loaded.model.controllable else [1 / loaded.num_tasks] * loaded.num_tasks
    network = exporting.export(loaded, "onnx", preference)
    page = compose(loaded, network, script, binary).encode()
    name = f"{network.name.partition('-controllable')[0].partition('-at-')[0]}.html"
    report = {**network.report, "file": name, "format": "html", "bytes": len(page), "runtime": runtime.PACKAGE}
    return Exported(name, page, report)


def compose(loaded: LoadedModel, network: Exported, script: bytes, binary: bytes) -> str:
    """Fill the template."""
    images = sample_ids(loaded)[:MOST_SAMPLES]
    scenes = [make_scene(loaded, image, UploadStore()) for image in images]
    inputs = torch.cat([scene.x.float() for scene in scenes]).contiguous().numpy().tobytes()
    config = configuration(loaded, scenes, network)
    player = joined(PLAYER)
    title = html.escape(str(loaded.card.get("title") or loaded.entry.title))
    weights = html.escape(str(loaded.card.get("licence") or "as stated by whoever gave you this file"))
    licence = (HERE / "licence.txt").read_text(encoding="utf-8")
    filled = {
        "TITLE": title,
        "STYLE": (HERE / "page.css").read_text(encoding="utf-8"),
        "LICENCES": f"Model: {weights} Page: MIT License. {html.escape(licence)}",
        "CONFIG": json.dumps(config, allow_nan=False).replace("<", "\\u003c"),
        "SCRIPT": compressed(script),
        "BINARY": compressed(binary),
        "NETWORK": compressed(network.data),
        "INPUTS": compressed(inputs),
        "PLAYER": player,
    }
    template = (HERE / "page.html").read_text(encoding="utf-8")
    return re.sub("@([A-Z]+)@", lambda match: filled[match[1]], template)


def configuration(loaded: LoadedModel, scenes: list[Scene], network: Exported) -> dict[str, Any]:
    """What the page's script is told."""
    about = loaded.benchmark.summary or str(loaded.card.get("data") or "")
    synthetic = "Trained on synthetic data. " if loaded.benchmark.synthetic else ""
    difference = network.report["max_abs_difference_to_pytorch"]
    return {
        "about": f"{synthetic}{about} Everything runs in this browser; nothing is sent anywhere.",
        "difference": f"Largest difference of the embedded network's outputs to PyTorch: {difference:.1e}.",
        "controllable": loaded.model.controllable,
        "shape": list(scenes[0].x.shape[1:]),
        "tasks": [describe(loaded, task, scenes[0].style(task)) for task in loaded.tasks],
        "samples": [_sample(scene, number) for number, scene in enumerate(scenes, start=1)],
    }


def describe(loaded: LoadedModel, task: Task, style: Style) -> dict[str, Any]:
    """One task: how its output is drawn."""
    legend = drawing.legend(task, style, task_names(loaded, task))
    kept = {key: legend[key] for key in ("classes", "colours", "ramp", "range", "ends") if key in legend}
    title = task.name.replace("_", " ").capitalize()
    scale = float(getattr(task, "scale", 1.0))
    return {
        "name": task.name,
        "title": title,
        "kind": task.kind,
        "unit": legend.get("unit", ""),
        "scale": scale,
        **kept,
    }


def _sample(scene: Scene, number: int) -> dict[str, Any]:
    truth: dict[str, Any] = {}
    for task in scene.loaded.tasks:
        target = scene.targets.get(task.name)
        if target is not None and task.kind in PICTURED:
            truth[task.name] = data_url(drawing.draw_truth(task, target, scene.style(task)))
        elif target is not None:
            truth[task.name] = drawing.true_values(task, target)
    picture = None if scene.picture is None else data_url(drawing.draw_input(scene.picture))
    return {"label": f"sample {number}", "picture": picture, "truth": truth}


def data_url(picture: Picture) -> str:
    """A picture as the address of itself."""
    data, mime = picture.encode()
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def compressed(data: bytes) -> str:
    """gzip, then base64."""
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()


def joined(script: Path) -> str:
    """A module and all that it imports as one text for one scope: each once, after what it needs itself."""
    texts: dict[Path, str] = {}

    def add(path: Path) -> None:
        if path in texts:
            return
        text = path.read_text(encoding="utf-8")
        for name in IMPORT.findall(text):
            add((path.parent / name).resolve())
        texts[path] = re.sub(r"^export ", "", IMPORT.sub("", text), flags=re.MULTILINE)

    add(script.resolve())
    return "\n".join(texts.values())
