"""Bundles: what is read without us is read as we read it, and the script runs where nothing of ours is."""

import io
import json
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import palora_core as pc
from palora_core import checkpoint
from palora_core.errors import UserError
from palora_core.handover import export_bundle
from palora_core.handover.readme import licence
from palora_core.handover.script import script
from palora_core.handover.trial import TRIAL, difference, tried
from palora_core.inputs import RGB, Audio, Grey, Input, Record, Table, Text, as_input
from palora_core.inputs.audio import Sound
from palora_core.inputs.record import Field, Scale
from palora_core.storage.samples import load_samples
from palora_core.tasks import Classification, Depth, MultiLabel, Regression

ROOT = Path(__file__).resolve().parents[1]
AGE = Field("age", low=17, high=90, scales=(Scale(38.0, 13.0), Scale(3.6, 0.4, logarithm=True)))
SEX = Field("sex", ("Female", "Male"), high=1, scales=(Scale(0.5, 0.5),))


def picture(rows: int, columns: int, bright: bool = False, colour: bool = True) -> bytes:
    random = np.random.default_rng(rows)
    pixels = random.integers(128 if bright else 0, 256, (rows, columns, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    (image if colour else image.convert("L")).save(buffer, "PNG")
    return buffer.getvalue()


CASES = {
    "rgb": (RGB((24, 40), (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)), [picture(57, 91), picture(90, 31), picture(24, 40)]),
    "rgb, larger than pages keep": (RGB((24, 40)), [picture(1100, 1300)]),
    "grey file": (RGB((24, 40)), [picture(33, 70, colour=False)]),
    "grey": (Grey((20, 30)), [picture(57, 91), picture(90, 31)]),
    "grey, dark": (Grey((20, 30), dark=True), [picture(57, 91), picture(57, 91, bright=True)]),
    "grey, squeezed": (Grey((28, 28), squeezed=True, dark=True), [picture(40, 90), picture(40, 90, bright=True)]),
    "table": (Table(("a", "b"), (1.0, 2.0), (0.5, 4.0)), [b"b,a,c\n1.5,-2,9\n", "\ufeffa,b\n0.1,3\n".encode()]),
    "table, as it is": (Table(("a",)), [b"a\n3.25\n"]),
    "record": (Record((AGE, SEX)), [b"sex,age\nMale,17\n", b"age,sex\n90, Female\n"]),
    "audio": (Audio(8000, 50), [Sound(np.sin(np.arange(n)).astype("f4"), 8000).as_wav() for n in (20, 50)]),
    "bytes": (Text(9), ["Grüße an alle".encode(), b"a"]),
    "words": (Text(6, ("a", "film", "!"), ids="input_ids", mask="attention_mask"), [b"A bad film!", b"film " * 9]),
}


@pytest.mark.parametrize("case", CASES)
def test_files_are_read_without_us_as_we_read_them(tmp_path, case):
    kind, files = CASES[case]
    told = kind.preprocessing()
    form = json.loads(json.dumps(told.data))
    for number, data in enumerate(files):
        path = tmp_path / f"{number}.{told.suffix}"
        path.write_bytes(data)
        scope = {"np": np, "path": str(path), "form": form}
        exec("\n".join((f"import json, {', '.join(told.imports)}", *told.lines)), scope)
        wanted = kind.to_input(kind.read(data))
        wanted = wanted if isinstance(wanted, dict) else {"input": wanted}
        assert scope["inputs"].keys() == wanted.keys()
        for name, tensor in wanted.items():
            found = scope["inputs"][name]
            assert found.dtype == tensor.numpy().dtype and found.shape == tuple(tensor.shape)
            np.testing.assert_allclose(found, tensor.numpy(), atol=2e-5, rtol=1e-5)
        assert told.suffix in kind.suffixes and told.about


def test_a_longer_sound_is_refused_where_nobody_looks_for_what_is_heard(tmp_path):
    kind, path = Audio(8000, 50), tmp_path / "long.wav"
    path.write_bytes(Sound(np.sin(np.arange(80)).astype("f4"), 8000).as_wav())
    told = kind.preprocessing()
    scope = {"np": np, "path": str(path), "form": told.data}
    with pytest.raises(AssertionError, match="expected"):
        exec("\n".join((f"import json, {', '.join(told.imports)}", *told.lines)), scope)


@pytest.mark.parametrize("case", CASES)
def test_what_is_shown_becomes_a_file_that_is_read_as_shown(case):
    kind, files = CASES[case]
    shown = kind.read(files[0])
    again = kind.read(kind.to_file(shown))
    if isinstance(shown, Sound):
        assert again.rate == shown.rate and np.abs(again.values - shown.values).max() < 1e-4
    else:
        np.testing.assert_equal(again, shown)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("controllable", [True, False])
def test_a_script_is_short_and_is_python(case, controllable):
    text = script(CASES[case][0].preprocessing(), controllable)
    compile(text, "infer.py", "exec")
    code = text.splitlines()[1:]  # below the line on its use
    assert len(code) <= (16 if case == "grey, dark" else 15) and max(map(len, code)) <= 125
    assert "palora" not in text and "torch" not in text


def test_nobody_reads_what_nobody_described():
    assert Input().preprocessing() is None and Table().preprocessing() is None
    with pytest.raises(UserError, match=r"cannot be sent"):
        Input().to_file([1.0])


def test_tasks_tell_how_their_numbers_are_read():
    told = Classification("sort", 2, classes=("no", "yes")).told()
    assert (told["classes"], told["axis"], told["labels"]) == (["no", "yes"], 0, []) and "logits" in told["reading"]
    assert Classification("sort", 3).told()["classes"] == ["0", "1", "2"]
    assert MultiLabel("tags", 2, classes=("a", "b")).told()["labels"] == ["a", "b"]
    assert Regression("price", unit="€", scale=3.0).told()["scale"] == 3.0
    assert "inverse depth" in Depth("d", inverse=True).reading and "inverse" not in Depth("d").reading


def test_differences_are_those_of_the_same_predictions():
    one = {"a": np.zeros((1, 2)), "b": np.ones((1, 3))}
    assert difference({**one, "a": np.array([[0.0, 0.5]])}, one) == 0.5
    with pytest.raises(UserError, match=r"gives \[1, 3\] for a, expected \[1, 2\]"):
        difference({"a": np.zeros((1, 3))}, one)
    with pytest.raises(UserError, match=r"gives nothing for b"):
        difference({"a": np.zeros((1, 2))}, one)


def test_a_script_that_fails_is_a_sentence(tmp_path):
    (tmp_path / "infer.py").write_text("raise ValueError('no such column')")
    with pytest.raises(UserError, match=r"does not run on its own sample \(ValueError: no such column\)"):
        tried(tmp_path)


def test_terms_are_those_of_the_card():
    assert licence({"licence": "MIT", "citation": {"method": "A", "benchmark": ""}}) == "MIT\nPlease cite: A\n"
    assert "ask whoever" in licence({})


def stranger(folder: Path) -> str:
    """An interpreter with numpy, pillow and onnxruntime and nothing else, made of what is installed here."""
    venv.create(folder, with_pip=False)
    (python,) = folder.glob("bin/python") if sys.platform != "win32" else folder.glob("Scripts/python.exe")
    purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
    place = Path(subprocess.run([python, "-c", purelib], capture_output=True, text=True, check=True).stdout.strip())
    for package in ("numpy", "PIL", "onnxruntime"):
        found = Path(__import__(package).__file__).parent
        for part in {found, *found.parent.glob({"PIL": "pillow"}.get(package, package) + ".libs")}:
            (place / part.name).symlink_to(part)
    lacks = [python, "-c", "import torch"]
    assert subprocess.run(lacks, capture_output=True).returncode, "nothing else is there"
    return str(python)


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    "name", ["multimnist", "multimnist-bottleneck", "fairness", "fairness-2", "streets", "rooms", "multimnist-methods"]
)
def test_a_bundle_of_a_shipped_model_runs_at_a_strangers(tmp_path, name):
    folder = ROOT / "trained_models" / name
    folder, samples = (folder, folder) if name != "multimnist-methods" else (folder / "famo-s0", folder)
    model, card = pc.load(folder)
    benchmark = checkpoint.benchmark_of(card)
    items = load_samples(samples / "samples.npz", benchmark.convert)
    at = [0.3, 0.7] if model.num_tasks == 2 else [0.2, 0.3, 0.5]
    out = tmp_path / "bundle"
    told = export_bundle(model, card, benchmark, items.batch(torch.arange(2))[0], at, out)
    python = stranger(tmp_path / "clean")
    (sample,) = out.glob("sample.*")
    kind = as_input(benchmark.input_kind)
    with torch.no_grad():
        outputs = model(kind.to_input(kind.read(sample.read_bytes())), torch.tensor(at))
    expected = {task.name: task.prediction_of(outputs).numpy() for task in benchmark.tasks if hasattr(task, "told")}
    runs = [(), (sample.name, *map(str, at))] if model.controllable else [()]
    for arguments in runs:
        done = subprocess.run(
            [python, "-I", "-c", TRIAL, *arguments, str(tmp_path / "found.npz")],
            cwd=out,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert all(task in done.stdout for task in expected)
        with np.load(tmp_path / "found.npz") as found:
            assert difference(found, expected) < 1e-3 * max(1.0, told["largest_number"])
    assert told["max_abs_difference_to_pytorch"] < 1e-3 * max(1.0, told["largest_number"])
    assert f"{told['max_abs_difference_to_pytorch']:.2g}" in (out / "README.md").read_text()
    shape = json.loads((out / "network.onnx.json").read_text())["inputs"]["input"]["shape"]
    assert shape[0] == "batch" and (out / "controllable.onnx").is_file() == model.controllable
