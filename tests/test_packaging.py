"""pyproject.toml, the lock file and the doctor's list say the same about what is needed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from palora_core.commands.doctor import EXTRAS
from palora_core.commands.machine import OLDEST_TORCH

ROOT = Path(__file__).resolve().parent.parent
LINE = re.compile(r"^([a-z0-9-]+)==([\w.]+)( ; [^#]+)?$")


@pytest.fixture(scope="module")
def project() -> dict:
    tomllib = pytest.importorskip("tomllib")
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def locked() -> dict[str, Version]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert all(LINE.match(line) for line in lines), "names, versions and markers only: no addresses"
    return {LINE.match(line)[1]: Version(LINE.match(line)[2]) for line in lines}


def test_the_lock_file_has_a_version_in_range_for_every_requirement(project, locked):
    extras = project["optional-dependencies"].values()
    for text in [*project["dependencies"], *(text for extra in extras for text in extra)]:
        need = Requirement(text)
        assert locked[canonicalize_name(need.name)] in need.specifier, text


def test_the_doctor_knows_the_extras(project):
    extras = {
        name: {Requirement(text).name for text in needs} for name, needs in project["optional-dependencies"].items()
    }
    for_users = {name: needs for name, needs in extras.items() if name not in ("dev", "docs")}
    assert {name: set(packages) for name, packages in EXTRAS.items()} == for_users
    torch = next(need for need in map(Requirement, project["dependencies"]) if need.name == "torch")
    oldest = ".".join(map(str, OLDEST_TORCH))
    assert oldest in torch.specifier and f">={oldest}" == str(torch.specifier)
