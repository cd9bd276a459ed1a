"""The WebSocket behind the pad: checks what is asked, keeps one request of a session at work, drops stale ones."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import deque
from collections.abc import AsyncIterator

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from app.services import services
from app.serving.inference import Inference
from app.serving.protocol import MAX_MESSAGE, Request, parse, sequence_number
from app.serving.seats import Seat, Seats
from app.serving.streams import Stream
from app.serving.worker import Dropped
from palora_core.errors import UserError

# Scenes and galleries that may wait; a client asks for one of each per change of image.
MAX_WAITING = 8
FULL = 1013
TOO_LARGE = 1009
# The client's code for a place that was given to somebody else: it comes back when it has something to ask.
GAVE_WAY = 4408
GOODBYE = 5.0  # seconds to say it; a browser that reads nothing is left without

_log = logging.getLogger(__name__)
_seats = Seats()


async def live_socket(socket: WebSocket) -> None:
    """The route ``/palora/ws``; whose pages may open it is the gate's business."""
    seat = _seats.take(socket.client.host if socket.client else "")
    if seat is None:
        await socket.close(FULL, "too many sessions")
        return
    try:
        await socket.accept()
        await Conversation(socket, seat, services().inference).run()
    finally:
        _seats.leave(seat)


class Conversation:
    """One open socket.

    Predictions have one place to wait in: a newer λ takes the place of an older one, which is answered as dropped. One
    stream runs beside them; its next part is asked for when the part before it has gone out.
    """

    def __init__(self, socket: WebSocket, seat: Seat, inference: Inference) -> None:
        self.socket = socket
        self.seat = seat
        self.session = seat.session
        self.inference = inference
        self.waiting: deque[Request] = deque()
        self.latest: Request | None = None
        self.streaming: tuple[Request, asyncio.Task[None]] | None = None
        self._arrived = asyncio.Event()

    async def run(self) -> None:
        """Talk until the browser leaves, says too much, or its place is given away."""
        parts = [asyncio.create_task(part) for part in (self._read_all(), self._answer_all(), self.seat.taken.wait())]
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.inference.forget(self.session)
            parts += [self.streaming[1]] if self.streaming else []
            for part in parts:
                part.cancel()
            await asyncio.wait(parts)
        for part in parts:
            error = None if part.cancelled() else part.exception()
            # Starlette raises RuntimeError when a browser leaves between two sends.
            if error and not isinstance(error, WebSocketDisconnect | RuntimeError):
                raise error
        if self.seat.taken.is_set():
            with contextlib.suppress(asyncio.TimeoutError, WebSocketDisconnect, RuntimeError):
                await asyncio.wait_for(self.socket.close(GAVE_WAY, "idle"), GOODBYE)

    async def _read_all(self) -> None:
        while True:
            message = await self.socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            if text is None:
                await self._error("Messages must be text (JSON).", None)
            elif len(text) > MAX_MESSAGE:
                await self.socket.close(TOO_LARGE, "message too large")
                return
            else:
                await self._take(text)

    async def _take(self, text: str) -> None:
        try:
            request = parse(text)
        except UserError as error:
            await self._error(str(error), sequence_number(text))
            return
        self.seat.use()
        if request.type in ("stream", "stop"):
            await self._stop_streaming()
            if request.type == "stream":
                self.streaming = request, asyncio.create_task(self._stream(request))
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
        async with self._telling(request):
            frame = self.inference.cached(self.session, request)
            if frame is None:
                frame = await asyncio.wrap_future(self.inference.submit(self.session, request))
            await self.socket.send_bytes(frame)

    async def _stream(self, request: Request) -> None:
        stream = Stream(request)
        try:
            async with self._telling(request):
                while not stream.done:
                    frame = await asyncio.wrap_future(self.inference.advance(self.session, stream))
                    self.seat.use()
                    if frame:
                        await self.socket.send_bytes(frame)
        finally:
            self.inference.finish(stream)

    async def _stop_streaming(self) -> None:
        """End the stream that runs, if one does, and say so."""
        if self.streaming is None:
            return
        (request, task), self.streaming = self.streaming, None
        if task.done():
            return
        task.cancel()
        await asyncio.wait([task])
        await self._send_json({"type": "dropped", "seq": request.seq})

    @contextlib.asynccontextmanager
    async def _telling(self, request: Request) -> AsyncIterator[None]:
        """Tell the browser in one sentence what goes wrong in a block."""
        try:
            yield
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
