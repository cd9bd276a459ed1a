"""Files of anybody: bounded before memory is spent, and whatever lies there, content or one sentence."""

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from palora_core.errors import UserError
from palora_core.storage import schema
from palora_core.storage.npz import read_npz
from palora_core.storage.reading import ANY, Bounds, is_file, is_folder, read_bytes, read_json
from palora_core.storage.samples import load_samples

ROOT = Path(__file__).resolve().parents[1]


def written(path, content: bytes):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"[NaN, Infinity, -Infinity, 1e999, -1e999]", [None] * 5),
        (b"1" * 20, int("1" * 20)),
        (b"1" * 300, float("1" * 300)),
        (b"[" + b"9" * 5000 + b"]", [None]),
        (rb'{"a\ud800": "x\udfff", "b": "\ud83d\ude00"}', {"a\ufffd": "x\ufffd", "b": "\U0001f600"}),
        (b"[" * 32 + b"]" * 32, json.loads("[" * 32 + "]" * 32)),
    ],
)
def test_what_json_holds_can_be_used_everywhere(tmp_path, content, value):
    assert read_json(written(tmp_path / "x", content), "file") == value


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 33 + b"]" * 33, b"[" * 100_000, b'{"a":' * 400 + b"1"])
def test_damaged_json_is_one_sentence(tmp_path, content):
    with pytest.raises(UserError, match="damaged"):
        read_json(written(tmp_path / "x", content), "file")


def test_bounds_are_counted_in_bytes(tmp_path):
    bounds = Bounds(100, 10, 5)
    with pytest.raises(UserError, match="larger than"):
        read_json(written(tmp_path / "a", b" " * 101), "file", bounds)
    for content in (b"[1" + b",1" * 11 + b"]", b"[" + b"[],{}," * 3 + b"1]"):
        with pytest.raises(UserError, match="more values"):
            read_json(written(tmp_path / "a", content), "file", bounds)


def test_what_is_no_file_is_one_sentence(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    os.mkfifo(tmp_path / "pipe")  # nobody writes into it: a plain open would wait for ever
    for name in ("folder", "circle", "nowhere", "pipe", "missing", "n" * 300, "a\0b"):
        with pytest.raises(UserError):
            read_bytes(tmp_path / name, "file", 10)
        assert not is_file(tmp_path / name)
        assert is_folder(tmp_path / name) == (name == "folder")


@pytest.mark.parametrize(
    ("check", "bad"),
    [
        (lambda v: schema.text(v, "x"), [1, [], {}, True, "a" * 201]),
        (lambda v: schema.number(v, "x"), ["1", True, [], float("nan"), float("inf"), 10**400, 1e101]),
        (lambda v: schema.whole(v, "x"), ["1", True, 1.5, -1, 2**63]),
        (lambda v: schema.mapping(v, "x"), [[], "a", 1, True]),
        (lambda v: schema.options(v, "x", 10), [{"a": [1] * 20}, {"a": "b" * 9999}, {"a" * 999: 1}]),
        (
            lambda v: schema.task_names(v, "x"),
            [[], "ab", ["a", "a"], [""], [1], ["a" * 999], [str(i) for i in range(999)]],
        ),
        (lambda v: schema.table(v, "x", 2, 3), [[], [[1]], [[1, 2, 3]], [["1", 2]], [1, 2], "ab", [[1, 2]] * 4]),
    ],
)
def test_values_of_another_kind_are_named(check, bad):
    for value in bad:
        with pytest.raises(UserError):
            check(value)


def test_texts_lose_what_would_break_a_line_or_turn_it_around():
    assert schema.text("a\nb\u202ec\x00", "x") == "a b c "


# -- arrays -----------------------------------------------------------------------------------------------------------
def npz(path, **members: bytes):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return path


def npy(array, header: bytes | None = None, pickled=False) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=pickled)
    return buffer.getvalue() if header is None else b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


HUGE = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}\n"
NESTED = b"(" * 5000 + b"\n"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (npy(np.zeros(3), HUGE), "not as large"),
        (npy(np.zeros(3), NESTED), "no header"),
        (npy(np.zeros(3))[:-8], "not as large"),
        (npy(np.zeros(3)) + b"more", "not as large"),
        (npy(np.array([{}], dtype=object), pickled=True), "not numbers"),
        (npy(np.array(["text"])), "not numbers"),
        (npy(np.zeros(2, np.complex64)), "not numbers"),
        (b"no array", "damaged"),
        (b"", "damaged"),
    ],
)
def test_damaged_arrays_are_one_sentence(tmp_path, data, told):
    with pytest.raises(UserError, match=told):
        read_npz(npz(tmp_path / "x.npz", a=data), "samples")


