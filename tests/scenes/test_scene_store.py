import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from palora_core.scenes import GENERATOR_VERSION, SceneArrays, SceneError, ensure, render, verify
from palora_core.scenes.arrays import fields
from palora_core.scenes.manifest import CHUNK, Manifest, Parameters
from palora_core.scenes.worker import render_in_processes

ROOT = Path(__file__).resolve().parents[2]
SIZE = (16, 20)
FILES = dict.fromkeys(("streets", "rooms"), ("images", "labels", "depths", "normals"))


def folder(root: Path, kind: str = "streets", split: str = "train", seed: int = 0) -> Path:
    return root / f"{kind}-v{GENERATOR_VERSION}-{SIZE[0]}x{SIZE[1]}-s{seed}" / split


def make(root: Path, count: int, kind: str = "streets", **options) -> SceneArrays:
    return ensure(kind, "train", count, *SIZE, 0, root, workers=options.pop("workers", 1), **options)


def content(root: Path, kind: str = "streets") -> dict[str, bytes]:
    return {name: (folder(root, kind) / f"{name}.npy").read_bytes() for name in FILES[kind]}


@pytest.fixture(scope="module")
def forty(tmp_path_factory) -> Path:
    """A root with 40 streets made in one go, in this process."""
    root = tmp_path_factory.mktemp("forty")
    make(root, 40)
    return root


@pytest.mark.parametrize("kind", ["rooms", "streets"])
def test_arrays_hold_what_was_rendered(tmp_path, kind):
    arrays = make(tmp_path, 3, kind)
    assert len(arrays) == 3
    assert arrays.images.shape == (3, *SIZE, 3) and arrays.images.dtype == np.uint8
    assert arrays.labels.shape == (3, *SIZE) and arrays.labels.dtype == np.int8
    assert arrays.depths.shape == (3, *SIZE) and arrays.depths.dtype == np.float16
    assert isinstance(arrays.images, np.memmap) and not arrays.images.flags.writeable
    for index in range(3):
        scene = render(kind, 0, index, *SIZE)
        assert (arrays.images[index] == scene["image"]).all()
        assert (arrays.labels[index] == scene["label"]).all()
        assert ((arrays.depths[index] == 0) == (scene["depth"] == 0)).all()
        assert (np.abs(arrays.depths[index] - scene["depth"]) <= scene["depth"] / 2048).all()
        known = scene["depth"] > 0
        stored = arrays.normals[index].astype(np.float32)
        cosine = (stored * scene["normal"]).sum(-1)[known] / np.linalg.norm(stored[known], axis=-1)
        assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < 0.45
        assert not stored[~known].any()


def test_any_tool_can_read_the_files(forty):
    for field in fields(*SIZE):
        array = np.load(folder(forty) / f"{field.name}.npy", mmap_mode="r")
        assert array.shape == (40, *field.shape)


def test_manifest_says_what_there_is(forty):
    manifest = json.loads((folder(forty) / "manifest.json").read_text())
    expected = {"kind": "streets", "split": "train", "height": 16, "width": 20, "seed": 0}
    assert manifest["parameters"] == {**expected, "generator_version": GENERATOR_VERSION}
    assert manifest["count"] == 40
    assert [(chunk["start"], chunk["stop"]) for chunk in manifest["chunks"]] == [(0, 16), (16, 32), (32, 40)]
    assert all(set(chunk["sha256"]) == set(FILES["streets"]) for chunk in manifest["chunks"])
    assert verify(forty) == verify(folder(forty)) == 40


def test_a_larger_cache_serves_a_smaller_request_and_a_smaller_one_grows(forty, tmp_path):
    before = content(forty)
    few = make(forty, 5)
    assert len(few) == 5
    assert content(forty) == before
    for count in (5, 17, 40):
        grown = make(tmp_path, count)
        assert len(grown) == count
        assert (grown.images[:5] == few.images).all()
    assert content(tmp_path) == before
    assert verify(tmp_path) == 40


def test_processes_write_the_same_bytes_and_report_progress(forty, tmp_path):
    reports: list[tuple[int, int]] = []
    make(tmp_path, 40, workers=2, progress=lambda done, total: reports.append((done, total)))
    assert content(tmp_path) == content(forty)
    assert reports == [(done, 40) for done in range(1, 41)]
    assert verify(tmp_path) == 40


def test_a_killed_generation_is_continued_to_the_same_bytes(forty, tmp_path):
    code = f"""
import signal, sys
from pathlib import Path
from palora_core.scenes import ensure
def report(done, total):
    print(done, flush=True)
    if done == {CHUNK + 3}:
        signal.pause()  # until it is killed, however fast it is
ensure("streets", "train", 40, {SIZE[0]}, {SIZE[1]}, 0, Path(sys.argv[1]), workers=1, progress=report)
"""
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) == CHUNK + 3:
            process.send_signal(signal.SIGKILL)
            break
    process.stdout.close()
    process.wait()
    held = Manifest.load(folder(tmp_path))
    assert held is not None and held.count == CHUNK
    # Rows of the chunk that was not finished hold anything.
    path, row = folder(tmp_path) / "images.npy", SIZE[0] * SIZE[1] * 3
    with path.open("r+b") as file:
        file.seek(128 + held.count * row)
        file.write(b"\x55" * row)
    reports: list[int] = []
    make(tmp_path, 40, progress=lambda done, total: reports.append(done))
    assert reports == list(range(held.count + 1, 41))
    assert content(tmp_path) == content(forty)
    assert verify(tmp_path) == 40


