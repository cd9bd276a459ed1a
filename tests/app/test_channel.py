import json
import logging

import pytest
from starlette.websockets import WebSocketDisconnect

from app.serving.protocol import MAX_MESSAGE, unpack
from tests.app.messages import check, malformed
from tests.app.servers import HERE, SOCKET


@pytest.fixture
def socket(client, roots):
    with client.websocket_connect(SOCKET) as socket:
        yield socket


def message(seq=1, preference=(0.3, 0.7), **changes) -> dict:
    return {
        "type": "predict",
        "seq": seq,
        "model": "two",
        "image": "sample-0",
        "preference": list(preference),
        **changes,
    }


def ask(socket, **changes):
    socket.send_text(json.dumps(message(**changes)))
    return unpack(socket.receive_bytes())


def refusal(socket, text: str) -> dict:
    socket.send_text(text)
    answer = json.loads(socket.receive_text())
    assert answer["type"] == "error" and "\n" not in answer["error"]
    return answer


def test_hot_path_and_cache_hit(socket):
    header, blobs = ask(socket, seq=5)
    assert header["seq"] == 5 and not header["cached"]
    assert [4 * p["colours"] + p["width"] * p["height"] for p in header["pictures"]] == [len(blob) for blob in blobs]
    again, same = ask(socket, seq=6)
    assert again["seq"] == 6 and again["cached"] and same == blobs


def test_each_session_gets_its_own_preference(client, roots):
    with client.websocket_connect(SOCKET) as first, client.websocket_connect(SOCKET) as second:
        for step in range(10):
            a, b = step / 10, 1 - step / 10
            first.send_text(json.dumps(message(seq=step, preference=(a, 1 - a))))
            second.send_text(json.dumps(message(seq=100 + step, preference=(b, 1 - b))))
            for socket, seq, weight in ((second, 100 + step, b), (first, step, a)):
                header, _ = unpack(socket.receive_bytes())
                assert header["seq"] == seq and header["preference"] == pytest.approx([weight, 1 - weight])


def test_stale_preferences_are_dropped_and_said_to_be(socket):
    for seq in range(40):
        socket.send_text(json.dumps(message(seq=seq, preference=(seq / 40, 1 - seq / 40), exact=True)))
    answered, dropped = [], []
    while len(answered) + len(dropped) < 40:
        event = socket.receive()
        if event.get("bytes") is not None:
            answered.append(unpack(event["bytes"])[0]["seq"])
        else:
            dropped.append(json.loads(event["text"])["seq"])
    assert answered[-1] == 39 and sorted(answered) == answered and sorted(answered + dropped) == list(range(40))


@pytest.mark.parametrize("origin", ["http://evil.example", "https://localhost.evil.example", "null"])
def test_foreign_origins_are_refused(client, origin):
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect(SOCKET, headers={"origin": origin}) as socket,
    ):
        socket.receive_bytes()


def test_own_origin_is_let_in(client, roots):
    with client.websocket_connect(SOCKET, headers={"origin": HERE}) as socket:
        assert ask(socket)[0]["seq"] == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[1, 2]",
        "null",
        "[" * 5000,
        json.dumps({"type": "shutdown"}),
        json.dumps(message(preference=[float("nan"), 1.0])),
        json.dumps(message(preference=[float("inf"), 1.0])),
        json.dumps(message(preference=[])),
        json.dumps(message(preference=["0.3", "0.7"])),
        json.dumps(message(preference=[True, False])),
        json.dumps({**message(), "preference": "0.3,0.7"}),
        json.dumps({**message(), "preference": [0.5] * 300}),
        json.dumps(message(seq=-1)),
        json.dumps(message(seq="1")),
        json.dumps(message(model=None)),
        json.dumps(message(model="x" * 500)),
        json.dumps(message(image=7)),
        json.dumps(message(image="")),
        json.dumps(message(errors="segmentation")),
        json.dumps(message(exact="yes")),
        json.dumps({"type": "gallery", "seq": 1, "model": "two", "images": ["sample-0"] * 65}),
    ],
)
def test_bad_messages_get_one_sentence_and_the_socket_lives(socket, text):
    refusal(socket, text)
    assert ask(socket, seq=3)[0]["seq"] == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "unknown"}, "choose one"),
        ({"model": "../../etc/passwd"}, "choose one"),
        ({"preference": [1.0]}, "1 numbers"),
        ({"preference": [0.2, 0.3, 0.5]}, "3 numbers"),
        ({"image": "sample-77"}, "no such sample"),
        ({"image": "upload-of-somebody-else"}, "send it again"),
    ],
)
def test_requests_that_cannot_be_met(socket, changes, words):
    answer = refusal(socket, json.dumps(message(seq=9, **changes)))
    assert answer["seq"] == 9 and words in answer["error"]
    assert ask(socket)[0]["type"] == "prediction"


def test_pseudo_preferences_are_clamped(socket):
    assert ask(socket, preference=(50, -50))[0]["preference"] == [2.0, -2.0]


def test_every_message_gets_its_own_answer(socket, caplog):
    kinds = []
    with caplog.at_level(logging.WARNING):
        for seq, text in malformed(11, 1500):
            if len(text) <= MAX_MESSAGE:
                socket.send_text(text)
                event = socket.receive()
                kinds.append(check(event.get("text") or event["bytes"], seq, text))
    assert {"error", "prediction", "scene", "gallery"} <= set(kinds)
    assert not [record for record in caplog.records if record.exc_info], caplog.text


def test_binary_messages_are_refused_politely(socket):
    socket.send_bytes(b"\x00\x01")
    assert "text" in json.loads(socket.receive_text())["error"]
    assert ask(socket)[0]["seq"] == 1


def test_huge_messages_close_the_socket(socket):
    socket.send_text("x" * (MAX_MESSAGE + 1))
    with pytest.raises(WebSocketDisconnect):
        socket.receive_text()


def test_unknown_error_views_do_no_harm(socket):
    header, _ = ask(socket, errors=["no such task", "depth"])
    assert [p["view"] for p in header["pictures"]] == ["prediction", "error"]


def test_gallery(socket):
    socket.send_text(json.dumps({"type": "gallery", "seq": 2, "model": "two", "images": ["sample-0", "sample-1"]}))
    header, blobs = unpack(socket.receive_bytes())
    assert header["seq"] == 2 and len(blobs) == 2 and blobs[0][:4] == b"RIFF"


def test_sessions_leave_nothing_behind(client, roots):
    for _ in range(20):
        with client.websocket_connect(SOCKET) as socket:
            ask(socket)
            socket.send_text(json.dumps(message(seq=2, preference=(0.11, 0.89), exact=True)))
    with client.websocket_connect(SOCKET) as socket:
        ask(socket)
        assert len(roots.inference._views) == 1
    from app.serving import channel

    assert len(channel._seats) <= 1


def test_scripts_are_served_and_nothing_else(client):
    from app.assets import scripts, version

    for name in scripts():
        found = client.get(f"/palora/assets/{version()}/{name}")
        assert found.status_code == 200 and "javascript" in found.headers["content-type"]
    for name in ("explorer/__init__.py", "../app.py", "explorer/../../app.py", "%2e%2e/app.py"):
        found = client.get(f"/palora/assets/{version()}/{name}")  # Streamlit answers unknown pages with its own
        assert found.status_code in (400, 404) or "<html" in found.text, found.text[:100]
    assert client.get("/palora/plotly.min.js").status_code == 200
    assert client.get("/_stcore/health").text == "ok"
