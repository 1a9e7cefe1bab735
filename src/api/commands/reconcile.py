"""Compare product records, ledger and counters, and repair them."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from api.commands import CommandFailed
from api.container import Container
from core.errors import DomainError
from core.plans.features import plural
from core.reconciliation.drift import Drift
from infrastructure.outage.dead_letters import DEAD_LETTERS
from infrastructure.outage.journal import Waiting


async def reconcile(container: Container, customer: str | None, *, repair: bool, out: Console) -> bool:
    """Prints what disagrees, repairs it if asked to, and says whether there was anything. Raises CommandFailed."""
    _tell_journalled(await container.outage_journal().everywhere(), container.settings().journal_directory, out)
    use_case = container.reconcile()
    found: list[Drift] = []
    written = 0
    try:
        if customer is not None:
            await container.customer_reader().get(customer)
        with Progress(console=Console(stderr=True), transient=True) as progress:
            bar = progress.add_task("customers", total=await use_case.count(customer))
            async for page in use_case.customers(customer):
                drift = await use_case.find(page)
                found += drift
                if repair and drift:
                    written += await use_case.repair(drift)
                progress.advance(bar, len(page))
    except DomainError as error:
        raise CommandFailed(error.message) from error
    if not found:
        out.print("Product records, ledger and counters agree.")
        return False
    out.print(await _table(container, found))
    counters = len({(item.customer_id, item.feature) for item in found if item.where != "rollup"})
    rollups = sum(item.where == "rollup" for item in found)
    drifted = _counted(counters, "counter") + (f" and {_counted(rollups, 'rollup')}" if rollups else "")
    if repair:
        out.print(f"Repaired: {drifted} rebuilt, {_counted(written, 'ledger record')} written with the reason 'reconcile'.")
    else:
        out.print(f"{drifted} drifted: repair with 'tollgate reconcile --repair'.")
    return True


def _tell_journalled(waiting: Waiting, directory: Path, out: Console) -> None:
    """What was admitted on an outage and is not in the ledger: that is no drift, and a repair does not book it."""
    if waiting.decisions:
        wait = "waits" if waiting.decisions == 1 else "wait"
        out.print(f"{_counted(waiting.decisions, 'admitted decision')} {wait} in {directory} to be booked by the service.")
    if waiting.rejected:
        out.print(f"{_counted(waiting.rejected, 'admitted decision')} could not be booked: see {directory / DEAD_LETTERS}.")


def _counted(number: int, what: str) -> str:
    return f"{number} {what if number == 1 else plural(what)}"


async def _table(container: Container, found: Sequence[Drift]) -> Table:
    catalog = await container.plan_reader().features()
    table = Table("customer", "feature", "period", "in", "recorded", "expected", "difference")
    for item in found:
        feature = catalog.get(item.feature)
        assert feature is not None, "only declared features are counted"
        start = item.period.starts_at.isoformat() if item.period.starts_at else "the beginning"
        end = item.period.resets_at.isoformat() if item.period.resets_at else "open"
        numbers = (f"{feature.units(parts):f}" for parts in (item.recorded, item.expected, item.difference))
        table.add_row(item.customer_id, item.feature, f"{start} to {end}", item.where, *numbers)
    return table
