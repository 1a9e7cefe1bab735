"""/portal/{token}: the customer's usage page. The address is the credential: no cookie, so that it works in frames, too."""

import asyncio
import csv
import io
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from api.container import Container
from api.errors import told
from api.pages.answers import page, protected
from api.pages.formats import Formats
from api.pages.live import TooManyStreams
from api.pages.usage_model import MONTHS, UsagePages
from api.served import note_customer
from api.wire import from_cursor, instant, to_cursor
from core.customers.customer import Customer
from core.errors import DomainError
from core.history.buckets import By, first_of_months
from core.history.read_history import HistoryQuery
from core.metering.ledger import LedgerQuery, UsageRecord
from core.plans.features import FeatureCatalog
from core.portal.portal_session import PortalSession, PortalSessionEnded, PortalSessionNotFound

RECORDS_SHOWN: Final = 50
CSV_RECORDS_MAX: Final = 10_000
_CSV_PAGE: Final = 1_000
_UTC: Final = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a customer's page: whose, by which session, and how it is written."""

    request: Request
    container: Container
    session: PortalSession
    customer: Customer
    formats: Formats

    @property
    def address(self) -> str:
        """Where the page is; all its links begin with it."""
        return f"/portal/{self.request.path_params['token']}"

    @property
    def base(self) -> Mapping[str, Any]:
        """What every template of the page needs."""
        settings = self.container.settings()
        return {
            "t": self.formats.text,
            "language": self.formats.language,
            "theme": self.session.theme.value,
            "address": self.address,
            "has_logo": settings.portal_logo is not None,
            "embed_origins": self.session.embed_origins,
        }


Looking = Callable[[Look], Awaitable[Response]]


class UnreadableFilter(Exception):
    """A filter of the records that nobody could have meant; the message says why."""


def opened(show: Looking) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint that shows this to whoever has the address, and to others what there is to say."""

    async def endpoint(request: Request) -> Response:
        container: Container = request.app.state.container
        formats = Formats(_asked_language(request), _UTC)
        try:
            session = await container.open_page().execute(request.path_params["token"])
            customer = (await container.customer_reader().get(session.customer_id)).at(container.clock()())
            note_customer(customer.id)
            formats = Formats(session.locale or customer.locale or _asked_language(request), customer.billing.zone)
            return await show(Look(request, container, session, customer, formats))
        except UnreadableFilter as mistake:
            return _gone(formats, 422, formats.text("gone_filter", why=str(mistake)))
        except DomainError as error:
            status = told(error).status
            if isinstance(error, PortalSessionEnded):
                return _gone(formats, status, formats.text("gone_ended"))
            if isinstance(error, PortalSessionNotFound) or status == 404:
                return _gone(formats, 404, formats.text("gone_unknown"))
            return _gone(formats, status, formats.text("gone_away"))

    return endpoint


def _gone(formats: Formats, status: int, message: str) -> Response:
    return page("gone.html", status=status, t=formats.text, language=formats.language, message=message)


def _asked_language(request: Request) -> str | None:
    """The first language that the browser asks for."""
    return request.headers.get("accept-language", "").split(",")[0].split(";")[0].strip() or None


async def overview(look: Look) -> Response:
    """The whole page."""
    return page("portal.html", **look.base, page=await _read(look), months_shown=MONTHS, is_live=True)


async def usage(look: Look) -> Response:
    """What changes of it, for a page that is open."""
    return page("portal_usage.html", **look.base, page=await _read(look), months_shown=MONTHS)


async def _read(look: Look) -> Any:
    asked = look.request.query_params.get("months", "")
    months = int(asked) if asked in {str(number) for number in MONTHS} else MONTHS[0]
    return await UsagePages(look.container, look.formats).read(look.customer, months)


async def live(look: Look) -> Response:
    """A stream that says when something has changed."""
    stop = asyncio.Event()
    look.request.scope["tollgate.stop"] = stop.set
    try:
        events = await look.request.app.state.live_usage.events(look.customer.id, stop)
    except TooManyStreams:
        return Response(status_code=503, headers={"Retry-After": "30"})
    return protected(StreamingResponse(events, media_type="text/event-stream"), look.session.embed_origins)


@dataclass(frozen=True, slots=True)
class RecordRow:
    """One entry of the ledger as it is shown."""

    when: str
    feature: str
    kind: str
    amount: str
    reference: str
    note: str


async def records(look: Look) -> Response:
    """The customer's records, newest first, filtered."""
    query = _query(look, RECORDS_SHOWN + 1)
    catalog = await look.container.plan_reader().features()
    found = await look.container.ledger_reader().newest(query)
    shown = found[:RECORDS_SHOWN]
    asked = {name: value for name, value in look.request.query_params.items() if name in ("feature", "since", "until") and value}
    following = None
    if len(found) > RECORDS_SHOWN:
        following = urlencode({**asked, "cursor": to_cursor(shown[-1].occurred_at, shown[-1].id)})
    return page(
        "portal_records.html",
        **look.base,
        rows=[_row(record, look.formats, catalog) for record in shown],
        features=[(key, look.formats.feature(key)) for key in await _features(look)],
        asked=asked,
        csv=urlencode(asked),
        following=following,
    )


