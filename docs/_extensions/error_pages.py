"""Troubleshooting: every sentence that the software says when it refuses, so that a search finds it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from writing import write_pages

ROOT = Path(__file__).resolve().parents[2]
BLANK = "…"
FOLDER = "troubleshooting"


def setup(app) -> dict[str, bool]:
    """Sphinx calls it once."""
    app.connect("builder-inited", lambda app: write_pages(Path(app.srcdir) / FOLDER / "generated", pages()))
    return {"parallel_read_safe": True}


def pages() -> dict[str, str]:
    """One page per room, the sentences in the order of the code."""
    found: dict[str, list[str]] = {}
    for package in ("palora_core", "app"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            for sentence in sentences(path):
                found.setdefault(".".join(parts[:2]), []).append(f"* {sentence}")
    return {f"{room}.md": f"# Sentences of {room}\n\n" + "\n".join(lines) + "\n" for room, lines in found.items()}


def sentences(path: Path) -> Iterator[str]:
    """The literal text of each ``UserError(…)`` in a file; what is filled in is a blank."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "UserError" and node.args:
            told = re.sub(r"\s+", " ", text(node.args[0])).strip()
            if len(re.sub(f"[{BLANK}\\W]", "", told)) > 12:  # a sentence put together elsewhere says nothing here
                yield escaped(told)


def text(node: ast.expr) -> str:
    """What an expression of strings says."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(text(part) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return text(node.left) + text(node.right)
    return BLANK


def escaped(sentence: str) -> str:
    """As Markdown that shows it as it is."""
    return re.sub(r"([\\`*_\[\]<>#$|{}~])", r"\\\1", sentence)