def test_arrays_come_as_they_were_saved(tmp_path):
    arrays = {"a": np.arange(6, dtype=">i4").reshape(2, 3), "b": np.asfortranarray(np.eye(3)), "c": np.float32(2)}
    np.savez_compressed(tmp_path / "x.npz", **arrays)
    found = read_npz(tmp_path / "x.npz", "samples")
    assert all(np.array_equal(found[name], arrays[name]) and found[name].dtype.isnative for name in arrays)


def test_a_flipped_bit_anywhere_is_noticed_or_harmless(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", inputs=np.arange(500.0).reshape(50, 10))
    data = (tmp_path / "x.npz").read_bytes()
    for place in range(0, len(data), 7):
        spoilt = bytearray(data)
        spoilt[place] ^= 1 << place % 8
        try:
            found = load_samples(written(tmp_path / "y.npz", bytes(spoilt)), None)
        except UserError:
            continue
        assert np.array_equal(found.inputs, np.arange(500.0).reshape(50, 10))


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"a": np.zeros(3)}, "no inputs"),
        ({"inputs": np.float32(1)}, "shape"),
        ({"inputs": np.zeros((0, 3))}, "shape"),
        ({"inputs": np.zeros((3, 1)), "target:a": np.zeros(2)}, "shape"),
        ({"inputs": np.zeros((3, 1)), "target:a": np.float32(1)}, "shape"),
        ({"inputs": np.full((3, 1), np.nan)}, "NaN"),
    ],
)
def test_samples_that_do_not_fit_each_other_are_refused(tmp_path, arrays, told):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(UserError, match=told):
        load_samples(tmp_path / "x.npz", None)


# -- memory -----------------------------------------------------------------------------------------------------------
def peak(code: str, *arguments: object) -> float:
    """MB that Python allocates at most while ``code`` runs in a process of its own."""
    start = "import sys, tracemalloc\nimport numpy as np\nfrom palora_core.errors import UserError\n"
    end = "\nprint(tracemalloc.get_traced_memory()[1] / 2**20)"
    done = subprocess.run(
        [sys.executable, "-c", start + code + end, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return float(done.stdout)


def test_memory_stays_small_whatever_lies_there(tmp_path):
    (tmp_path / "events.jsonl").write_bytes(b'{"kind":"a"}\n' * 300_000 + b'{"kind": "end"}\n' * 10_000)
    (tmp_path / "lists.json").write_bytes(b"[" + b"[]," * 3_500_000 + b"1]")
    (tmp_path / "values.json").write_bytes(b"[" + b"1.," * 3_500_000 + b"1]")
    (tmp_path / "large.json").write_bytes(b" " * (ANY.size + 1))
    np.savez_compressed(tmp_path / "bomb.npz", inputs=np.zeros(2**26))
    code = (
        "from pathlib import Path; from palora_core.storage.events import EventLog\n"
        "from palora_core.storage.npz import read_npz\n"
        "from palora_core.storage.reading import read_json\n"
        "from palora_core.evaluation.front import Front\n"
        "folder = Path(sys.argv[1]); tracemalloc.start()\n"
        "log = EventLog(folder).update(); assert len(log.events) < 2000\n"
        "for name in ('lists', 'values', 'large'):\n"
        "    try: Front.load(folder / f'{name}.json'); raise SystemExit(name)\n"
        "    except UserError: pass\n"
        "try: read_npz(folder / 'bomb.npz', 'samples'); raise SystemExit('bomb')\n"
        "except UserError: pass\n"
    )
    assert peak(code, tmp_path) < 200


def test_a_front_of_twenty_thousand_points_is_sorted_in_little_memory():
    code = (
        "from palora_core.evaluation.indicators import hypervolume, nondominated\n"
        "points = np.abs(np.random.default_rng(0).normal(size=(20_000, 3)))\n"
        "points[:10_000] /= np.linalg.norm(points[:10_000], axis=1, keepdims=True)\n"
        "tracemalloc.start()\n"
        "nondominated(points); hypervolume(points, [3.0, 3.0, 3.0]); hypervolume(points[:, :2], [3.0, 3.0])\n"
    )
    assert peak(code) < 100