async def _features(look: Look) -> Sequence[str]:
    account = await look.container.account_reader().read(look.customer.id, None, look.container.clock()())
    used = await look.container.usage_sums().features(look.customer.id)
    return list(dict.fromkeys([*account.plan.entitlements, *sorted(used)]))


def _row(record: UsageRecord, write: Formats, catalog: FeatureCatalog) -> RecordRow:
    feature = catalog.get(record.feature)
    assert feature is not None, "something of it was booked"
    return RecordRow(
        when=write.moment(record.occurred_at),
        feature=write.feature(record.feature),
        kind=record.dimension or "",
        amount=write.amount(record.quantity, feature),
        reference=record.origin.reference or "",
        note="" if record.corrects is None else write.text("correction") + (f": {record.reason}" if record.reason else ""),
    )


def _query(look: Look, limit: int) -> LedgerQuery:
    asked = look.request.query_params
    try:
        before = from_cursor(asked.get("cursor"))
    except Exception as error:
        raise UnreadableFilter("cursor") from error
    since, until = (_day(asked.get(name), name, look.customer.billing.zone) for name in ("since", "until"))
    feature = asked.get("feature") or None
    return LedgerQuery(customer_id=look.customer.id, limit=limit, feature=feature, since=since, until=until, before=before)


def _day(text: str | None, name: str, zone: ZoneInfo) -> datetime | None:
    """The beginning of a day in the customer's time zone, as a date field sends it."""
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=zone)
    except ValueError as error:
        raise UnreadableFilter(name) from error


async def records_csv(look: Look) -> Response:
    """The filtered records as a table, the newest ten thousand."""
    catalog = await look.container.plan_reader().features()
    query = _query(look, _CSV_PAGE)
    found: list[UsageRecord] = []
    while len(found) < CSV_RECORDS_MAX:
        part = await look.container.ledger_reader().newest(query)
        found += part
        if len(part) < _CSV_PAGE:
            break
        query = LedgerQuery(
            query.customer_id, _CSV_PAGE, query.feature, since=query.since, until=query.until, before=(part[-1].occurred_at, part[-1].id)
        )
    return _table(
        look,
        "records",
        ("occurred_at", "feature", "dimension", "quantity", "unit", "reference", "corrects", "reason"),
        (_csv_row(record, catalog) for record in found),
    )


def _csv_row(record: UsageRecord, catalog: FeatureCatalog) -> Sequence[str]:
    feature = catalog.get(record.feature)
    assert feature is not None, "something of it was booked"
    quantity = f"{feature.units(record.quantity):f}"
    corrects = str(record.corrects) if record.corrects else ""
    return (
        instant(record.occurred_at),
        record.feature,
        record.dimension or "",
        quantity,
        feature.unit,
        record.origin.reference or "",
        corrects,
        record.reason or "",
    )


async def history_csv(look: Look) -> Response:
    """Twelve months of every feature as a table."""
    now = look.container.clock()()
    since = first_of_months(look.customer.billing, now, MONTHS[-1])
    items = await look.container.read_history().execute(HistoryQuery(look.customer.id, by=By.MONTH, since=since))

    def rows() -> Iterator[Sequence[str]]:
        for item in items:
            units, standing = item.feature.units, item.standing
            limit = "" if standing.limit is None else f"{units(standing.limit):f}"
            yield (
                item.feature.key,
                item.feature.unit,
                instant(item.period.start),
                instant(item.period.end),
                f"{units(standing.used):f}",
                f"{units(standing.overage):f}",
                limit,
            )

    return _table(look, "history", ("feature", "unit", "start", "end", "used", "overage", "limit"), rows())


def _table(look: Look, name: str, columns: Sequence[str], rows: Iterator[Sequence[str]]) -> Response:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_inert(value) for value in row] for row in rows)
    answer = Response(text.getvalue(), media_type="text/csv", headers={"Content-Disposition": f'attachment; filename="{name}.csv"'})
    return protected(answer, look.session.embed_origins)


def _inert(value: str) -> str:
    """What a spreadsheet would take for a formula is text; a number below zero stays one."""
    if value[:1] in ("=", "+", "@", "\t", "\r") or (value[:1] == "-" and not value[1:].replace(".", "", 1).isdigit()):
        return f"'{value}"
    return value


ROUTES: Final = tuple(
    Route(f"/portal/{{token}}{path}", opened(show), include_in_schema=False)
    for path, show in (
        ("", overview),
        ("/usage", usage),
        ("/live", live),
        ("/records", records),
        ("/records.csv", records_csv),
        ("/history.csv", history_csv),
    )
)
