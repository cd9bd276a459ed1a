"""Messages for the live socket as a broken or hostile client might send them, the same for every run of a seed."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest

from app.serving.protocol import parse, sequence_number, unpack

SENTENCE = 300  # characters; none of these messages may be echoed at length

NUMBERS = (
    *(
        "0",
        "1",
        "-1",
        "0.5",
        "1e999",
        "-1e999",
        "1e-999",
        "NaN",
        "Infinity",
        "-Infinity",
        "-0",
        "1E5",
        "00",
        "0x1",
        "1.",
    ),
    *("9" * 400, "-" + "9" * 400, "9" * 5000, "0." + "3" * 400, "9007199254740992", "1e308", "5e-324", "true", "null"),
)
TEXTS = (
    *('""', '"two"', '"sample-0"', '"sample-00"', '"sample-٣"', '"sample--1"', '"upload-x"', '"../../etc/passwd"'),
    *('"\\ud800"', '"\\u0000"', '"<img src=x>"', '"' + "e" * 200 + '"', '"' + "e" * 201 + '"', '"predict"', '"depth"'),
)
NESTED = ("[]", "{}", "[[]]", "[0.5, 0.5]", "[[0.5], 0.5]", '{"a": {"b": []}}', "[" * 200 + "]" * 200, "[" * 9000)
LONG = ("[" + ",".join(["0.5"] * 257) + "]", '["' + '","'.join(["sample-0"] * 65) + '"]', "[" + "1," * 300 + "1]")
FIELDS = ("type", "seq", "model", "image", "images", "preference", "exact", "errors", "surprise")


def usual(rng: np.random.Generator, seq: int) -> dict[str, str]:
    """The fields of a request that can be met, each as JSON."""
    share = round(float(rng.uniform()), 3)
    kind = rng.choice(["predict", "predict", "predict", "scene", "gallery"])
    errors = [str(name) for name in rng.choice(["depth", "segmentation", "made up"], int(rng.integers(0, 3)))]
    fields = {"type": str(kind), "seq": seq, "model": "two", "image": f"sample-{rng.integers(4)}"}
    fields |= {"images": ["sample-0", "sample-3"], "preference": [share, 1 - share], "errors": errors}
    return {name: json.dumps(value) for name, value in {**fields, "exact": bool(rng.integers(2))}.items()}


def malformed(seed: int, count: int) -> Iterator[tuple[int, str]]:
    """(number, text) of messages, about a third of them sound."""
    rng = np.random.default_rng(seed)
    pool = [*NUMBERS, *TEXTS, *NESTED, *LONG]
    for seq in range(count):
        fields = usual(rng, seq)
        for _ in range(int(rng.integers(0, 3))):
            name = str(rng.choice(FIELDS))
            how = rng.integers(5)
            if how == 0:
                fields.pop(name, None)
            elif how == 1:  # among sound numbers one that is none
                fields["preference"] = f"[0.5, {rng.choice(NUMBERS)}]"
            else:
                fields[name] = pool[int(rng.integers(len(pool)))]
        text = "{" + ", ".join(f'"{name}": {value}' for name, value in fields.items()) + "}"
        if rng.uniform() < 0.15:
            text = _damaged(rng, text)
        yield seq, text


def _damaged(rng: np.random.Generator, text: str) -> str:
    """Cut off, doubled, or with characters replaced."""
    how = rng.integers(3)
    if how == 0:
        return text[: int(rng.integers(len(text)))]
    if how == 1:
        return text + text
    letters = list(text)
    for _ in range(int(rng.integers(1, 4))):
        letters[int(rng.integers(len(letters)))] = str(rng.choice(list('{}[]":,\\\0é€😀 1-e')))
    return "".join(letters)


def check(answer: str | bytes, seq: int, text: str) -> str:
    """One answer belongs to the message ``text``; returns its type."""
    header = json.loads(answer) if isinstance(answer, str) else unpack(answer)[0]
    assert header["seq"] in (sequence_number(text), *([0] if '"seq"' not in text else [])), (header, text[:300])
    if header["type"] == "error":
        assert len(header["error"]) <= SENTENCE and "\n" not in header["error"], header
        assert "log says why" not in header["error"], text[:300]
        return "error"
    request = parse(text)
    wanted = {"predict": "prediction", "scene": "scene", "gallery": "gallery"}[request.type]
    assert header["type"] == wanted and not isinstance(answer, str)
    if request.type == "predict":
        step = 1e-4 if request.exact else 0.021 if abs(sum(request.preference) - 1) < 1e-3 else 0.011
        assert header["preference"] == pytest.approx(request.preference, abs=step)
    return wanted
