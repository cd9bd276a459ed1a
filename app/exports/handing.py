"""Files too large for a page's memory: kept on disk for a while, and handed out by an unguessable address."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from pathlib import Path
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response

LIFETIME = 1800.0  # seconds
MOST_BYTES = 3 * 2**30  # in all


class Handing:
    """Files by token, in a folder that ends with the process.

    Args:
        lifetime: seconds that a file is kept.
        capacity: bytes in all; the oldest make room.
    """

    def __init__(self, lifetime: float = LIFETIME, capacity: int = MOST_BYTES) -> None:
        self.lifetime, self.capacity = lifetime, capacity
        self._files: OrderedDict[str, tuple[Path, float]] = OrderedDict()
        self._lock = threading.Lock()
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def put(self, path: Path, name: str) -> str:
        """Take a file over; its address, relative to the pages."""
        token = secrets.token_urlsafe(16)
        with self._lock:
            self._folder = self._folder or tempfile.TemporaryDirectory(prefix="palora-files-")
            kept = Path(self._folder.name) / token
            shutil.move(path, kept)
            self._files[token] = (kept, time.monotonic())
            self._expire()
        return f"palora/files/{token}/{quote(name)}"

    def get(self, token: str) -> Path | None:
        """The file of a token; None once it has gone."""
        with self._lock:
            self._expire()
            found = self._files.get(token)
        return found[0] if found else None

    def _expire(self) -> None:
        limit, used = time.monotonic() - self.lifetime, sum(path.stat().st_size for path, _ in self._files.values())
        for token, (path, since) in list(self._files.items())[:-1]:
            if since >= limit and used <= self.capacity:
                break
            used -= path.stat().st_size
            path.unlink()
            del self._files[token]


handing = Handing()


async def handed(request: Request) -> Response:
    """The route ``/palora/files/<token>/<name>``."""
    path = handing.get(request.path_params["token"])
    if path is None:
        return PlainTextResponse("This file is no longer kept; make it again.", 404)
    return FileResponse(path, media_type="application/octet-stream", filename=request.path_params["name"])
