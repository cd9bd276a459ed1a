"""Places for sockets: idle ones give way, and nobody holds so many that others have none."""

import itertools

import numpy as np
import pytest

from app.serving import seats
from app.serving.seats import PATIENCE, Seats


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only when a test says so."""
    now = itertools.count()
    passed = [0.0]
    monkeypatch.setattr(seats.time, "monotonic", lambda: passed[0] + 1e-6 * next(now))
    return passed


def full(peer="a", count=4):
    table = Seats(count)
    return table, [table.take(peer) for _ in range(count)]


def test_a_socket_that_never_asked_gives_way_at_once(clock):
    table, held = full()
    for seat in (held[0], held[2]):
        seat.use()
    newcomer = table.take("a")
    assert newcomer is not None and held[1].taken.is_set() and len(table) == 4
    assert not any(seat.taken.is_set() for seat in (held[0], held[2], held[3]))


def test_among_those_that_asked_the_longest_silent_one_gives_way(clock):
    table, held = full()
    for seat in (held[2], held[0], held[1], held[3]):
        seat.use()
    assert table.take("a") is None, "all are in the middle of something"
    clock[0] += PATIENCE + 1
    held[2].use()
    assert table.take("a") is not None and held[0].taken.is_set() and len(table) == 4


def test_somebody_who_holds_many_gives_way_even_when_busy(clock):
    table, held = full("flood")
    for seat in held:
        seat.use()
    for place, guest in enumerate("bcd"):
        seat = table.take(guest)
        assert seat is not None and held[place].taken.is_set()
        seat.use()
    assert table.take("e") is None and table.take("flood") is None, "one each: nobody holds two more than another"


def test_a_flood_cannot_take_the_places_of_others(clock):
    table, _ = full("flood", 8)
    guests = [table.take(f"guest {i}") for i in range(4)]
    for _ in range(200):
        clock[0] += 10 * PATIENCE  # even of those that say nothing
        assert table.take("flood") is not None
    assert not any(seat.taken.is_set() for seat in guests) and len(table) == 8


def test_places_are_given_back_once():
    table, held = full()
    assert table.take("a") is not None
    table.leave(held[0])  # was taken already: nobody else's place is freed
    assert len(table) == 4
    table.leave(held[1])
    table.leave(held[1])
    assert len(table) == 3


@pytest.mark.parametrize("seed", range(5))
def test_any_order_of_coming_and_going(seed, clock):
    """Never more than there are; a peer that is turned away faces busy sockets of peers with no more than one above."""
    rng, table, here = np.random.default_rng(seed), Seats(12), []
    for _ in range(3000):
        clock[0] += rng.exponential(0.3)
        peer = "abc"[rng.choice(3, p=[0.8, 0.15, 0.05])]
        here = [seat for seat in here if not seat.taken.is_set()]
        if rng.uniform() < 0.3 and here:
            table.leave(here.pop(rng.integers(len(here))))
        elif rng.uniform() < 0.5 and here:
            here[rng.integers(len(here))].use()
        seat = table.take(peer)
        if seat is None:
            held = [sum(other.peer == name for other in here) for name in "abc"]
            assert len(here) == 12 and max(held) <= held["abc".index(peer)] + 1
        else:
            here.append(seat)
        assert len(table) == len([seat for seat in here if not seat.taken.is_set()]) <= 12
