"""Whose requests are answered: by the name they are for, the page they come from, the page that frames them."""

import logging

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from streamlit import config
from streamlit.web.server.starlette.starlette_websocket import is_host_allowed

from app.serving.access import Gate, Host, own_names, tell_streamlit

OWN = ["localhost", "localhost:8501", "127.0.0.1:8501", "[::1]:8501", "LOCALHOST.:80"]
FOREIGN = [
    "evil.example",
    "evil.example:8501",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "0.0.0.0",
    "10.0.0.1",
]
ODD = ["", "localhost:port", "localhost:99999", "me@localhost", "localhost/x", "[::1", "localhost?x", "local host", "*"]
PAGES = (
    *("http://evil.example", "http://localhost:8502", "http://localhost", "https://localhost", "null", "", "file://"),
    *("http://localhost.evil.example:8501", "http://localhost:8501@evil.example", "http://[::1", "localhost:8501"),
)


async def _page(request):
    return PlainTextResponse("here")


async def _socket(socket):
    await socket.accept()
    await socket.send_text("here")
    await socket.close()


@pytest.fixture(autouse=True)
def settings(monkeypatch):
    monkeypatch.delenv("PALORA_ORIGINS", raising=False)
    before = config.get_option("server.allowedHosts")
    yield
    config.set_option("server.allowedHosts", before)


@pytest.fixture
def client():
    routes = [Route("/", _page), WebSocketRoute("/ws", _socket), WebSocketRoute("/_stcore/stream", _socket)]
    with TestClient(Starlette(routes=routes, middleware=[Middleware(Gate)]), base_url="http://localhost") as client:
        yield client


def is_let_in(client, host, origin=None, path="/ws") -> bool:
    headers = {"host": host} if origin is None else {"host": host, "origin": origin}
    try:
        with client.websocket_connect(f"ws://localhost{path}", headers=headers) as socket:
            return socket.receive_text() == "here"
    except WebSocketDisconnect:
        return False


@pytest.mark.parametrize("host", OWN)
def test_own_names(client, host):
    answer = client.get("/", headers={"host": host})
    assert answer.text == "here" and is_let_in(client, host)
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"
    assert answer.headers["content-security-policy"] == "frame-ancestors 'self'"


@pytest.mark.parametrize("host", [*FOREIGN, *ODD])
def test_other_names_are_refused_in_a_sentence(client, host):
    answer = client.get("/", headers={"host": host})
    assert answer.status_code == 403 and "PALORA_ORIGINS" in answer.text and "\n" not in answer.text
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"
    assert not is_let_in(client, host)


def test_rebinding_is_refused_although_host_and_origin_agree(client):
    for path in ("/ws", "/_stcore/stream"):
        assert not is_let_in(client, "evil.example:8501", "http://evil.example:8501", path)


@pytest.mark.parametrize("host", ["localhost:8501", "127.0.0.1:8501", "[::1]:8501"])
@pytest.mark.parametrize("page", ["localhost:8501", "127.0.0.1:8501", "[::1]:8501"])
def test_all_names_of_this_machine_are_one(client, host, page):
    assert is_let_in(client, host, f"http://{page}")
    assert is_let_in(client, host, f"http://{page}", "/_stcore/stream")


@pytest.mark.parametrize("origin", PAGES)
def test_other_pages_open_no_socket(client, origin):
    for path in ("/ws", "/_stcore/stream"):
        assert not is_let_in(client, "localhost:8501", origin, path)


def test_ports_that_a_scheme_implies(client):
    assert is_let_in(client, "localhost", "http://localhost") and is_let_in(
        client, "localhost", "https://localhost:443"
    )
    assert is_let_in(client, "localhost:443", "https://localhost")
    assert not is_let_in(client, "localhost:80", "https://localhost")


def test_two_headers_of_one_kind_are_refused(client):
    for headers in ([("host", "localhost"), ("host", "evil.example")], [("host", "localhost"), ("host", "localhost")]):
        assert client.get("/", headers=headers).status_code == 403


def test_further_names(client, monkeypatch):
    monkeypatch.setenv(
        "PALORA_ORIGINS", " models.example.org, https://lab.example.org:8443/ ,*.example.net,, no host!/x"
    )
    for host in ("models.example.org", "MODELS.example.org:8501", "lab.example.org", "a.b.example.net"):
        assert client.get("/", headers={"host": host}).text == "here", host
    assert is_let_in(client, "models.example.org", "https://models.example.org")
    for host in ("example.org", "example.net", "xexample.net", "models.example.org.evil.example"):
        assert client.get("/", headers={"host": host}).status_code == 403, host
    # A proxy that passes its own name for the server on: the page's name is known all the same.
    assert is_let_in(client, "127.0.0.1:8501", "https://models.example.org")
    assert is_let_in(client, "127.0.0.1:8501", "https://lab.example.org:8443")
    assert not is_let_in(client, "127.0.0.1:8501", "https://lab.example.org"), "that one was named with its port"
    assert not is_let_in(client, "127.0.0.1:8501", "https://evil.example")


def test_streamlit_agrees(monkeypatch, caplog):
    monkeypatch.setenv("PALORA_ORIGINS", "models.example.org,*.example.net,https://lab.example.org,no/host")
    with caplog.at_level(logging.WARNING):
        tell_streamlit()
    assert "'no/host'" in caplog.text and len(caplog.records) == 1
    own = [*OWN, "models.example.org", "x.example.net:80", "lab.example.org"]
    assert all(is_host_allowed(host) for host in own)
    assert not any(is_host_allowed(host) for host in [*FOREIGN, *ODD])


def test_the_address_it_was_bound_to_is_a_name(monkeypatch):
    for address, named in (("192.168.1.5", True), ("0.0.0.0", False), ("::", False), (None, False)):
        monkeypatch.setattr(config, "get_option", {"server.address": address, "server.allowedHosts": []}.get)
        assert (address in own_names()) == named and "localhost" in own_names()


def test_hosts_are_read():
    assert Host.read("::1") == Host.read("[::1]") == Host.read("127.0.0.1") == Host("localhost")
    assert Host.read("https://A.example:8443") == Host("a.example", 8443) and Host.read("http://a") == Host("a", 80)
    assert Host.read("2001:db8::1") == Host.read("[2001:db8::1]") == Host("2001:db8::1")
