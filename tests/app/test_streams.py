"""Texts that go on: part by part, fairly, and nothing is left running when a drag, a stop or a leave ends them."""

from __future__ import annotations

import json
import time
from itertools import pairwise

import pytest
import torch

from app.serving.protocol import Request, parse, unpack
from app.serving.streams import Stream, Streams
from palora_core.errors import UserError
from palora_core.serving.generation import Reading, Sampling, continuation
from tests.app.servers import SOCKET

LAMBDA = (0.2, 0.3, 0.5)


@pytest.fixture
def socket(client, languages):
    with client.websocket_connect(SOCKET) as socket:
        yield socket


def message(kind="stream", seq=1, model="tiny", **changes) -> str:
    told = {"type": kind, "seq": seq, "model": model, "image": "sample-0", "preference": list(LAMBDA), **changes}
    return json.dumps(told)


def frames(socket, seq) -> list[dict]:
    """The answers up to the last one of a stream."""
    found = []
    while not found or not (found[-1]["seq"] == seq and (found[-1].get("done") or found[-1]["type"] != "stream")):
        event = socket.receive()
        found.append(unpack(event["bytes"])[0] if event.get("bytes") else json.loads(event["text"]))
    return found


def text_of(parts) -> str:
    return [part["text"] for part in parts if "text" in part][-1]


def test_a_text_goes_on_word_by_word_and_ends(socket, languages):
    socket.send_text(message(seed=3))
    parts = frames(socket, 1)
    texts = [part["text"] for part in parts if "text" in part]
    assert len(texts) > 20 and parts[-1]["done"] and parts[-1]["preference"] == list(LAMBDA)
    assert all(after.startswith(before) for before, after in pairwise(texts))
    assert not languages.inference.streams, "what it kept is let go"
    socket.send_text(message(seq=2, seed=3))
    socket.send_text(message("predict", seq=3, exact=True))
    again = frames(socket, 2)
    assert text_of(again) == texts[-1], "one seed, one text"
    assert any(part["type"] == "prediction" for part in again), "and drags are answered meanwhile"


def test_what_stands_is_told_with_what_every_corner_finds_of_it(socket, languages):
    socket.send_text(message(seed=3))
    parts = frames(socket, 1)
    (liked,) = [part["liked"] for part in parts if "liked" in part]
    assert "".join(piece for piece, _, _ in liked) == text_of(parts)
    loaded = languages.registry.get("tiny")
    before = loaded.going.excerpt(loaded.samples.batch(torch.tensor([0]))[0])["input_ids"][0].tolist()
    reading = Reading(loaded.model, torch.tensor(LAMBDA), loaded.tasks[0].prediction_of)
    drawn = list(continuation(reading, before, 60, Sampling(seed=3)))
    tokens = torch.tensor([before + drawn])
    assert len(drawn) == len(liked)
    for place, point in enumerate([LAMBDA, *torch.eye(3).tolist()]):
        with torch.no_grad():
            logs = loaded.model(tokens, torch.tensor(point)).logits[0].log_softmax(-1)
        expected = logs[:-1].gather(1, tokens[0, 1:, None])[len(before) - 1 :, 0]
        found = [log if place == 0 else ends[place - 1] for _, log, ends in liked]
        assert found == pytest.approx(expected.tolist(), abs=2e-3)


def test_a_newer_one_or_a_stop_ends_it_and_says_so(socket, languages):
    socket.send_text(message(seq=1))
    socket.send_text(message(seq=2, preference=[1, 0, 0]))
    parts = frames(socket, 2)
    assert {"type": "dropped", "seq": 1} in parts and parts[-1]["done"]
    assert all(part["seq"] == 2 for part in parts[parts.index({"type": "dropped", "seq": 1}) + 1 :])
    socket.send_text(message(seq=3))
    assert unpack(socket.receive_bytes())[0]["seq"] == 3
    socket.send_text(json.dumps({"type": "stop", "seq": 4}))
    assert frames(socket, 3)[-1] == {"type": "dropped", "seq": 3} and not languages.inference.streams


