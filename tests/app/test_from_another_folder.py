"""The dashboard of a checkout, opened from any folder, has its settings: loopback only, own theme, no error details."""

import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.app.servers import listens_on_loopback_only, running

pytest.importorskip("streamlit")
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the kernel's table of sockets is Linux's")
def test_it_listens_on_the_loopback_only(tmp_path):
    def command(port: str) -> list[str]:
        return [sys.executable, "-m", "palora_core", "app", "--port", port, "--runs", str(tmp_path / "runs")]

    with running(command, tmp_path / "log.txt", tmp_path, PYTHONPATH=str(ROOT)) as (address, _):
        assert listens_on_loopback_only(int(address.rpartition(":")[2]))
        request = urllib.request.Request(address, headers={"Host": "evil.example"})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request, timeout=10)
    assert "Network URL" not in (tmp_path / "log.txt").read_text()
