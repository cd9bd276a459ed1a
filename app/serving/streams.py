"""What goes on from an input, part by part, each computed when the part before it has gone out."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

from app.serving.protocol import Request, pack
from palora_core.errors import UserError

MOST_STREAMS = 16  # at once: each keeps what its network has read so far


class Streams:
    """Counts those that are at work on one server.

    Args:
        most: at once.
    """

    def __init__(self, most: int = MOST_STREAMS) -> None:
        self.most = most
        self._running: set[Stream] = set()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._running)

    def enter(self, stream: Stream) -> None:
        """Count one more; nothing happens if it is counted.

        Raises:
            UserError: there are as many as may be.
        """
        with self._lock:
            if stream not in self._running and len(self._running) >= self.most:
                raise UserError(f"{self.most} texts are being written on this server already; try again in a moment.")
            self._running.add(stream)

    def leave(self, stream: Stream) -> None:
        """It is over."""
        with self._lock:
            self._running.discard(stream)


class Stream:
    """One request for what goes on from an input.

    Attributes:
        request: the request.
        begun: whether something of it is to be seen: until then somebody waits for it, as for a prediction.
        done: whether the last part has been computed.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.begun = self.done = False
        self.parts: Iterator[Mapping[str, Any] | None] | None = None  # None until it has begun

    def advance(self) -> bytes:
        """Compute the next part; its frame, b"" where there is nothing to be seen of it yet."""
        assert self.parts is not None
        try:
            part = next(self.parts)
        except StopIteration:
            part, self.done = {}, True
        except BaseException:
            self.done = True
            raise
        if part is None:
            return b""
        self.begun = True
        told = {"type": "stream", "seq": self.request.seq, "preference": list(self.request.preference)}
        return pack({**told, "done": self.done, **part})

    def end(self) -> None:
        """Let go of all that was kept for the next part."""
        self.done, self.parts = True, None
