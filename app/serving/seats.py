"""Places for open sockets: a newcomer finds one as long as somebody sits idle or somebody else holds too many."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter

MAX_SEATS = 64
# Seconds without a request after which a socket counts as idle; within a drag requests follow each other much faster.
PATIENCE = 2.0


class Seat:
    """One open socket, in the event loop's thread.

    Attributes:
        peer: address it came from.
        session: unguessable name of its conversation.
        taken: set when somebody else was given the place.
    """

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.session = secrets.token_hex(8)
        self.taken = asyncio.Event()
        self._since = time.monotonic()
        self._used: float | None = None

    def use(self) -> None:
        """A request has come."""
        self._used = time.monotonic()

    @property
    def is_idle(self) -> bool:
        """Whether it never asked for anything, or not for a while."""
        return self._used is None or time.monotonic() - self._used > PATIENCE

    @property
    def order(self) -> tuple[bool, float]:
        """Those that never asked give way first, then those that have been silent for longest."""
        return (False, self._since) if self._used is None else (True, self._used)


class Seats:
    """All places of a server.

    When they are taken, a newcomer gets one from a peer that holds at least two more than the newcomer's own, however
    busy it is; otherwise that of an idle socket of a peer with no fewer than its own.
    """

    def __init__(self, capacity: int = MAX_SEATS) -> None:
        self.capacity = capacity
        self._seats: list[Seat] = []

    def __len__(self) -> int:
        return len(self._seats)

    def take(self, peer: str) -> Seat | None:
        """A place for a socket of ``peer``, or None where all are in use; who had it finds ``taken`` set."""
        if len(self._seats) >= self.capacity:
            leaving = self._leaving(peer)
            if leaving is None:
                return None
            self.leave(leaving)
            leaving.taken.set()
        seat = Seat(peer)
        self._seats.append(seat)
        return seat

    def leave(self, seat: Seat) -> None:
        """Give a place back; nothing happens where it was taken already."""
        if seat in self._seats:
            self._seats.remove(seat)

    def _leaving(self, peer: str) -> Seat | None:
        held = Counter(seat.peer for seat in self._seats)
        most = max(held.values())
        if most >= held[peer] + 2:
            candidates = [seat for seat in self._seats if held[seat.peer] == most]
        else:
            candidates = [seat for seat in self._seats if seat.is_idle and held[seat.peer] >= held[peer]]
        return min(candidates, key=lambda seat: seat.order, default=None)
