"""The routes of a service, on starlette; one thread computes, and what is too much is refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from palora_core.errors import quoted
from palora_core.serving.http import described
from palora_core.serving.http.limits import Refused
from palora_core.serving.http.metrics import Metrics
from palora_core.serving.http.service import Service

LOOPBACK = ("localhost", "127.0.0.1", "[::1]", "::1")
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


def application(service: Service, hosts: Sequence[str] = ()) -> Starlette:
    """The service as an ASGI application.

    Args:
        service: what answers.
        hosts: names besides this machine's own that requests may be for; "*" for any.
    """
    return _Server(service, {*LOOPBACK, *hosts}).application()


class _Server:
    """A service with its thread and its counts."""

    def __init__(self, service: Service, hosts: set[str]) -> None:
        self.service, self.hosts, self.metrics = service, hosts, Metrics()
        self._thread = ThreadPoolExecutor(1, "predictions")

    def application(self) -> Starlette:
        """Routes and errors, each of them a sentence in JSON."""
        service = self.service

        async def failed(_: Request, error: Exception) -> Response:
            status = getattr(error, "status_code", 500)
            sentence = ODD.get(status, "Something went wrong in the server; its log says what.")
            return JSONResponse({"error": sentence}, status, headers=getattr(error, "headers", None))

        async def home(_: Request) -> Response:
            return HTMLResponse(described.page(service))

        async def openapi(_: Request) -> Response:
            return JSONResponse(described.openapi(service))

        async def model(_: Request) -> Response:
            return JSONResponse(described.model_told(service))

        async def health(_: Request) -> Response:
            return JSONResponse({"status": "ok", "model": service.title})

        async def metrics(_: Request) -> Response:
            return PlainTextResponse(self.metrics.text(), media_type=PROMETHEUS)

        pages = {"/": home, "/openapi.json": openapi, "/model": model, "/health": health, "/metrics": metrics}
        routes = [Route(path, self._guarded(page), methods=["GET"]) for path, page in pages.items()]
        routes.append(Route("/predict", self._guarded(self._predict), methods=["POST"]))
        return Starlette(routes=routes, exception_handlers={HTTPException: failed, Exception: failed})

    def _guarded(self, answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """Refuse what is meant for another name: a page of somebody else's whose name points to this machine."""

        async def guarded(request: Request) -> Response:
            name = request.headers.get("host", "")
            host = name if name.endswith("]") else name.rpartition(":")[0] or name
            if "*" in self.hosts or host in self.hosts:
                return await answer(request)
            sentence = f"This server was asked for as {quoted(host)}, which is none of its names; --host adds one."
            return JSONResponse({"error": sentence}, 403)

        return guarded

    async def _predict(self, request: Request) -> Response:
        start, items = time.monotonic(), 0
        try:
            body = await self._body(request)
            data, items = await self._computed(body)
            response: Response = Response(data, media_type="application/json")
        except Refused as error:
            headers = {"Retry-After": "1"} if error.status == 503 else None
            response = JSONResponse({"error": str(error)}, error.status, headers)
        except ClientDisconnect:
            response = Response(status_code=400)  # nobody reads it
        self.metrics.answered(response.status_code, time.monotonic() - start, items)
        return response

    async def _body(self, request: Request) -> bytes:
        """The body, as long as it is neither too large nor too slow."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Refused("The request is not declared as JSON; send the header content-type: application/json.", 415)
        limits = self.service.limits
        most = int(limits.body_mb * 1e6)
        too_large = Refused(f"The request has more than {limits.body_mb:g} MB; send fewer items at a time.", 413)
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared[:18]) > most:
            raise too_large
        parts, size = [], 0
        try:
            with anyio.fail_after(limits.seconds):
                async for part in request.stream():
                    parts.append(part)
                    size += len(part)
                    if size > most:
                        raise too_large
        except TimeoutError:
            raise Refused(f"The request did not arrive within {limits.seconds:g} seconds.", 408) from None
        return b"".join(parts)

    async def _computed(self, body: bytes) -> tuple[bytes, int]:
        """The answer, from the one thread that computes; whoever comes when the line is full goes away at once."""
        limits = self.service.limits
        if self.metrics.waiting >= limits.waiting:
            raise Refused(f"{limits.waiting} requests are in work already; try again in a moment.", 503)
        self.metrics.waiting += 1
        work = self._thread.submit(self.service.answer, body)
        work.add_done_callback(self._left(asyncio.get_running_loop()))
        try:
            with anyio.fail_after(limits.seconds):
                return await asyncio.wrap_future(work)
        except TimeoutError:  # what has begun goes on, and counts until it ends; what has not is never begun
            raise Refused(
                f"No answer within {limits.seconds:g} seconds; send fewer items, or try again.", 503
            ) from None

    def _left(self, loop: asyncio.AbstractEventLoop) -> Callable[[object], None]:
        def left(_: object) -> None:
            with suppress(RuntimeError):  # the server has ended meanwhile
                loop.call_soon_threadsafe(self._one_less)

        return left

    def _one_less(self) -> None:
        self.metrics.waiting -= 1


ODD = {
    404: "There is nothing here; the service's own page, /, lists what there is.",
    405: "This address takes another method: POST for /predict, GET for the others.",
}
