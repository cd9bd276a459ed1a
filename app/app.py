"""Entry point of the dashboard: ``streamlit run app/app.py``.

One ASGI application serves the pages and, on the same port, the socket that the pad streams preferences over.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# `streamlit run` puts this folder first on the path and imports this file under the name "app". Giving the module a
# __path__ makes it stand for the package around it, so that `app.library.models` means the same in pages and in tests.
__path__ = [str(HERE)]
if str(HERE.parent) not in sys.path:
    sys.path.insert(0, str(HERE.parent))

import streamlit as st  # noqa: E402
from starlette.middleware import Middleware  # noqa: E402
from starlette.routing import Route, WebSocketRoute  # noqa: E402
from streamlit.runtime.pages_manager import PagesManager  # noqa: E402

from app.assets import asset, plotly_script  # noqa: E402
from app.exports.handing import handed  # noqa: E402
from app.serving.access import Gate, tell_streamlit  # noqa: E402
from app.serving.channel import live_socket  # noqa: E402

# Streamlit takes a folder called "pages" for its older way of navigation until main.py has run once; a link straight to
# a page of a fresh server would then show that page alone.
PagesManager.uses_pages_directory = False

tell_streamlit()

app = st.App(
    HERE / "main.py",
    routes=[
        WebSocketRoute("/palora/ws", live_socket),
        Route("/palora/assets/{version}/{name:path}", asset),
        Route("/palora/plotly.min.js", plotly_script),
        Route("/palora/files/{token}/{name}", handed),
    ],
    middleware=[Middleware(Gate)],
)
