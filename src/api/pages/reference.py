"""/docs: the reference of the API, to read and to try out. All of it ships with the service."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.pages.answers import TEMPLATES, protected, styled_by_script


async def reference(request: Request) -> Response:
    """The page; its script reads /openapi.json."""
    answer = Response(TEMPLATES.get_template("reference.html").render(title=request.app.title), media_type="text/html")
    return styled_by_script(protected(answer))


ROUTES: Final = (Route("/docs", reference, include_in_schema=False),)
