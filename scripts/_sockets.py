"""The server's own share of a drag: sessions that ask over plain WebSockets, without a browser that paints.

Eight browsers on two cores mostly measure eight browsers. Here each session is a coroutine that asks as a page does: a
new λ at a mouse's rate, one question in flight, the newest λ next.
"""

from __future__ import annotations

import asyncio
import json
import math
import struct
import time

PERIOD = 1 / 30  # seconds between two positions of the pointer


def measure_sockets(
    address: str, model: str, num_tasks: int, sessions: int, seconds: float, exact: bool, images: int = 1
) -> list[list[float]]:
    """Milliseconds from a pointer's position to the received frame, one list per session.

    Args:
        address: ``http://host:port`` of a running dashboard.
        model: model id.
        num_tasks: T of that model.
        sessions: how many ask at once.
        seconds: how long.
        exact: ask for the very λ, so that nothing computed ahead can answer; otherwise for the grid's.
        images: the sessions share this many samples.
    """

    async def all_sessions() -> list[list[float]]:
        return await asyncio.gather(
            *(_session(address, model, num_tasks, s, seconds, exact, f"sample-{s % images}") for s in range(sessions))
        )

    return asyncio.run(all_sessions())


async def _session(
    address: str, model: str, num_tasks: int, number: int, seconds: float, exact: bool, image: str
) -> list[float]:
    from websockets.asyncio.client import connect

    latencies: list[float] = []
    async with connect(address.replace("http", "ws", 1) + "/palora/ws", max_size=None) as socket:
        began = time.perf_counter()
        moved = began + PERIOD * number / 8
        while (now := time.perf_counter()) - began < seconds:
            if now < moved:
                await asyncio.sleep(moved - now)
            moved += PERIOD * math.floor(max(0.0, time.perf_counter() - moved) / PERIOD)  # older positions are passed
            preference = [round(value, 6) for value in _position(moved - began + number, num_tasks)]
            message = {"type": "predict", "seq": len(latencies) + 1, "model": model, "image": image}
            await socket.send(json.dumps({**message, "preference": preference, "exact": exact}))
            header = _header(await socket.recv())
            far = max(abs(a - b) for a, b in zip(header["preference"], preference))
            if header["seq"] != message["seq"] or far > (1e-3 if exact else 0.06):
                raise RuntimeError(f"session {number} asked for λ {preference} and got {header['preference']}")
            latencies.append(1000 * (time.perf_counter() - moved))
            moved += PERIOD
    return latencies


def _position(at: float, num_tasks: int) -> list[float]:
    """A path over the simplex that meets new λ's all the time."""
    raw = [1.02 + math.sin(1.1 * at * (1 + 0.13 * t) + 6.28 * t / num_tasks) for t in range(num_tasks)]
    return [value / sum(raw) for value in raw]


def _header(frame: bytes | str) -> dict:
    if isinstance(frame, str):
        raise RuntimeError(f"the server answered {frame[:200]}")
    (length,) = struct.unpack_from("<I", frame)
    return json.loads(frame[4 : 4 + length])
