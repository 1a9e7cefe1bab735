"""Who is at the console: a service key is shown once, and a cookie says so from then on."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response

from api.container import Container
from api.errors import told
from api.pages.answers import page
from api.pages.formats import Formats
from api.wire import from_cursor
from core.access.console_session import LASTS, begun, form_token
from core.access.principal import Principal, Unauthenticated
from core.access.service_keys import Scope
from core.access.session_token import parts_of
from core.errors import DomainError

_UTC: Final = ZoneInfo("UTC")

COOKIE: Final = "tollgate_console"
FORM_BYTES_MAX: Final = 256 * 1024
FORM_TOKEN: Final = "form_token"
_PATH: Final = "/console"

SECTIONS: Final = (
    ("customers", "Customers"),
    ("plans", "Plans"),
    ("drift", "Drift"),
    ("keys", "Keys"),
    ("now", "Now"),
)


def console_page(template: str, status: int = 200, **values: Any) -> Response:
    """A page of the console. Its own forms have to say where they come from, and to other sites nothing is said."""
    answer = page(template, status=status, **values)
    answer.headers["Referrer-Policy"] = "same-origin"
    return answer


class NotSent(Exception):
    """A form that cannot be taken: the message says why."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of somebody who is signed in."""

    request: Request
    container: Container
    who: Principal
    token: str
    form: Mapping[str, str]

    @property
    def formats(self) -> Formats:
        """The console is in English and in UTC, as logs are."""
        return Formats("en", _UTC)

    @property
    def may_change(self) -> bool:
        """Whether forms are shown, and taken."""
        return self.who.scope is not None and self.who.scope.covers(Scope.ADMIN)

    def asked(self, name: str) -> str | None:
        """A value of the query; None where it is absent or empty."""
        return self.request.query_params.get(name, "").strip() or None

    def position(self, read_id: Callable[[str], Any]) -> Any:
        """Where the page before ended, by `?cursor=`."""
        try:
            return from_cursor(self.asked("cursor"), read_id)
        except Exception as error:
            raise NotSent("This link is not one of the console's.") from error

    def show(self, template: str, section: str, status: int = 200, **values: Any) -> Response:
        """A page of the console."""
        return console_page(
            template,
            status=status,
            sections=SECTIONS,
            section=section,
            who=self.who.name,
            may_change=self.may_change,
            form_token=form_token(self.token),
            write=self.formats,
            **values,
        )


Show = Callable[[Visit], Awaitable[Response]]


def signed_in(show: Show) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint that shows this to whoever is signed in, and a form to sign in to everybody else."""

    async def endpoint(request: Request) -> Response:
        container: Container = request.app.state.container
        token = request.cookies.get(COOKIE, "")
        try:
            who = await _remembered(container, token)
            form = await _form(request, token) if request.method == "POST" else {}
            visit = Visit(request, container, who, token, form)
            if request.method == "POST" and show is not sign_out and not visit.may_change:
                return visit.show("console_message.html", "", 403, title="Not allowed", message="This takes a key with the scope admin.")
            return await _answered(show, visit)
        except Unauthenticated:
            return console_page("console_sign_in.html", status=200 if request.method == "GET" else 401, message=None)
        except ClientDisconnect:
            return Response(status_code=400)
        except NotSent as mistake:
            return console_page("console_problem.html", status=403, message=str(mistake))
        except DomainError as error:
            refusal = told(error)
            return console_page("console_problem.html", status=refusal.status, message=refusal.detail["message"])

    return endpoint


async def _answered(show: Show, visit: Visit) -> Response:
    try:
        return await show(visit)
    except DomainError as error:
        refusal = told(error)
        if refusal.status >= 500:
            raise
        return visit.show("console_message.html", "", refusal.status, title="That did not work", message=refusal.detail["message"])


async def _remembered(container: Container, token: str) -> Principal:
    parts = parts_of(token)
    session = await container.console_sessions().find(parts[0]) if parts else None
    if parts is None or session is None or not session.opens(parts[1], container.clock()()):
        raise Unauthenticated
    return await container.authenticator().remember(session)


async def _form(request: Request, token: str) -> Mapping[str, str]:
    """The fields of a form of ours. Raises NotSent for one that another site has made."""
    values = await read_form(request)
    if values.get(FORM_TOKEN) != form_token(token):
        raise NotSent("This form was not sent from a page of the console, or you have signed in again since: go back and reload the page.")
    return values


async def read_form(request: Request) -> Mapping[str, str]:
    """The fields of a form. Raises NotSent where it comes from another site, is too large, or is no form."""
    require_own_origin(request)
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > FORM_BYTES_MAX:
            raise NotSent("The form is too large.")
    try:
        return dict(parse_qsl(content.decode(), keep_blank_values=True, strict_parsing=bool(content), max_num_fields=200))
    except ValueError as error:
        raise NotSent("The form cannot be read.") from error


def require_own_origin(request: Request) -> None:
    """Browsers say where a form comes from. Raises NotSent where that is elsewhere."""
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    own = request.app.state.container.settings().public_url
    hosts = {urlsplit(own).netloc, request.headers.get("host", "")}
    if (origin is not None and urlsplit(origin).netloc not in hosts) or site not in (None, "same-origin", "none"):
        raise NotSent("Forms of other sites are not taken.")


async def sign_in(request: Request) -> Response:
    """Takes a key, and gives a cookie for it."""
    container: Container = request.app.state.container
    try:
        key = (await read_form(request)).get("key", "").strip()
        who = await container.authenticator().authenticate(key)
    except Unauthenticated as error:
        return console_page("console_sign_in.html", status=401, message=error.message)
    except ClientDisconnect:
        return Response(status_code=400)
    except NotSent as mistake:
        return console_page("console_problem.html", status=403, message=str(mistake))
    except DomainError as error:
        refusal = told(error)
        return console_page("console_sign_in.html", status=refusal.status, message=refusal.detail["message"])
    if who.scope is None:
        return console_page("console_sign_in.html", status=403, message="A user token opens no console: a service key is needed.")
    session, token = begun(container.new_id()(), key, container.clock()())
    await container.console_sessions().add(session)
    answer = RedirectResponse(_PATH, 303)
    secure = container.settings().public_url.startswith("https://")
    answer.set_cookie(COOKIE, token, max_age=int(LASTS.total_seconds()), path=_PATH, secure=secure, httponly=True, samesite="strict")
    return answer


async def sign_out(visit: Visit) -> Response:
    """Ends the session, here and wherever its cookie may be."""
    parts = parts_of(visit.token)
    assert parts is not None, "it was remembered"
    await visit.container.console_sessions().end(parts[0])
    answer = RedirectResponse(_PATH, 303)
    answer.delete_cookie(COOKIE, path=_PATH)
    return answer
