"""Puts a network, onnxruntime-web and a few samples into one HTML file."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from app.exports import exporting
from app.exports.exporting import Exported
from app.exports.standalone import runtime
from app.kinds import View
from app.library.loading import LoadedModel
from app.pictures import drawing
from app.pictures.drawing import Picture
from app.pictures.scenes import Scene, make_scene, sample_ids
from app.pictures.uploads import UploadStore
from app.views import script as view_script
from palora_core.benchmarks.base import origin
from palora_core.errors import UserError
from palora_core.export import input_tensors
from palora_core.tasks import Task

HERE = Path(__file__).resolve().parent
PLAYER = HERE / "player.js"
KINDS = HERE.parents[1] / "kinds"
IMPORT = re.compile(r"^import [^;]*? from '([^']+)';\n", re.MULTILINE)
MOST_SAMPLES = 6
MOST_BYTES = 150_000_000  # of weights; in a page they take 4/3 of that


def standalone(loaded: LoadedModel) -> Exported:
    """The page of a model; its report is that of the ONNX file inside.

    Raises:
        UserError: onnxruntime-web or the ONNX export cannot be had; one sentence says why.
    """
    check_size(loaded)
    script, binary = runtime.parts()
    preference = None if loaded.model.controllable else [1 / loaded.num_tasks] * loaded.num_tasks
    network = exporting.export(loaded, "onnx", preference)
    page = compose(loaded, network, script, binary).encode()
    name = f"{network.name.partition('-controllable')[0].partition('-at-')[0]}.html"
    report = {**network.report, "file": name, "format": "html", "bytes": len(page), "runtime": runtime.PACKAGE}
    return Exported(name, page, report)


def check_size(loaded: LoadedModel) -> None:
    """Refuse, before long work, a network that no browser would open as a page.

    Raises:
        UserError: too large.
    """
    size = sum(parameter.nbytes for parameter in loaded.model.parameters())
    if size > MOST_BYTES:
        raise UserError(
            f"This network's weights have {size / 1e6:.0f} MB, and a page of one file holds up to "
            f"{MOST_BYTES / 1e6:.0f} MB; download the weights, or share the Explore page's link."
        )


def compose(loaded: LoadedModel, network: Exported, script: bytes, binary: bytes) -> str:
    """Fill the template."""
    images = sample_ids(loaded)[:MOST_SAMPLES]
    scenes = [make_scene(loaded, image, UploadStore()) for image in images]
    given = [input_tensors(scene.x, loaded.caller) for scene in scenes]
    inputs = b"".join(tensor.contiguous().numpy().tobytes() for one in given for tensor in one.values())
    config = {**configuration(loaded, scenes, network), "inputs": _forms(given[0])}
    player = joined(PLAYER, loaded.views.values())
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
    data = origin(loaded.benchmark)
    trained = f"Trained on {data}. " if data else ""
    difference = network.report["max_abs_difference_to_pytorch"]
    return {
        "about": f"{trained}{about} Everything runs in this browser; nothing is sent anywhere.",
        "difference": f"Largest difference of the embedded network's outputs to PyTorch: {difference:.1e}.",
        "controllable": loaded.model.controllable,
        "tasks": [describe(name, view) for name, view in loaded.views.items()],
        "samples": [_sample(scene, number) for number, scene in enumerate(scenes, start=1)],
    }


def _forms(given: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """Name, format and shape of every tensor that the network takes, in the order in which an item's bytes lie."""
    return [
        {"name": name, "type": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape)}
        for name, tensor in given.items()
    ]


def describe(name: str, view: View) -> dict[str, Any]:
    """One task: how its output is shown."""
    title = name.replace("_", " ").capitalize()
    told = {"view": view.kind, "pictured": view.pictured, "predicts": isinstance(view.task, Task), "unit": ""}
    return {"name": name, "title": title, **told, **view.page()}


def _sample(scene: Scene, number: int) -> dict[str, Any]:
    truth: dict[str, Any] = {}
    for name, view in scene.loaded.views.items():
        target = scene.targets.get(name)
        if target is not None and view.pictured:
            truth[name] = data_url(view.draw_target(target))
        elif target is not None:
            truth[name] = view.target_values(target)
    picture = scene.picture
    told: dict[str, Any]
    if picture is None:
        told = {"picture": None, "input": scene.loaded.input_view.told(scene.shown)}
    else:
        height, width = picture.shape[:2]
        told = {"picture": data_url(drawing.draw_input(picture)), "aspect": width / height}
    return {"label": f"sample {number}", "truth": truth, **told}


def data_url(picture: Picture) -> str:
    """A picture as the address of itself."""
    data, mime = picture.encode()
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def compressed(data: bytes) -> str:
    """gzip, then base64."""
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()


def joined(script: Path, views: Iterable[View] = ()) -> str:
    """A module and all that it imports as one text for one scope: each once, after what it needs itself.

    Scripts of ``views`` stand before it, each in a scope of its own: they import from the room of kinds, and export
    nothing.
    """
    texts: dict[Path, str] = {}

    def add(path: Path, folder: Path, own: bool = False) -> None:
        if path in texts:
            return
        text = path.read_text(encoding="utf-8")
        for name in IMPORT.findall(text):
            found = (folder / name).resolve()
            add(found, found.parent)
        text = re.sub(r"^export ", "", IMPORT.sub("", text), flags=re.MULTILINE)
        texts[path] = f"{{\n{text}\n}}" if own else text

    add(KINDS / "base.js", KINDS)
    for path in dict.fromkeys(filter(None, (view_script(type(view)) for view in views))):
        add(path, KINDS, own=True)
    add(script.resolve(), script.resolve().parent)
    return "\n".join(texts.values())
