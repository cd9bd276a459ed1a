"""What a model card may say: checked once, when it is read, so that nobody who uses a card has to check again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from palora_core.errors import UserError, quoted
from palora_core.storage.examples import check_example
from palora_core.storage.reading import SMALL, is_folder, read_json
from palora_core.storage.schema import (
    LARGEST,
    MOST_TASKS,
    MOST_TEXT,
    mapping,
    name_in,
    number,
    options,
    task_names,
    text,
    whole,
)

CARD_FORMAT = 1
CARD = "card.json"
OWN = "own"  # stands for the name of a network or of data that are not registered
REQUIRED = ("format", "benchmark", "method", "network", "tasks", "weights_sha256")
HASH = re.compile("[0-9a-f]{64}")
WHOLE_OF_TRAINING = ("epochs", "steps", "seed", "train_items")


def read_card(folder: Path, name: str = CARD) -> dict[str, Any]:
    """The card of a model folder.

    Raises:
        UserError: missing, damaged, or not a card that :func:`check_card` accepts.
    """
    if not is_folder(Path(folder)):
        raise UserError(f"There is no model folder {folder}.")
    path = Path(folder) / name
    data = read_json(path, "model card", SMALL)
    missing = [key for key in REQUIRED if not isinstance(data, dict) or key not in data]
    if missing:
        raise UserError(f"{path} is not a PaLoRA model card: {missing[0]!r} is missing.")
    if data["format"] != CARD_FORMAT:
        raise UserError(
            f"{path} has card format {quoted(data['format'])}, this program reads {CARD_FORMAT}; update it."
        )
    try:
        return check_card(data)
    except UserError as error:
        raise UserError(f"The model card {path} is damaged: {error} Restore it.") from None


def own_card(model: Any, told: Mapping[str, Any]) -> dict[str, Any]:
    """``told`` with what every card has, where it says nothing: for a model of somebody's own.

    Args:
        model: the λ-conditioned network.
        told: parts of a card; ``tasks`` may be a list of names.
    """
    network = type(model.network)
    size = sum(parameter.numel() for parameter in model.parameters())
    extra = getattr(model, "num_adapter_parameters", 0)
    card: dict[str, Any] = {
        "name": network.__name__,
        "title": f"{network.__name__}, {model.num_tasks} objectives",
        "benchmark": {"name": OWN, "options": {}},
        "method": {"name": OWN, "conditioning": {"name": model.kind}},
        "network": {"name": OWN, "options": {}, "class": f"{network.__module__}.{network.__qualname__}"},
        "tasks": [f"objective {t + 1}" for t in range(model.num_tasks)],
        "parameters": {"base": size - extra, "extra": extra, "overhead_percent": 100 * extra / max(size - extra, 1)},
        **told,
    }
    card["tasks"] = [{"name": one, "kind": ""} if isinstance(one, str) else dict(one) for one in card["tasks"]]
    if len(card["tasks"]) != model.num_tasks:
        raise UserError(f"The card names {len(card['tasks'])} tasks and the model has {model.num_tasks}; name each.")
    return card


def check_card(data: Mapping[str, Any]) -> dict[str, Any]:
    """The card in parsed JSON: every part that the program reads is there or empty, and of its kind.

    ``benchmark``, ``network``: name and options; ``method``: name, parts and options; ``tasks``: name and kind of
    each; ``training``, ``parameters``, ``machine``, ``citation``: objects of numbers and texts, perhaps empty;
    ``name``, ``title``, ``data``, ``licence``, ``limits``: texts, perhaps empty; ``example``: the form of the inputs
    (:mod:`palora_core.storage.examples`), perhaps missing. Anything else stays as it is.

    Raises:
        UserError: naming the part, what was found and what was expected.
    """
    card = dict(options(data, "the card", 20_000))
    card |= {key: text(card.get(key), f"its {key}") for key in ("name", "title")}
    card |= {key: text(card.get(key), f"its {key}", MOST_TEXT) for key in ("data", "licence", "limits")}
    for key in ("benchmark", "network"):
        part = options(card[key], f"its {key}")
        own = {"name": name_in(part.get("name"), f"the name of its {key}")}
        card[key] = {**part, **own, "options": options(part.get("options"), f"the options of its {key}")}
    card["method"] = _method(card["method"])
    card["tasks"] = _tasks(card["tasks"])
    card["training"] = _training(mapping(card.get("training"), "its training"))
    counts = mapping(card.get("parameters"), "its parameters")
    sizes = {key: whole(counts.get(key), f"its number of {key} parameters") for key in ("base", "extra")}
    overhead = number(counts.get("overhead_percent"), "its overhead", -100, LARGEST)
    card["parameters"] = {k: v for k, v in {**counts, **sizes, "overhead_percent": overhead}.items() if v is not None}
    machine = mapping(card.get("machine"), "its machine")
    named = {key: text(machine[key], f"the {key} of its machine") for key in ("processor", "gpu") if key in machine}
    cores = {"cores": whole(machine["cores"], "its number of cores")} if "cores" in machine else {}
    card["machine"] = {**machine, **named, **cores}
    card["citation"] = _citation(card.get("citation"))
    card |= {"example": check_example(card["example"])} if card.get("example") is not None else {}
    if not isinstance(card["weights_sha256"], str) or not HASH.fullmatch(card["weights_sha256"]):
        raise UserError("the hash of its weights is not one of 64 digits.")
    return card


def _method(value: Any) -> dict[str, Any]:
    method = options(value, "its method")
    method["name"] = name_in(method.get("name"), "the name of its method")
    for part in ("conditioning", "balancer", "sampler"):
        if part in method:
            method[part] = mapping(method[part], f"the {part} of its method")
            method[part]["name"] = name_in(method[part].get("name"), f"the name of the {part}")
    return method


def _tasks(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not 0 < len(value) <= MOST_TASKS:
        count = f"{len(value):,}" if isinstance(value, list) else quoted(value)
        raise UserError(f"its tasks are {count}; expected a list of 1 to {MOST_TASKS}.")
    tasks = [mapping(item, "a task") for item in value]
    names = task_names([task.get("name") for task in tasks], "its tasks")
    checked = []
    for task, name in zip(tasks, names):
        told: dict[str, Any] = {"kind": text(task.get("kind"), f"the kind of {name}")}
        told |= {"unit": text(task["unit"], f"the unit of {name}")} if "unit" in task else {}
        if "classes" in task:
            classes = task["classes"] if isinstance(task["classes"], list) else [task["classes"]]
            told |= {"classes": [text(item, f"a class of {name}") for item in classes if item is not None]}
        checked.append({**task, "name": name, **told})
    return checked


def _training(training: dict[str, Any]) -> dict[str, Any]:
    counts = {key: whole(training[key], f"its {key}") for key in WHOLE_OF_TRAINING if key in training}
    seconds = number(training.get("seconds"), "its training time", 0, LARGEST)
    finished = training.get("finished")
    if finished not in (None, True, False):
        raise UserError(f"finished is {quoted(finished)}; expected true or false.")
    known = {"seconds": seconds, "start_from": text(training.get("start_from"), "start_from", MOST_TEXT) or None}
    return {**training, **counts, **{key: value for key, value in known.items() if value is not None}}


def _citation(value: Any) -> dict[str, str]:
    if isinstance(value, str):
        return {"": text(value, "its citation", MOST_TEXT)}
    return {key: text(item, "its citation", MOST_TEXT) for key, item in mapping(value, "its citation").items()}
