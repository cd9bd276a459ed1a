"""Scripts that components import in the browser: a fixed list of files, cached for as long as they do not change."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response

from app.views import script

_COMPONENTS = Path(__file__).resolve().parent / "components"
_KINDS = Path(__file__).resolve().parent / "kinds"
_INDEX = "kinds/index.js"  # made here: it imports what the views of all kinds bring
_FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}


def scripts() -> dict[str, Path]:
    """Name in the URL → file, for every script of a component and of a view of tasks."""
    found = {path.relative_to(_COMPONENTS).as_posix(): path for path in sorted(_COMPONENTS.rglob("*.js"))}
    return found | {"kinds/base.js": _KINDS / "base.js"} | {f"kinds/{name}": path for name, path in _of_views().items()}


@cache
def _of_views() -> dict[str, Path]:
    from app.kinds import views

    found = [(re.sub(r"\W", "_", kind), script(made)) for kind, made in views().items()]
    return {f"{name}.js": path for name, path in found if path is not None}


def index() -> str:
    """The module that has all views' scripts add themselves; one that fails leaves its kind to its legend."""
    names = json.dumps(sorted(_of_views()))
    return (
        f"await Promise.all({names}.map((name) => import(`./${{name}}`)\n"
        "  .catch((error) => console.error(`The view ${name} could not be loaded: ${error.message}`))));\n"
    )


def version() -> str:
    """Hash over all scripts; part of their addresses, so that relative imports between them stay consistent."""
    digest = hashlib.sha256(index().encode())
    for path in scripts().values():
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def loader(script: str) -> str:
    """JavaScript of a component that hands over to ``mount`` of one of the scripts."""
    return (
        "export default async function (component) {\n"
        f"  const address = new URL('palora/assets/{version()}/{script}', document.baseURI);\n"
        "  const { mount } = await import(address.href);\n"
        "  return mount(component);\n"
        "}\n"
    )


async def asset(request: Request) -> Response:
    """The route ``/palora/assets/<version>/<name>``."""
    path = scripts().get(request.path_params["name"])
    headers = _FOREVER if request.path_params["version"] == version() else {"Cache-Control": "no-store"}
    if request.path_params["name"] == _INDEX:
        return Response(index(), media_type="text/javascript", headers=headers)
    if path is None:
        return PlainTextResponse("There is no such script.", 404)
    return FileResponse(path, media_type="text/javascript", headers=headers)


async def plotly_script(request: Request) -> Response:
    """The route ``/palora/plotly.min.js``: the library that the Python package brings along."""
    path = _plotly_path()
    if path is None or not path.is_file():
        return PlainTextResponse("plotly is not installed.", 404)
    return FileResponse(path, media_type="text/javascript", headers={"Cache-Control": "public, max-age=86400"})


@cache
def _plotly_path() -> Path | None:
    spec = find_spec("plotly")
    return Path(spec.origin).parent / "package_data" / "plotly.min.js" if spec and spec.origin else None
