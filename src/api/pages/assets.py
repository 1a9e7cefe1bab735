"""Style sheets, scripts and pictures of the pages; all of them are ours to serve, none is loaded from elsewhere."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

_ROOT: Final = Path(str(files("api.pages") / "static"))
_TYPES: Final[Mapping[str, str]] = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    "": "text/plain",
}
_NAMES: Final = {file.relative_to(_ROOT).as_posix(): file for file in _ROOT.rglob("*") if file.is_file()}


async def asset(request: Request) -> Response:
    """One of the files that ship; any other name is no file."""
    file = _NAMES.get(request.path_params["name"])
    if file is None:
        return Response(status_code=404)
    return FileResponse(file, media_type=_TYPES.get(file.suffix, "application/octet-stream"))


async def own_style(request: Request) -> Response:
    """The operator's style sheet, which comes last; an empty one where none is set."""
    path = request.app.state.container.settings().portal_css
    return Response(path.read_bytes() if path else b"", media_type="text/css")


async def own_logo(request: Request) -> Response:
    """The operator's logo."""
    path = request.app.state.container.settings().portal_logo
    if path is None:
        return Response(status_code=404)
    return FileResponse(path, media_type=_TYPES.get(path.suffix.lower(), "application/octet-stream"))


ROUTES: Final = (
    Route("/pages/own.css", own_style, include_in_schema=False),
    Route("/pages/own-logo", own_logo, include_in_schema=False),
    Route("/pages/{name:path}", asset, include_in_schema=False),
)
