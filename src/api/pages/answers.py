"""HTML answers: what a page may load, who may frame it, and what is told where there is none."""

from collections.abc import Sequence
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; "
    "base-uri 'none'; form-action 'self'"
)
_HEADERS: Final = {
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("api.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


TEMPLATES: Final = _environment()


def protected(response: Response, embed_origins: Sequence[str] = ()) -> Response:
    """The answer with what a page's browser has to keep to; only these origins may frame it."""
    ancestors = " ".join(embed_origins) or "'none'"
    response.headers["Content-Security-Policy"] = f"{_POLICY}; frame-ancestors {ancestors}"
    if not embed_origins:
        response.headers["X-Frame-Options"] = "DENY"
    response.headers.update(_HEADERS)
    return response


def styled_by_script(response: Response) -> Response:
    """For a page of somebody else's script, which sets styles as it goes; what it may run and ask stays as it was."""
    policy = response.headers["Content-Security-Policy"]
    response.headers["Content-Security-Policy"] = policy.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
    return response


def page(template: str, *, status: int = 200, embed_origins: Sequence[str] = (), **values: Any) -> Response:
    """A page from a template of this package."""
    return protected(HTMLResponse(TEMPLATES.get_template(template).render(**values), status), embed_origins)
