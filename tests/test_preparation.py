"""Preparation: whole shards or none, resumed after a kill, parallel, and one sentence about bad data."""

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import releases
from PIL import Image
from scipy.io import savemat

from palora_core.errors import UserError
from palora_core.preparation import nyuv2
from palora_core.preparation._shards import Part, PerItem
from palora_core.preparation._writing import write_parts
from palora_core.preparation.base import preparers
from palora_core.storage.prepared import MANIFEST, Prepared
from palora_core.storage.writing import is_temporary, sha256

ROOT = Path(__file__).parent.parent
ALL = {
    "cityscapes": releases.cityscapes_mtan,
    "nyuv2": releases.nyuv2_mtan,
    "utkface": releases.utkface,
    "sarcos": releases.sarcos,
    "celeba": releases.celeba,
    "census": releases.census,
    "adult": releases.adult,
}


def content(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def values_part(count: int = 20, per_shard: int = 4, item=releases.slow_item) -> Part:
    return Part("train", count, {"value": ((2, 3), "int16")}, PerItem(item), releases.no_sources, per_shard)


@pytest.mark.parametrize("name", ALL)
def test_a_second_run_changes_nothing_and_the_manifest_has_every_hash(name, tmp_path):
    source = ALL[name](tmp_path / "raw")
    preparers.get(name)().prepare(source, tmp_path / "data")
    before = content(tmp_path / "data")
    lines = preparers.get(name)().prepare(source, tmp_path / "data")
    assert "everything was there already" in lines[0]
    assert content(tmp_path / "data") == before
    folder = tmp_path / "data" / name
    manifest = json.loads((folder / MANIFEST).read_text())
    files = {e["file"]: e for p in manifest["parts"].values() for s in p["shards"] for e in s["files"].values()}
    assert {path for path in before if not path.endswith(MANIFEST)} == {f"{name}/{file}" for file in files}
    assert all(sha256(folder / file) == entry["sha256"] for file, entry in files.items())
    assert manifest["site"]
    assert manifest["licence"]
    assert preparers.get(name)().check(None, tmp_path / "data")[0]


def test_workers_write_what_one_process_writes(tmp_path):
    for workers, name in ((1, "one"), (2, "two")):
        calls = []
        folder = tmp_path / name
        write_parts(folder, [values_part()], {}, lambda *call, calls=calls: calls.append(call), workers)
        assert calls[-1] == ("preparing", 20, 20)
        assert [done for _, done, _ in calls] == [4, 8, 12, 16, 20]
    one, two = (json.loads((tmp_path / name / MANIFEST).read_text()) for name in ("one", "two"))
    assert one == two
    fields = Prepared(tmp_path / "two", two).fields("train")
    assert fields["value"][:][:, 1, 2].tolist() == list(range(20))
    assert fields["value"][np.array([17, 2, 9])][:, 0, 0].tolist() == [17, 2, 9]
    assert fields["value"].take(np.array([5, 11, 19]))[1:][:, 0, 0].tolist() == [11, 19]


KILLED = """
import os, signal, sys
sys.path[:0] = [{root!r}, {tests!r}]
import numpy as np
from pathlib import Path
from releases import no_sources
from palora_core.preparation._shards import Part, PerItem
from palora_core.preparation._writing import write_parts
def item(index):
    if index == 10:
        os.kill(os.getpid(), signal.SIGKILL)
    return {{"value": np.full((2, 3), index, np.int16)}}
part = Part("train", 20, {{"value": ((2, 3), "int16")}}, PerItem(item), no_sources, 4)
(Path({folder!r}) / "train").mkdir(parents=True)
(Path({folder!r}) / "train" / ".00002-value.npy.x.unfinished").write_bytes(b"half")
write_parts(Path({folder!r}), [part], {{}}, None, 1)
"""


def test_a_killed_run_leaves_whole_shards_and_the_next_one_goes_on(tmp_path):
    folder = tmp_path / "killed"
    code = KILLED.format(root=str(ROOT), tests=str(ROOT / "tests"), folder=str(folder))
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert not (folder / MANIFEST).exists()
    shards = sorted(path.name for path in (folder / "train").glob("0*.npy"))
    assert shards == ["00000-value.npy", "00001-value.npy"]
    with pytest.raises(UserError, match=r"is not finished"):
        Prepared.open(tmp_path, "killed")
    times = [(folder / "train" / name).stat().st_mtime_ns for name in shards]
    assert write_parts(folder, [values_part()], {}, None, 1) == 3
    assert [(folder / "train" / name).stat().st_mtime_ns for name in shards] == times
    assert not [path for path in folder.rglob("*") if is_temporary(path) or path.stem.isdigit()]
    assert Prepared.open(tmp_path, "killed").fields("train")["value"].shape == (20, 2, 3)


ABANDONED = """
import os, signal, sys
sys.path[:0] = [{root!r}, {tests!r}]
from pathlib import Path
import releases
from palora_core.preparation._shards import Part, PerItem
from palora_core.preparation._writing import write_parts
part = Part("train", 400, {{"value": ((2, 3), "int16")}}, PerItem(releases.slow_item), releases.no_sources, 1)
def stop(what, done, total):
    mine = Path(f"/proc/{{os.getpid()}}/task/{{os.getpid()}}/children").read_text()
    Path({pids!r}).write_text(mine)
    os.kill(os.getpid(), signal.SIGKILL)
write_parts(Path({folder!r}), [part], {{}}, stop, 2)
"""


def test_a_killed_parent_takes_its_workers_along(tmp_path):
    places = {"root": str(ROOT), "tests": str(ROOT / "tests"), "pids": str(tmp_path / "pids")}
    code = ABANDONED.format(**places, folder=str(tmp_path / "out"))
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    workers = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert workers
    deadline = time.monotonic() + 30
    while any(_alive(pid) for pid in workers):
        assert time.monotonic() < deadline, "workers outlive their parent"
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_changed_source_is_prepared_again_and_only_where_it_changed(tmp_path):
    source = releases.utkface(tmp_path / "raw")
    preparer = preparers.get("utkface")()
    preparer.prepare(source, tmp_path)
    first = Prepared.open(tmp_path, "utkface").fields("all")["image"][:]
    path = next((source / "UTKFace").glob("1_0_0_*"))
    Image.new("RGB", (200, 200), (255, 0, 0)).save(path)
    assert "1 shards written" in preparer.prepare(source, tmp_path)[0]
    assert not np.array_equal(Prepared.open(tmp_path, "utkface").fields("all")["image"][:], first)


def test_good_shards_survive_bad_data(tmp_path, monkeypatch):
    source = releases.cityscapes_mtan(tmp_path / "raw")
    bad = source / "val/depth/1.npy"
    good = bad.read_bytes()
    bad.write_bytes(good[:1000])
    preparer = preparers.get("cityscapes")()
    with pytest.raises(UserError, match=r"truncated"):
        preparer.prepare(source, tmp_path)
    folder = tmp_path / "cityscapes"
    assert not (folder / MANIFEST).exists()
    assert not list((folder / "test").glob("*")) if (folder / "test").exists() else True
    kept = (folder / "train/00000-image.npy").stat().st_mtime_ns
    bad.write_bytes(good)
    assert "1 shards written" in preparer.prepare(source, tmp_path)[0]
    assert (folder / "train/00000-image.npy").stat().st_mtime_ns == kept


def test_a_damaged_shard_is_told_and_repaired(tmp_path):
    source = releases.sarcos(tmp_path / "raw")
    preparer = preparers.get("sarcos")()
    preparer.prepare(source, tmp_path)
    shard = tmp_path / "sarcos/train/00000-torques.npy"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    ready, lines = preparer.check(None, tmp_path)
    assert not ready
    assert "hash differs" in lines[0]
    shard.write_bytes(content[:-8])
    with pytest.raises(UserError, match=r"damaged|holds"):
        Prepared.open(tmp_path, "sarcos").fields("train")
    assert "1 shards written" in preparer.prepare(source, tmp_path)[0]
    assert preparer.check(None, tmp_path)[0]


def replace(path: str, content):
    """A damage: the first file that matches gets other content."""

    def apply(source: Path) -> None:
        target = next(iter(sorted(source.glob(path))))
        if content is None:
            shutil.rmtree(target) if target.is_dir() else target.unlink()
        elif isinstance(content, np.ndarray):
            np.save(target, content) if target.suffix == ".npy" else Image.fromarray(content).save(target)
        elif isinstance(content, dict):
            savemat(target, content)
        elif callable(content):
            target.write_bytes(content(target.read_bytes()))
        else:
            target.write_text(content)

    return apply


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def edited(old: bytes, new: bytes):
    return lambda content: content.replace(old, new, 1)


NAN = np.full((128, 256, 1), np.nan, np.float32)
CASES = [
    ("cityscapes_mtan", replace("train/depth", None), "depth is missing"),
    ("cityscapes_mtan", replace("val/label_7/1.npy", None), "label_7 has 1 files where 2 are expected: 1.npy missing"),
    ("cityscapes_mtan", replace("val/depth/0.npy", NAN), "val/depth/0.npy holds 32,768 values that are NaN"),
    ("cityscapes_mtan", replace("train/label_7/2.npy", np.full((128, 256), 7)), "2.npy holds labels 7 … 7"),
    ("cityscapes_mtan", replace("train/image/0.npy", np.zeros((64, 64, 3))), r"0.npy has the shape \[64, 64, 3\]"),
    ("cityscapes_mtan", replace("train/image/0.npy", half), "train/image/0.npy is truncated"),
    ("cityscapes_mtan", replace("train/image/1.npy", np.full((128, 256, 3), 200.0)), "holds image values 200 … 200"),
    ("nyuv2_mtan", replace("train/normal/1.npy", np.full((288, 384, 3), 2.0)), "normal/1.npy holds normal values"),
    ("utkface", replace("UTKFace/1_0_0*", half), "1_0_0_.*is truncated"),
    ("sarcos", replace("sarcos_inv.mat", {"other": np.zeros((3, 28))}), "has no variable 'sarcos_inv'"),
    ("sarcos", replace("sarcos_inv.mat", {"sarcos_inv": np.zeros((3, 21))}), r"\[3, 21\], expected \[N, 28\]"),
    ("sarcos", replace("sarcos_inv_test.mat", {"sarcos_inv_test": np.full((3, 28), np.nan)}), "84 values that are NaN"),
    ("sarcos", replace("sarcos_inv_test.mat", None), "no sarcos_inv_test.mat"),
    ("sarcos", replace("sarcos_inv.mat", "no MATLAB"), "sarcos_inv.mat is damaged"),
    ("celeba", replace("Img/img_align_celeba/000003.jpg", None), "lacks 1 of the 12 pictures.*000003.jpg"),
    ("celeba", replace("Anno/list_attr_celeba.txt", edited(b"12", b"13")), "promises 13 pictures and lists 12"),
    (
        "celeba",
        replace("Eval/list_eval_partition.txt", edited(b"000002.jpg 0\n", b"")),
        "11; they differ in 000002.jpg",
    ),
    ("celeba", replace("Eval/list_eval_partition.txt", edited(b"000002.jpg 0", b"000002.jpg 5")), "line 2: expected a"),
    ("census", replace("census-income.test", None), "no census-income.test"),
    ("census", replace("census-income.data", "1, 2, 3\n"), "line 1: 3 values, expected 42"),
    ("adult", replace("adult.data", edited(b"<=50K", b"rich")), "income is 'rich'"),
]


@pytest.mark.parametrize(("release", "damage", "message"), CASES)
def test_bad_data_is_one_sentence_that_names_it(release, damage, message, tmp_path):
    source = getattr(releases, release)(tmp_path / "raw")
    damage(source)
    name = release.partition("_")[0]
    with pytest.raises(UserError, match=message) as caught:
        preparers.get(name)().prepare(source, tmp_path / "data")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data" / name / MANIFEST).exists()
    assert not [path for path in (tmp_path / "data").rglob("*") if is_temporary(path)]


OFFICIAL_CASES = [
    (replace("disparity", None), "no folder disparity below"),
    (
        replace("disparity/train/aachen/*", None),
        "disparity/train has 1 of 2 frames: aachen/aachen_000000_000019_dispar",
    ),
    (replace("leftImg8bit/val/lindau/*", half), "_leftImg8bit.png is truncated"),
    (replace("gtFine/train/aachen/*", np.full((1024, 2048), 255, np.uint8)), "holds label ids 255 … 255"),
    (replace("disparity/train/aachen/*", np.zeros((1024, 2048), np.uint8)), "is of mode L, expected I;16"),
    (replace("leftImg8bit/train/aachen/*", np.zeros((512, 1024, 3), np.uint8)), "512 × 1024 pixels, expected 1024"),
]


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    return releases.cityscapes(tmp_path_factory.mktemp("frames"), 2, 1)


@pytest.mark.parametrize(("damage", "message"), OFFICIAL_CASES)
def test_bad_frames_of_the_official_cityscapes(damage, message, frames, tmp_path):
    shutil.copytree(frames, tmp_path / "raw")
    damage(tmp_path / "raw")
    with pytest.raises(UserError, match=message):
        preparers.get("cityscapes")().prepare(tmp_path / "raw", tmp_path / "data")
    assert not (tmp_path / "data" / "cityscapes" / MANIFEST).exists()


def test_bad_mats_of_nyuv2(tmp_path):
    path = releases.nyuv2(tmp_path / "raw", 2) / "nyu_depth_v2_labeled.mat"
    prepare = preparers.get("nyuv2")().prepare
    with h5py.File(path, "r+") as file:
        file["depths"][1, 0, 0] = np.nan
    with pytest.raises(UserError, match=r"labeled.mat, image 2, depths holds 1 values that are NaN"):
        prepare(tmp_path / "raw", tmp_path)
    with h5py.File(path, "r+") as file:
        file["depths"][1, 0, 0] = 1
        file["labels"][0, 0, 0] = 900
    with pytest.raises(UserError, match=r"image 1, labels holds labels .* 900"):
        prepare(tmp_path / "raw", tmp_path)
    savemat(tmp_path / "raw/splits.mat", {"trainNdxs": [[1]], "testNdxs": [[3]]})
    with pytest.raises(UserError, match=r"splits.mat: testNdxs must hold numbers 1 … 2"):
        prepare(tmp_path / "raw", tmp_path)
    with h5py.File(path, "r+") as file:
        del file["labels"]
    with pytest.raises(UserError, match=r"no array 'labels'"):
        prepare(tmp_path / "raw", tmp_path)
    savemat(path, {"images": np.zeros((2, 2))})
    with pytest.raises(UserError, match=r"no HDF5"):
        prepare(tmp_path / "raw", tmp_path)


def test_names_out_of_range_are_refused_and_malformed_ones_listed(tmp_path):
    source = releases.utkface(tmp_path / "raw")
    Image.new("RGB", (200, 200)).save(source / "UTKFace/nobody.jpg")
    lines = preparers.get("utkface")().prepare(source, tmp_path)
    assert any("left out 2 pictures" in line and "nobody.jpg" in line for line in lines)
    Image.new("RGB", (200, 200)).save(source / "UTKFace/20_0_7_20170116174525125.jpg")
    with pytest.raises(UserError, match=r"race 7"):
        preparers.get("utkface")().prepare(source, tmp_path)


def script(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / "scripts/prepare_data.py", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def test_the_script_prepares_and_checks(tmp_path):
    source = releases.sarcos(tmp_path / "raw")
    before = script("sarcos", "--check", "--source", source, "--data", tmp_path)
    assert before.returncode == 1
    assert "can be prepared from" in before.stdout
    assert "gaussianprocess.org" in before.stdout
    done = script("sarcos", "--source", source, "--data", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "train 100, test 20" in done.stdout
    assert script("sarcos", "--check", "--data", tmp_path).returncode == 0
    assert "nothing to prepare" in script("streets", "--data", tmp_path).stdout
    (source / "sarcos_inv.mat").unlink()
    failed = script("sarcos", "--source", source, "--data", tmp_path)
    assert failed.returncode == 2
    assert failed.stderr.startswith("error: There is no sarcos_inv.mat")
    assert len(failed.stderr.strip().splitlines()) == 1


def test_digits_are_copied_checked_and_read(tmp_path):
    from palora_core.benchmarks._mnist import read_digits

    source = releases.mnist(tmp_path / "raw")
    for name, folder in (("multimnist", "MNIST"), ("multifashion", "FashionMNIST")):
        preparers.get(name)().prepare(source, tmp_path)
        assert len(read_digits(tmp_path, folder, "train").images) == 30
        assert preparers.get(name)().check(None, tmp_path)[0]
    labels = source / "t10k-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-1] + b"\x0b")
    with pytest.raises(UserError, match=r"t10k-labels-idx1-ubyte holds the label 11"):
        preparers.get("mnist")().prepare(source, tmp_path / "other")


def test_odd_names_of_the_faces_count_and_copies_do_not(tmp_path):
    folder = releases.utkface(tmp_path / "raw") / "UTKFace"
    face = next(folder.glob("1_0_0_*"))
    # Two names that are in the release: a space before the first dot, and no dot at all.
    for name in ("24_0_1_20170116220224657 .jpg.chip.jpg", "55_0_0_20170116232725357jpg.chip.jpg"):
        shutil.copy(face, folder / name)
    shutil.copytree(folder, folder.parent / "crop_part1")
    lines = preparers.get("utkface")().prepare(folder.parent, tmp_path)
    assert lines[0].startswith("utkface: all 22 items")
    assert any(line.startswith("left out 22 pictures that are there twice") for line in lines)


def test_files_that_are_not_ours_stay_where_they_are(tmp_path):
    """The raw release may lie in the folder that the prepared one goes to."""
    source = releases.cityscapes_mtan(tmp_path / "cityscapes")
    others = [source / "train" / "notes.npy", source / "train" / "7.json", source / "12.json"]
    for path in others:
        path.write_bytes(b"mine")
    preparer = preparers.get("cityscapes")()
    preparer.prepare(source, tmp_path)
    assert preparer.prepare(source, tmp_path)[0].endswith("everything was there already.")
    assert [path.read_bytes() for path in others] == [b"mine"] * 3
    assert (source / "train/depth/0.npy").is_file()


def test_a_worker_that_is_killed_is_one_sentence_and_costs_only_its_shard(tmp_path):
    with pytest.raises(UserError, match=r"ended before its time \(killed\); what is finished is kept"):
        write_parts(tmp_path, [values_part(item=releases.deadly_item)], {}, None, 2)
    assert not (tmp_path / MANIFEST).exists()
    assert write_parts(tmp_path, [values_part()], {}, None, 2) < 5
    assert Prepared.open(tmp_path.parent, tmp_path.name).fields("train")["value"].shape == (20, 2, 3)


# -- what systems, archives and people leave beside a release ---------------------------------------------------------
def test_leftovers_of_macos_and_other_archives_are_passed_over(frames, tmp_path):
    raw = tmp_path / "raw"
    shutil.copytree(frames, raw / "main")
    for folder in (raw / "__MACOSX/leftImg8bit/train", raw / "a_trainextra/leftImg8bit/train_extra/augsburg"):
        folder.mkdir(parents=True)
    for path in list(raw.glob("main/*/train/*/*.png")):
        path.with_name(f"._{path.name}").write_bytes(b"Mac OS X")
        (path.parent / ".DS_Store").touch()
    preparer = preparers.get("cityscapes")()
    assert preparer.prepare(raw, tmp_path)[0].startswith("cityscapes: train 2, test 1 items")
    assert "  gtFine (MTAN: label_7): 3 found" in preparer.found(raw)


def test_linked_folders_are_followed_and_loops_end(tmp_path):
    raw = releases.utkface(tmp_path / "raw")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked/faces").symlink_to(raw / "UTKFace")
    (raw / "UTKFace/round").symlink_to(raw)
    (raw / "UTKFace/._1_0_0_20170116170000000.jpg").touch()
    lines = preparers.get("utkface")().prepare(tmp_path / "linked", tmp_path)
    assert lines[0].startswith("utkface: all 20 items")
    assert any(line.startswith("left out 1 pictures whose names lack a label: 61_1_") for line in lines)
    assert "MISSING" not in preparers.get("utkface")().found(tmp_path / "linked")[0]


def test_pictures_in_the_wild_give_way_to_the_aligned_ones(tmp_path):
    raw = releases.utkface(tmp_path / "raw", 3)
    (raw / "part1").mkdir()
    for path in list((raw / "UTKFace").glob("*_*_*_*.jpg.chip.jpg")):
        Image.new("RGB", (300, 400)).save(raw / "part1" / path.name.replace(".chip.jpg", ""))
    lines = preparers.get("utkface")().prepare(raw, tmp_path)
    assert lines[0].startswith("utkface: all 3 items")
    assert (Prepared.open(tmp_path, "utkface").fields("all")["image"][:].max(axis=(1, 2, 3)) > 0).all()


def test_tables_with_windows_line_ends_and_byte_order_marks(tmp_path):
    releases.adult(tmp_path / "a")
    releases.celeba(tmp_path / "c")
    for path in (*tmp_path.glob("a/*"), *tmp_path.glob("c/*/list*.txt")):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    assert preparers.get("adult")().prepare(tmp_path / "a", tmp_path)[0].startswith("adult: train 60, test 20 items")
    assert preparers.get("celeba")().prepare(tmp_path / "c", tmp_path)[0].startswith("celeba: train 4, val 4, test 4")


def test_digits_under_other_spellings_replace_older_ones_and_are_copied_once(tmp_path):
    from palora_core.benchmarks._mnist import read_digits

    preparer = preparers.get("multimnist")()
    preparer.prepare(releases.mnist(tmp_path / "old", 25), tmp_path)
    new = releases.mnist(tmp_path / "new", 40)
    for path in list(new.iterdir()):  # a program's own spelling when it unpacks, packed again
        path.with_name(f"{path.name.replace('-idx', '.idx')}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert any("can be prepared" in line for line in preparer.found(new))
    assert preparer.prepare(new, tmp_path)[0].endswith("4 files written.")
    assert len(read_digits(tmp_path, "MNIST", "train").images) == 40
    manifest = (tmp_path / "MNIST" / MANIFEST).stat().st_mtime_ns
    assert preparer.prepare(new, tmp_path)[0].endswith("everything was there already.")
    assert (tmp_path / "MNIST" / MANIFEST).stat().st_mtime_ns == manifest


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ("abc", "trainNdxs must hold numbers"),
        ([[np.nan]], "trainNdxs must hold numbers"),
        ([[1.5]], "trainNdxs must hold numbers"),
        ([[1], [2]], "image 2 in the training and in the test split"),
    ],
)
def test_splits_of_nyuv2_that_cannot_be_right(train, message, tmp_path):
    path = tmp_path / "splits.mat"
    savemat(path, {"trainNdxs": train, "testNdxs": [[2]]})
    with pytest.raises(UserError, match=message):
        nyuv2._split(path, 3)


def test_what_the_check_refuses_is_made_again(tmp_path):
    preparer, source = preparers.get("sarcos")(), releases.sarcos(tmp_path / "raw")
    preparer.prepare(source, tmp_path)
    path = tmp_path / "sarcos/train/00000-inputs.npy"
    right = path.read_bytes()
    path.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))  # of the same size
    assert "its hash differs" in preparer.check(None, tmp_path)[1][0]
    assert preparer.prepare(source, tmp_path)[0].endswith("1 shards written.")
    assert path.read_bytes() == right


