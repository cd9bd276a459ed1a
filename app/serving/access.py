"""Who may talk to this server: the names it is reached by, the pages that open its sockets, the pages that frame it.

A browser lets any page send requests anywhere and, once somebody's domain name points to this machine (DNS rebinding),
read the answers. So every request must be for a name that belongs to this server, every socket must be opened by one of
its own pages, and no other page may show it in a frame.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config

from app.settings import origins_setting
from palora_core.errors import quoted

LOOPBACK = ("localhost", "127.0.0.1", "::1")
EVERYWHERE = ("", "0.0.0.0", "::")
FRAMES = {"X-Frame-Options": "SAMEORIGIN", "Content-Security-Policy": "frame-ancestors 'self'"}
FOREIGN = 4403
PORTS = {"http": 80, "https": 443}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Host:
    """A name and a port as a Host header, an origin or a setting has them; all names of this machine are one."""

    name: str
    port: int | None = None

    @classmethod
    def read(cls, text: str) -> Host | None:
        """From ``name``, ``name:port`` or ``scheme://name:port``; None for anything else."""
        if text.count(":") > 1 and "://" not in text and "[" not in text:
            text = f"[{text}]"
        try:
            parts = urlsplit(text if "://" in text else f"//{text}")
            port = parts.port or PORTS.get(parts.scheme)
        except ValueError:
            return None
        if not parts.hostname or "@" in parts.netloc or parts.path or parts.query or parts.fragment:
            return None
        name = parts.hostname.rstrip(".")
        return cls("localhost" if name in LOOPBACK else name, port)

    def is_meant_by(self, setting: Host) -> bool:
        """Whether a setting means this host: ``name``, ``*.name`` or ``*``; one with a port means that port only."""
        if setting.port not in (None, self.port):
            return False
        below = setting.name.startswith("*.") and self.name.endswith(setting.name[1:])
        return below or setting.name in ("*", self.name)


def further_hosts() -> list[Host]:
    """Hosts besides this machine whose pages may open sockets (``PALORA_ORIGINS``)."""
    return [host for host in map(Host.read, origins_setting()) if host is not None]


def own_names() -> list[str]:
    """Names this server answers to: the machine's own, those in Streamlit's settings and in ``PALORA_ORIGINS``."""
    address = config.get_option("server.address") or ""
    set_here = [*config.get_option("server.allowedHosts"), *([] if address in EVERYWHERE else [address])]
    names = [host.name for host in map(Host.read, set_here) if host is not None]
    return list(dict.fromkeys([*LOOPBACK, *names, *(host.name for host in further_hosts())]))


def tell_streamlit() -> None:
    """Have Streamlit's own check of its socket agree, and say which settings could not be read."""
    for text in origins_setting():
        if Host.read(text) is None:
            _log.warning(
                "PALORA_ORIGINS holds %s, which is no host; write names such as models.example.org.", quoted(text)
            )
    config.set_option("server.allowedHosts", own_names())


def is_own_name(host: Host | None) -> bool:
    """Whether a request for ``host`` is meant for this server; ports are whatever a proxy makes of them."""
    return host is not None and any(Host(host.name).is_meant_by(Host(name)) for name in own_names())


def is_own_page(origin: str | None, host: Host | None) -> bool:
    """Whether a page of ``origin`` may open a socket of ``host``; programs that are no browsers send no origin."""
    if origin is None:
        return True
    page = Host.read(origin)
    if page is None or host is None or "://" not in origin:
        return False
    same = page.name == host.name and page.port == (host.port or PORTS.get(urlsplit(origin).scheme))
    return same or any(page.is_meant_by(setting) for setting in further_hosts())


class Gate:
    """ASGI middleware around pages, scripts and sockets alike; see the module's text."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it in one sentence."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        hosts, origins = _header(scope, b"host"), _header(scope, b"origin")
        host = Host.read(hosts[0]) if len(hosts) == 1 else None
        known = is_own_name(host)
        if scope["type"] == "websocket":
            if known and len(origins) <= 1 and is_own_page(origins[0] if origins else None, host):
                await self.app(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": FOREIGN, "reason": "foreign host or origin"})
            return
        answer = self.app if known else _refusal(hosts)
        await answer(scope, receive, _unframed(send))


def _refusal(hosts: list[str]) -> PlainTextResponse:
    found = quoted(hosts[0]) if hosts else "no name"
    sentence = f"This server was asked for as {found}, which is not one of its names; PALORA_ORIGINS sets further ones."
    return PlainTextResponse(sentence, 403, {"X-Content-Type-Options": "nosniff"})


def _unframed(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(FRAMES)
        await send(message)

    return sent


def _header(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]
