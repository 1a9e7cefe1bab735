"""A decision taken to pieces, for people."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

from rich.console import Console
from rich.table import Table

from api.commands import CommandFailed
from api.container import Container
from api.errors import message_of
from core.errors import DomainError
from core.history.explain_usage import Explained, ExplainQuery
from core.history.explanation import Explanation
from core.metering.balance import Amount


async def explain(container: Container, customer: str, key: str, quantity: Decimal | None, at: datetime | None, out: Console) -> None:
    """Prints whether so much of the feature (None: the smallest amount) is, or was, admitted, and why. Raises CommandFailed."""
    feature = (await container.plan_reader().features()).get(key)
    least = Decimal(1) / feature.resolution if feature else Decimal(1)
    amount = Amount(key, least if quantity is None else quantity)
    try:
        explained = await container.explain_usage().execute(ExplainQuery(customer, [amount], at))
    except DomainError as error:
        raise CommandFailed(message_of(error)) from error
    found = explained.features[key]
    out.print(found.sentence)
    out.print(_decided(explained, amount, found, at))
    table = Table("", "quantity", "what", "when")
    for row in _rows(found):
        table.add_row(*row)
    if table.row_count:
        out.print(table)


def _decided(explained: Explained, amount: Amount, found: Explanation, at: datetime | None) -> str:
    feature = found.feature
    asked = f"{amount.quantity:f}" if feature is None else feature.amount(feature.parts(amount.quantity))
    when = "now" if at is None else f"at {_time(at)}"
    refusal = explained.checked.refusal
    return f"{asked} more, {when}: admitted." if refusal is None else f"{asked} more, {when}: refused. {message_of(refusal)}"


def _rows(found: Explanation) -> Iterator[tuple[str, str, str, str]]:
    for part in found.limit:
        yield "limit", "unlimited" if part.quantity is None else f"{part.quantity:f}", f"{part.source} {part.id or ''}".rstrip(), ""
    if found.feature is None or found.booked is None or found.held is None or found.period is None:
        return
    units = found.feature.units
    since, until = found.period.starts_at, found.period.resets_at
    period = f"from {_time(since) if since else 'the beginning'} to {_time(until) if until else 'no end'}"
    counted = f"{found.booked.records} entries, of them {found.booked.corrections} corrections of {units(found.booked.corrected):f}"
    yield "used", f"{units(found.booked.quantity):f}", counted, period
    for record in found.booked.largest:
        what = f"record {record.id}" if record.corrects is None else f"correction of {record.corrects}"
        more = ", ".join(text for text in (record.origin.reference, record.dimension, record.reason) if text)
        yield "", f"{units(record.quantity):f}", f"{what} ({more})" if more else what, f"at {_time(record.occurred_at)}"
    if found.held.holds:
        yield "held", f"{units(found.held.quantity):f}", f"{found.held.holds} {'hold' if found.held.holds == 1 else 'holds'}", ""
    for hold in found.held.largest:
        what = f"reservation {hold.reservation_id}"
        yield "", f"{units(hold.quantity):f}", f"{what} ({hold.reference})" if hold.reference else what, f"until {_time(hold.expires_at)}"


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
