"""Zips in and out: what is exported comes back, and nothing else comes in."""

import errno
import io
import json
import os
import shutil
import stat
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from app.library import transfer
from palora_core import checkpoint
from palora_core.errors import UserError
from palora_core.storage.writing import sha256


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("PALORA_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture
def folder(model_root, tmp_path):
    """A model folder that a test may spoil."""
    return shutil.copytree(model_root / "digits", tmp_path / "mine")


def zipped(folder, prefix="mine/", **more) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, prefix + path.name)
        for name, data in more.items():
            archive.writestr(name, data)
    buffer.seek(0)
    return buffer


def nothing_left(root) -> bool:
    return not (root / transfer.FOLDER).exists() or not any((root / transfer.FOLDER).iterdir())


def test_round_trip(roots, root):
    entry = roots.registry.entry("digits")
    (entry.folder / "state.pt").write_bytes(b"a pickle")
    try:
        data = transfer.packed(entry)
    finally:
        (entry.folder / "state.pt").unlink()
    assert zipfile.ZipFile(io.BytesIO(data)).namelist() == [
        f"digits/{name}" for name in ("card.json", "model.safetensors", "front.json", "samples.npz")
    ]
    assert transfer.imported(io.BytesIO(data), "digits.zip") == "run:imported/digits"
    assert transfer.imported(io.BytesIO(data), "digits.zip") == "run:imported/digits-2", "nothing is overwritten"
    for name in ("card.json", "model.safetensors"):
        assert sha256(root / "imported" / "digits" / name) == sha256(entry.folder / name)
    assert {path.name for path in (root / "imported").iterdir()} == {"digits", "digits-2"}


def test_a_zip_without_a_folder_comes_in(folder, root):
    assert transfer.imported(zipped(folder, ""), "../..//we ird.zip") == "run:imported/we-ird"


BAD_NAMES = (
    "../card.json",
    "/etc/passwd",
    "mine/../../x.json",
    "mine/state.pt",
    "a/b/card.json",
    "C:\\card.json",
    ".hidden/card.json",
)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_foreign_names_are_refused(folder, root, name):
    with pytest.raises(UserError, match="no part of a model"):
        transfer.imported(zipped(folder, **{name: b"{}"}), "x.zip")
    assert nothing_left(root)


def test_links_are_refused(folder, root):
    buffer = zipped(folder)
    with zipfile.ZipFile(buffer, "a") as archive:
        link = zipfile.ZipInfo("mine/front.json.txt".replace(".txt", ""))
        link.filename = "mine/config.json"
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match="only plain files"):
        transfer.imported(buffer, "x.zip")
    assert nothing_left(root)


@pytest.mark.parametrize("data", [b"", b"not a zip", b"PK\x03\x04" + bytes(40)], ids=["empty", "text", "head"])
def test_no_zip(root, data):
    with pytest.raises(UserError, match="not a zip file"):
        transfer.imported(io.BytesIO(data), "x.zip")
    assert nothing_left(root)


def test_truncated_and_twice_and_two_folders(folder, root):
    whole = zipped(folder).getvalue()
    with pytest.raises(UserError):
        transfer.imported(io.BytesIO(whole[: len(whole) // 2]), "x.zip")
    with pytest.raises(UserError, match="twice"), pytest.warns(UserWarning, match="Duplicate name"):
        transfer.imported(zipped(folder, **{"mine/card.json": b"{}"}), "x.zip")
    with pytest.raises(UserError, match="one folder"):
        transfer.imported(zipped(folder, **{"other/config.json": b"{}"}), "x.zip")
    (folder / "card.json").unlink()
    with pytest.raises(UserError, match=r"card\.json is missing"):
        transfer.imported(zipped(folder), "x.zip")
    assert nothing_left(root)


def test_sizes_are_counted_while_unpacking(folder, root, monkeypatch):
    bomb = zipped(folder)
    with zipfile.ZipFile(bomb, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mine/config.json", bytes(5 * 2**20))
    with pytest.raises(UserError, match=r"config\.json in the zip is larger"):
        transfer.imported(bomb, "x.zip")
    monkeypatch.setattr(transfer, "MAX_ZIP", 1000)
    with pytest.raises(UserError, match="larger than"):
        transfer.imported(zipped(folder), "x.zip")
    assert nothing_left(root)


def spoil_card(folder, **changes):
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, **changes}))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"weights_sha256": "0" * 64}, "does not belong"),
        (
            {"network": {"name": "lenet", "options": {"outputs": {"left": 10, "right": 20_000_000}}}},
            "do not fit the network",
        ),
        ({"network": {"name": "no such", "options": {}}}, "no such"),
        ({"benchmark": {"name": "no such"}}, "no such"),
        ({"tasks": [{"name": "left", "kind": "classification"}]}, "tasks of its card"),
        ({"format": 99}, "format"),
        ({"method": 7}, "imported"),
        ({"benchmark": []}, "imported"),
    ],
)
def test_bad_cards_are_refused(folder, root, changes, sentence):
    spoil_card(folder, **changes)
    with pytest.raises(UserError, match=sentence) as error:
        transfer.imported(zipped(folder), "x.zip")
    assert "cannot be imported" in str(error.value) and str(root) not in str(error.value)
    assert nothing_left(root)