def test_an_exception_in_the_middle_loses_only_the_chunk_in_work(forty, tmp_path):
    def stop(done: int, total: int) -> None:
        if done == CHUNK + 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, 40, progress=stop)
    held = Manifest.load(folder(tmp_path))
    assert held is not None and held.count == CHUNK
    make(tmp_path, 40)
    assert content(tmp_path) == content(forty)


def test_nothing_counts_before_the_first_chunk_is_complete(tmp_path):
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, 2, progress=stop)
    assert not (folder(tmp_path) / "manifest.json").exists()
    assert (make(tmp_path, 2).images[1] == render("streets", 0, 1, *SIZE)["image"]).all()


def test_two_at_once_wait_for_each_other(tmp_path):
    results: list[SceneArrays] = []
    threads = [threading.Thread(target=lambda: results.append(make(tmp_path, 6))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (results[0].images == results[1].images).all()
    manifest = Manifest.load(folder(tmp_path))
    assert manifest is not None and [(chunk.start, chunk.stop) for chunk in manifest.chunks] == [(0, 6)]


def damage(path: Path, what: str) -> None:
    if what == "missing":
        path.unlink()
    elif what == "truncated":
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size - 1)
    elif what == "empty":
        path.write_bytes(b"")
    elif what == "not NumPy":
        path.write_bytes(b"x" * path.stat().st_size)
    elif what == "other shape":
        np.save(path, np.zeros((4, 3, 3), np.uint8))


@pytest.mark.parametrize("name", FILES["streets"])
@pytest.mark.parametrize("what", ["missing", "truncated", "empty", "not NumPy", "other shape"])
def test_damaged_files_are_noticed_when_opened(tmp_path, small, name, what):
    place = copied(small, tmp_path)
    damage(place / f"{name}.npy", what)
    for attempt in (lambda: make(tmp_path, 3), lambda: make(tmp_path, 9), lambda: verify(tmp_path)):
        with pytest.raises(SceneError) as caught:
            attempt()
        message = str(caught.value)
        assert str(place / f"{name}.npy") in message
        assert f"delete the folder {place}" in message
        assert "\n" not in message


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("small")
    make(root, 3)
    return root


def copied(source: Path, target: Path) -> Path:
    place = folder(target)
    place.mkdir(parents=True)
    for path in folder(source).iterdir():
        (place / path.name).write_bytes(path.read_bytes())
    return place


def test_a_flipped_byte_is_found_by_verify(tmp_path, small):
    place = copied(small, tmp_path)
    with (place / "labels.npy").open("r+b") as file:
        file.seek(128 + SIZE[0] * SIZE[1] + 7)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(SceneError, match=r"labels\.npy is damaged in scenes 0 to 2; delete the folder"):
        verify(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"parameters": {"kind": "streets"}, "chunks": []}'])
def test_damaged_manifests_are_noticed(tmp_path, small, text):
    place = copied(small, tmp_path)
    (place / "manifest.json").write_text(text)
    for attempt in (lambda: make(tmp_path, 3), lambda: verify(tmp_path)):
        with pytest.raises(SceneError, match=r"manifest\.json is damaged; delete the folder"):
            attempt()


def test_a_manifest_of_other_scenes_is_refused(tmp_path, small):
    place = copied(small, tmp_path)
    text = (place / "manifest.json").read_text()
    (place / "manifest.json").write_text(text.replace('"seed": 0', '"seed": 1'))
    with pytest.raises(SceneError, match="describes other scenes"):
        make(tmp_path, 3)


def test_verify_says_when_there_is_nothing(tmp_path):
    with pytest.raises(SceneError, match="There are no scenes below"):
        verify(tmp_path)


def test_impossible_requests(tmp_path):
    with pytest.raises(SceneError, match="count must be at least 1, found 0"):
        make(tmp_path, 0)
    with pytest.raises(SceneError, match="no split named 'all'"):
        ensure("rooms", "all", 1, *SIZE, 0, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(SceneError, match=r"can't be written to .*file.*; choose another folder"):
        make(tmp_path / "file", 1)


def test_splits_and_seeds_lie_apart(tmp_path):
    first = make(tmp_path, 1)
    second = ensure("streets", "val", 1, *SIZE, 0, tmp_path, workers=1)
    third = ensure("streets", "train", 1, *SIZE, 3, tmp_path, workers=1)
    pictures = {arrays.images.tobytes() for arrays in (first, second, third)}
    assert len(pictures) == 3
    assert folder(tmp_path, split="val").is_dir() and folder(tmp_path, seed=3).is_dir()
    assert verify(tmp_path) == 3


def test_a_worker_that_fails_says_why(tmp_path):
    parameters = Parameters("gardens", "train", *SIZE, 0)
    with pytest.raises(SceneError, match="no kind of scene named 'gardens'"):
        list(render_in_processes(parameters, tmp_path, [(0, 1)], workers=1))


def test_a_worker_ends_when_nobody_reads_its_reports(tmp_path):
    job = {
        "folder": str(tmp_path),
        "parameters": {"kind": "rooms", "split": "train", "height": 16, "width": 16, "seed": 0},
        "pieces": [(0, 100_000)],
    }
    command = [sys.executable, "-m", "palora_core.scenes.worker"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps(job))
    process.stdin.close()
    assert process.stdout.readline() == "> null\n"
    process.stdout.close()
    assert process.wait(timeout=120) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [1, 15, 16, 17, 40])
def test_missing_pieces_end_at_multiples_of_the_chunk(count):
    manifest = Manifest(Parameters("rooms", "train", *SIZE, 0))
    pieces = manifest.missing(count)
    assert [index for start, stop in pieces for index in range(start, stop)] == list(range(count))
    assert all(start // CHUNK == (stop - 1) // CHUNK for start, stop in pieces)