@pytest.mark.parametrize("parts", ["[]", '{"train": {}, "test": {}}', '{"train": {"count": 2, "fields": null}}', "1"])
def test_manifests_that_say_too_little_are_one_sentence_and_written_again(parts, tmp_path):
    preparer, source = preparers.get("sarcos")(), releases.sarcos(tmp_path / "raw")
    (tmp_path / "sarcos").mkdir()
    (tmp_path / "sarcos" / MANIFEST).write_text(f'{{"format": 1, "parts": {parts}}}')
    ready, lines = preparer.check(None, tmp_path)
    assert not ready
    assert MANIFEST in lines[0]
    preparer.prepare(source, tmp_path)
    assert preparer.check(None, tmp_path)[0]


@pytest.mark.parametrize("name", ["sarcos", "multimnist"])
def test_a_place_that_cannot_be_written_is_one_sentence(name, tmp_path):
    source = {"sarcos": releases.sarcos, "multimnist": releases.mnist}[name](tmp_path / "raw")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file.* cannot be written .*choose another --data"):
        preparers.get(name)().prepare(source, tmp_path / "file")


def test_torques_beyond_single_precision_are_refused(tmp_path):
    source = releases.sarcos(tmp_path / "raw")
    savemat(source / "sarcos_inv.mat", {"sarcos_inv": np.full((3, 28), 1e60)})
    with pytest.raises(UserError, match=r"sarcos_inv.mat holds 84 values that are NaN or infinite"):
        preparers.get("sarcos")().prepare(source, tmp_path)


def test_the_script_does_without_torch(tmp_path):
    """It takes seconds to import, and preparing needs none of it."""
    source = releases.celeba(tmp_path / "raw")
    code = f"""
import runpy, sys
sys.path.insert(0, {str(ROOT / "scripts")!r})
sys.argv = ["prepare_data.py", "celeba", "--source", {str(source)!r}, "--data", {str(tmp_path)!r}, "--workers", "1"]
try:
    runpy.run_path({str(ROOT / "scripts/prepare_data.py")!r}, run_name="__main__")
except SystemExit as end:
    assert end.code == 0 and "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "celeba" / MANIFEST).is_file()
