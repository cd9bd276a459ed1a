"""The words of a bundle: what is in it, how it is used, how near it is to what was shown, and its terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TEXT = """\
# {model}

The network of the trade-off λ = ({at}) for {objectives}, for use without PyTorch and without the program it comes from.

    pip install -r requirements.txt
    python infer.py              # predicts for {sample}
    python infer.py YOUR_FILE{steered}

Run in this folder. Tried when it was made: the script's predictions for {sample} differ by at most {difference:.2g}
from those of the page at this λ (the largest number among them is {largest:.4g}).{controllable}{rounded}

| file | what |
|---|---|
| `network.onnx` | the network of this λ; any number of items at once: {inputs} |
{controllable_row}| `weights.safetensors` | the same network's weights under their own names, for PyTorch |
| `infer.py` | from a file to predictions, with numpy, pillow and onnxruntime |
| `bundle.json` | preprocessing, classes, units: what the script reads |
| `card.json`, `LICENCE.txt` | where the network comes from, and its terms |

**Preprocessing.** {preprocessing}{undescribed}

| output | what its numbers are | unit | classes |
|---|---|---|---|
{tasks}
{limits}
"""
STEERED = " {weights}   # another trade-off: a weight per objective"
CONTROLLABLE = " Steered by `controllable.onnx`, they differ by at most {:.2g}."
ROUNDED = (
    " The file holds the model's first sample as exactly as such files can: that alone moves them by up to {:.2g}."
)
CONTROLLABLE_ROW = (
    "| `controllable.onnx` | the network of every λ: a further input `preference`, one weight per objective |\n"
)
NOTHING = 1e-4  # what float32 leaves of a difference
UNDESCRIBED = " How these are made of what people have is not described here; that takes the program it comes from."


def readme(told: Mapping[str, Any], card: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    """``README.md`` of a bundle.

    Args:
        told: its ``bundle.json``.
        card: of the model.
        report: what its trial found.
    """
    steered = report.get("max_abs_difference_controllable")
    weights = " ".join(f"{value:g}" for value in told["preference"])
    inputs = ", ".join(f"`{name}` {tuple(one['shape'])} {one['dtype']}" for name, one in told["inputs"].items())
    return TEXT.format(
        model=told["model"] or "A network",
        at=", ".join(f"{value:g}" for value in told["preference"]),
        objectives=", ".join(told["objectives"]),
        sample=told["sample"],
        steered="" if steered is None else STEERED.format(weights=weights),
        difference=report["max_abs_difference_to_pytorch"],
        largest=report["largest_number"],
        controllable="" if steered is None else CONTROLLABLE.format(steered),
        rounded=ROUNDED.format(report["changed_by_file"]) if report["changed_by_file"] > NOTHING else "",
        controllable_row="" if steered is None else CONTROLLABLE_ROW,
        inputs=inputs.replace("'", ""),
        preprocessing=told["about_preprocessing"],
        undescribed="" if told["preprocessing"] else UNDESCRIBED,
        tasks="\n".join(_row(task) for task in told["tasks"]),
        limits=f"\n{card['limits']}\n" if card.get("limits") else "",
    )


def licence(card: Mapping[str, Any]) -> str:
    """``LICENCE.txt``: the card's terms, and what is to be cited."""
    terms = card.get("licence") or "The model's card states no licence: ask whoever gave it to you."
    cited = card.get("citation")
    sources = list(cited.values()) if isinstance(cited, Mapping) else [cited]
    return "\n".join([str(terms), *("Please cite: " + str(one) for one in sources if one)]) + "\n"


def _row(task: Mapping[str, Any]) -> str:
    names = task["classes"] or task["labels"]
    shown = ", ".join(names[:20]) + (f", … ({len(names)}, see bundle.json)" if len(names) > 20 else "")
    unit = task["unit"] + (f" (× {task['scale']:g})" if task["scale"] != 1 else "")
    return f"| `{task['name']}` | {task['reading']} | {unit} | {shown.replace('|', '/')} |"
