"""The live socket under messages of every kind: one answer to each, its own; sentences, never a traceback."""

import asyncio
import json
import math
from pathlib import Path

import numpy as np
import pytest

from app.serving.inference import CACHE_BYTES
from app.serving.protocol import LIMIT, MAX_MESSAGE, MAX_TASKS, Request, parse, sequence_number, unpack
from palora_core.errors import UserError
from tests.app.messages import SENTENCE, malformed


def outcome(text: str) -> tuple[Request | None, str]:
    try:
        return parse(text), ""
    except UserError as error:
        return None, str(error)


@pytest.mark.parametrize("seed", range(4))
def test_parsing_is_total(seed):
    read = 0
    for seq, text in malformed(seed, 2000):
        number = sequence_number(text)
        assert number is None or 0 <= number < 2**53
        request, sentence = outcome(text)
        assert len(sentence) <= SENTENCE and "\n" not in sentence
        if request is None:
            continue
        read += 1
        assert isinstance(request, Request) and (request.seq == seq or f'"seq": {seq},' not in text)
        assert all(math.isfinite(v) and abs(v) <= LIMIT and type(v) is float for v in request.preference)
        assert len(request.preference) <= MAX_TASKS and all(request.images)
    assert 400 < read < 1800, "sound and unsound ones"


@pytest.mark.parametrize("number", ["9" * 400, "-" + "9" * 400, "9" * 4300, "0." + "9" * 5000, "1e308"])
def test_numbers_of_any_length_are_clamped(number):
    text = f'{{"type": "predict", "seq": 1, "model": "m", "image": "i", "preference": [{number}, 0]}}'
    assert parse(text).preference in ((LIMIT, 0.0), (-LIMIT, 0.0), (1.0, 0.0))


@pytest.mark.parametrize(
    "number", ["9" * 5000, "1e999", "-1e999", "NaN", "Infinity", "true", "null", "[1]", '"1"', "{}"]
)
def test_what_is_no_number_is_refused(number):
    text = f'{{"type": "predict", "seq": 1, "model": "m", "image": "i", "preference": [{number}, 0]}}'
    with pytest.raises(UserError, match="JSON" if len(number) == 5000 else "finite numbers only"):
        parse(text)


def test_two_at_once_on_a_real_server(server, server_log):
    """Sent without waiting for answers: predictions may be dropped, and everything else comes to who asked."""
    connect = pytest.importorskip("websockets.sync.client").connect
    address = server.replace("http", "ws") + "/palora/ws"
    with connect(address, open_timeout=120, max_size=None) as first, connect(address, open_timeout=120) as second:
        talks = [(socket, list(malformed(seed, 150))) for socket, seed in ((first, 21), (second, 22))]
        for start in range(0, 150, 5):
            for socket, messages in talks:
                asked = {}
                for seq, text in messages[start : start + 5]:
                    if len(text) <= MAX_MESSAGE:
                        socket.send(text)
                        asked[seq] = text
                answers = [socket.recv(timeout=120) for _ in asked]
                numbers = sorted(str(sequence_number(text)) for text in asked.values())
                heads = [json.loads(a) if isinstance(a, str) else unpack(a)[0] for a in answers]
                found = [str(head["seq"]) for head in heads if head["seq"] != 0 or "0" in numbers]
                missing = [number for number in numbers if number not in found]
                assert len(heads) == len(asked) and not set(found) - set(numbers) and len(missing) <= 2, (
                    found,
                    numbers,
                )
        for number, (socket, _) in enumerate(talks):
            ask = {
                "type": "predict",
                "seq": 999,
                "model": "two",
                "image": "sample-1",
                "preference": [number, 1 - number],
            }
            socket.send(json.dumps(ask))
            head = unpack(socket.recv(timeout=120))[0]
            assert head["seq"] == 999 and head["preference"] == [float(number), float(1 - number)]
    assert "Traceback" not in server_log.read_text()


def test_idle_sockets_do_not_lock_others_out(server):
    connect = pytest.importorskip("websockets.sync.client").connect
    address = server.replace("http", "ws") + "/palora/ws"
    idle = []
    try:
        for _ in range(70):
            idle.append(connect(address, open_timeout=120))
        with connect(address, open_timeout=120) as socket:
            ask = {"type": "predict", "seq": 7, "model": "two", "image": "sample-0", "preference": [0.5, 0.5]}
            socket.send(json.dumps(ask))
            assert unpack(socket.recv(timeout=120))[0]["seq"] == 7
            with pytest.raises(Exception, match="idle"):
                idle[0].recv(timeout=120)
    finally:
        for socket in idle:
            socket.close()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_memory_stays_bounded_on_a_real_server(served, server_log):
    """20,000 predictions at λ's off the simplex whose names of errors are made up, mixed with junk."""
    address, process = served
    asyncio.run(_flood(address.replace("http", "ws") + "/palora/ws", 50))
    before = _resident(process.pid)
    asyncio.run(_flood(address.replace("http", "ws") + "/palora/ws", 5000))
    grown = _resident(process.pid) - before
    assert grown <= CACHE_BYTES + 128 * 2**20, f"{grown / 2**20:.0f} MB"
    assert _resident(process.pid) <= 1.5e9 and "Traceback" not in server_log.read_text()


async def _flood(address: str, each: int) -> None:
    connect = pytest.importorskip("websockets.asyncio.client").connect

    async def one(seed: int) -> None:
        rng = np.random.default_rng([seed, each])
        async with connect(address, open_timeout=120, max_size=None) as socket:
            for seq, junk in malformed(seed, each):
                names = [f"{seed}_{seq}_{i}" + "e" * 150 for i in range(80)]
                ask = {"type": "predict", "seq": seq, "model": "two", "image": "sample-0", "exact": True}
                text = json.dumps({**ask, "preference": rng.uniform(-2, 2, 2).tolist(), "errors": names})
                await socket.send(text if rng.uniform() < 0.7 or len(junk) > MAX_MESSAGE else junk)
                await socket.recv()

    await asyncio.gather(*map(one, range(4)))


def _resident(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS"))
