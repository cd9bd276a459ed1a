"""The WebSocket behind the pad: checks who asks and what, keeps one request of a session at work, drops stale ones."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections import deque
from urllib.parse import urlparse

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from app.services import services
from app.serving.inference import Inference
from app.serving.protocol import MAX_MESSAGE, Request, parse, sequence_number
from app.serving.worker import Dropped
from app.settings import allowed_origins
from palora_core.errors import UserError

MAX_SESSIONS = 64
# Scenes and galleries that may wait; a client asks for one of each per change of image.
MAX_WAITING = 8

_log = logging.getLogger(__name__)
_open: set[str] = set()


async def live_socket(socket: WebSocket) -> None:
    """The route ``/palora/ws``."""
    if not _is_own_page(socket):
        await socket.close(4403, "foreign origin")
        return
    if len(_open) >= MAX_SESSIONS:
        await socket.close(1013, "too many sessions")
        return
    session = secrets.token_hex(8)
    _open.add(session)
    await socket.accept()
    conversation = Conversation(socket, session, services().inference)
    try:
        await conversation.run()
    except (WebSocketDisconnect, RuntimeError):
        # Starlette raises RuntimeError when a browser leaves between two sends.
        pass
    finally:
        _open.discard(session)


class Conversation:
    """One open socket.

    Predictions have one place to wait in: a newer λ takes the place of an older one, which is answered as dropped.
    """

    def __init__(self, socket: WebSocket, session: str, inference: Inference) -> None:
        self.socket = socket
        self.session = session
        self.inference = inference
        self.waiting: deque[Request] = deque()
        self.latest: Request | None = None
        self._arrived = asyncio.Event()

    async def run(self) -> None:
        """Read until the browser leaves."""
        answering = asyncio.create_task(self._answer_all())
        try:
            while not answering.done():
                message = await self.socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                text = message.get("text")
                if text is None:
                    await self._error("Messages must be text (JSON).", None)
                elif len(text) > MAX_MESSAGE:
                    await self.socket.close(1009, "message too large")
                    return
                else:
                    await self._take(text)
        finally:
            self.inference.forget(self.session)
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)

    async def _take(self, text: str) -> None:
        try:
            request = parse(text)
        except UserError as error:
            await self._error(str(error), sequence_number(text))
            return
        if request.type == "predict":
            if self.latest is not None:
                await self._send_json({"type": "dropped", "seq": self.latest.seq})
            self.latest = request
        elif len(self.waiting) < MAX_WAITING:
            self.waiting.append(request)
        else:
            await self._error("Too many requests at once; wait for the answers.", request.seq)
        self._arrived.set()

    async def _answer_all(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self.waiting or self.latest:
                if self.waiting:
                    request = self.waiting.popleft()
                else:
                    assert self.latest is not None
                    request, self.latest = self.latest, None
                await self._answer(request)

    async def _answer(self, request: Request) -> None:
        try:
            frame = self.inference.cached(self.session, request)
            if frame is None:
                frame = await asyncio.wrap_future(self.inference.submit(self.session, request))
            await self.socket.send_bytes(frame)
        except Dropped:
            await self._send_json({"type": "dropped", "seq": request.seq})
        except UserError as error:
            await self._error(str(error), request.seq)
        except (WebSocketDisconnect, RuntimeError, asyncio.CancelledError):
            raise
        except Exception:
            _log.exception("a request of the live socket failed")
            await self._error("The server could not compute this; its log says why.", request.seq)

    async def _error(self, sentence: str, seq: int | None) -> None:
        await self._send_json({"type": "error", "error": sentence, "seq": seq})

    async def _send_json(self, data: dict[str, object]) -> None:
        if self.socket.application_state is WebSocketState.CONNECTED:
            await self.socket.send_text(json.dumps(data))


def _is_own_page(socket: WebSocket) -> bool:
    """Whether the page that opens the socket came from this server: browsers let any page open a socket anywhere."""
    origin = socket.headers.get("origin")
    if origin is None:
        return True
    host = urlparse(origin).netloc
    return host == socket.headers.get("host") or host in allowed_origins()