def test_bad_weights_samples_and_fronts_are_refused(folder, root):
    spoiled = (("samples.npz", b"no"), ("front.json", b"{}"), ("config.json", b"{"), ("front.json", b"[" * 10**5))
    for name, data in spoiled:
        mine = shutil.copytree(folder, folder.with_name(f"spoiled-{name}-{len(data)}"))
        (mine / name).write_bytes(data)
        with pytest.raises(UserError, match="cannot be imported"):
            transfer.imported(zipped(mine), "x.zip")
    weights = load_file(folder / checkpoint.WEIGHTS)
    nan = {name: torch.full_like(t, torch.nan) if t.is_floating_point() else t for name, t in weights.items()}
    save_file(nan, folder / checkpoint.WEIGHTS)
    spoil_card(folder, weights_sha256=sha256(folder / checkpoint.WEIGHTS))
    with pytest.raises(UserError, match="NaN"):
        transfer.imported(zipped(folder), "x.zip")
    assert nothing_left(root)


def test_pickled_weights_are_not_read(folder, root):
    torch.save({"w": torch.ones(2)}, folder / checkpoint.WEIGHTS)
    spoil_card(folder, weights_sha256=sha256(folder / checkpoint.WEIGHTS))
    with pytest.raises(UserError, match="not a safetensors file"):
        transfer.imported(zipped(folder), "x.zip")
    assert nothing_left(root)


@pytest.mark.parametrize("step", ["mkdir", "open", "write", "chmod", "rename"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_a_disk_that_refuses_is_no_damaged_zip(folder, root, monkeypatch, step, number):
    real = getattr(Path, "open" if step == "write" else step)

    def refuse(path, *rest, **options):
        if "runs" not in path.parts:
            return real(path, *rest, **options)
        if step == "write" and rest == ("xb",):
            return full(path, number)
        if step in ("mkdir", "chmod", "rename") or rest == ("xb",):
            raise OSError(number, os.strerror(number))
        return real(path, *rest, **options)

    data = zipped(folder)
    monkeypatch.setattr(Path, "open" if step == "write" else step, refuse)
    with pytest.raises(UserError, match=rf"folder of runs cannot be written \({os.strerror(number)}\); make room"):
        transfer.imported(data, "mine.zip")
    monkeypatch.undo()
    assert nothing_left(root)


def full(path, number) -> io.FileIO:
    """A file that takes nothing, as on a disk without room."""

    class Full(io.FileIO):
        def write(self, data):
            raise OSError(number, os.strerror(number))

    return Full(path, "x")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_streams_are_a_damaged_zip(folder, root, method):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"mine/{path.name}")
    data = bytearray(buffer.getvalue())
    for at in range(60, len(data) // 2, 7):
        data[at] ^= 0x5A
    with pytest.raises(UserError, match="not a zip file that can be read"):
        transfer.imported(io.BytesIO(data), "mine.zip")
    assert nothing_left(root)


def test_read_only(folder, root, monkeypatch):
    monkeypatch.setenv("PALORA_READ_ONLY", "1")
    with pytest.raises(UserError, match="switched off"):
        transfer.imported(zipped(folder), "x.zip")
    assert not root.exists()


@pytest.mark.parametrize(
    ("text", "name"), [("", "model"), ("..", "model"), ("a/b", "a-b"), ("λ x", "x"), ("a" * 99, "a" * 60)]
)
def test_safe_names(text, name):
    assert transfer.safe_name(text) == name