def test_nothing_is_left_running_when_a_browser_leaves(client, languages):
    with client.websocket_connect(SOCKET) as socket:
        socket.send_text(message())
        socket.receive_bytes()
    inference = languages.inference
    deadline = time.monotonic() + 20
    while (inference.streams or inference._worker._waits()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not inference.streams and not inference._worker._waits() and not inference._sessions


def test_its_beginning_waits_for_nobody_who_drags_and_the_rest_does(languages, monkeypatch):
    asked, submit = [], languages.inference._worker.submit
    monkeypatch.setattr(
        languages.inference._worker, "submit", lambda *args, patient: asked.append(patient) or submit(*args, patient)
    )
    stream = Stream(request())
    while not stream.begun:
        languages.inference.advance("s", stream).result(30)
    languages.inference.advance("s", stream).result(30)
    languages.inference.finish(stream)
    assert asked[-1] and not any(asked[:-1])


def test_streams_take_turns(languages):
    order, streams = [], {name: Stream(request(seed=seed)) for seed, name in enumerate("ab")}
    while not all(stream.done for stream in streams.values()):
        waiting = [
            (name, languages.inference.advance(name, stream)) for name, stream in streams.items() if not stream.done
        ]
        for name, future in waiting:
            order.append(name) if future.result(30) else None
    assert len(order) > 40 and order[:20] == list("ab" * 10)


def test_many_at_once_are_refused_in_a_sentence():
    streams = Streams(2)
    kept = [Stream(request()) for _ in range(3)]
    streams.enter(kept[0])
    streams.enter(kept[1])
    streams.enter(kept[1])
    with pytest.raises(UserError, match=r"2 texts are being written"):
        streams.enter(kept[2])
    streams.leave(kept[0])
    streams.enter(kept[2])
    assert len(streams) == 2


def request(**changes) -> Request:
    return Request("stream", 1, "tiny", ("sample-0",), LAMBDA, exact=True, **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": -1}, "seed must be a whole number"),
        ({"seed": "x"}, "seed must be a whole number"),
        ({"seed": 2**40}, "seed must be a whole number"),
        ({"preference": [1, 0]}, "2 numbers"),
        ({"image": "sample-9"}, "no such sample"),
        ({"model": "digits", "preference": [1, 0]}, "Nothing goes on from the inputs of this model"),
        ({"model": "none"}, "choose one"),
    ],
)
def test_what_cannot_go_on_is_a_sentence(socket, languages, changes, words):
    socket.send_text(message(**changes))
    answer = json.loads(socket.receive_text())
    assert answer["type"] == "error" and words in answer["error"] and not languages.inference.streams


def test_off_the_simplex_it_writes(socket):
    socket.send_text(message(seq=1, preference=[1, -1, 0]))
    assert text_of(frames(socket, 1))


def test_probabilities_that_are_no_numbers_are_a_sentence(socket, languages):
    loaded = languages.registry.get("tiny")
    with torch.no_grad():
        loaded.model.layers[0].adapter_b.fill_(torch.inf)
    socket.send_text(message(seq=2, preference=[2, -2, 1]))
    assert "no finite numbers at this λ" in frames(socket, 2)[-1]["error"] and not languages.inference.streams


def test_one_of_several_tasks_tells_for_all(languages):
    ask = Request("predict", 1, "tiny", ("sample-1",), LAMBDA, exact=True)
    header, _ = unpack(languages.inference.submit("s", ask).result(60))
    assert set(header["values"]) == {"austen", "pepys", "shakespeare"} and not header["values"]["pepys"]
    told = header["values"]["austen"]
    text = "".join(piece for piece, _ in told["tokens"])
    assert text == "Up betimes, and by water to White Hall, where I met with my Lord"
    assert len(told["next"]) == 10 and told["next"] == sorted(told["next"], key=lambda pair: -pair[1])
    loaded = languages.registry.get("tiny")
    ids = torch.tensor([loaded.input_view.input.codec().encode(text)])
    with torch.no_grad():
        logs = loaded.model(ids, torch.tensor(LAMBDA)).logits[0].log_softmax(-1)
    expected = logs[:-1].gather(1, ids[0, 1:, None])[:, 0]
    assert [log for _, log in told["tokens"][1:]] == pytest.approx(expected.tolist(), abs=2e-3)


def test_samples_are_called_by_their_first_words(languages):
    from app.pictures.scenes import labelled

    assert [label for _, label in labelled(languages.registry.get("tiny"))][1] == "Up betimes, and by water to White …"


def test_messages_name_the_types():
    with pytest.raises(UserError, match=r"one of predict, scene, gallery, stream, stop"):
        parse(json.dumps({"type": "shutdown"}))
    assert parse(json.dumps({"type": "stop", "seq": 5})).seq == 5
