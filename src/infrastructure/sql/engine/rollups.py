"""Rollups of the ledger: sums by quarter hours, hours and days of UTC, so that a long time is summed as quickly as a short one.

Why they are right is told in docs/architecture/history.md.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import BigInteger, Column, DateTime, Integer, PrimaryKeyConstraint, Table, Text, Uuid

from core.metering.ledger import Share, UsageRecord
from core.metering.meters import Meter
from infrastructure.sql.driver.rows import Rows
from infrastructure.sql.driver.schema import metadata
from infrastructure.sql.driver.statements import Driver, HotStatement
from infrastructure.sql.engine.cover import QUARTER, Piece, cover, floor
from infrastructure.sql.engine.ledger import SUM_MAX

usage_rollup: Final = Table(
    "usage_rollup",
    metadata,
    Column("customer_id", Text, nullable=False),
    Column("feature", Text, nullable=False),
    Column("grain_seconds", Integer, nullable=False),
    Column("start", DateTime(timezone=True), nullable=False),
    Column("dimension", Text, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    PrimaryKeyConstraint("customer_id", "feature", "grain_seconds", "start", "dimension"),
)
"""What was used within `start <= t < start + grain_seconds`. A dimension of '' is usage without one."""

usage_rollup_state: Final = Table(
    "usage_rollup_state",
    metadata,
    Column("customer_id", Text, nullable=False),
    Column("feature", Text, nullable=False),
    Column("rolled_until", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("customer_id", "feature"),
)
"""How far the rollups reach. Whoever writes rollups has locked this row."""

usage_rollup_stale: Final = Table(
    "usage_rollup_stale",
    metadata,
    Column("customer_id", Text, nullable=False),
    Column("feature", Text, nullable=False),
    Column("start", DateTime(timezone=True), nullable=False),
    Column("id", Uuid, nullable=False),
    PrimaryKeyConstraint("customer_id", "feature", "start", "id"),
)
"""Quarter hours that are not what their rollup says. Each transaction marks with ids of its own: what it marks nobody else has marked."""


class Stale(NamedTuple):
    """A quarter hour that got another record after it had been closed; `id` is that of the first such record of a transaction."""

    customer_id: str
    feature: str
    start: datetime
    id: UUID


STALE: Final = Rows[Stale](usage_rollup_stale, tuple, lambda row: Stale(*row))


def late(records: Iterable[UsageRecord], closed: Mapping[Meter, datetime]) -> dict[tuple[Meter, datetime], Stale]:
    """By meter and quarter hour, what is stale once these records are there. `closed` is until when each meter's time is closed."""
    latest = max(closed.values())
    found: dict[tuple[Meter, datetime], Stale] = {}
    for record in records:
        if record.occurred_at < latest:
            meter = record.meter
            if meter in closed and record.occurred_at < closed[meter]:
                start = floor(record.occurred_at, QUARTER)
                found.setdefault((meter, start), Stale(*meter, start, record.id))
    return found


_STANDS: Final = HotStatement(
    """
    SELECT s.feature, s.rolled_until,
        ARRAY(
            SELECT DISTINCT m.start FROM usage_rollup_stale AS m WHERE m.customer_id = s.customer_id AND m.feature = s.feature
        ) AS stale
    FROM usage_rollup_state AS s
    JOIN usage_counter AS c ON c.customer_id = s.customer_id AND c.feature = s.feature AND c.closed_until IS NOT NULL
    WHERE s.customer_id = :customer_id AND s.feature = ANY(CAST(:features AS text[]))
    """
)

_SUMMED: Final = HotStatement(
    f"""
    SELECT width_bucket(part.start, CAST(:cuts AS timestamptz[])) AS n,
        CASE WHEN CAST(:by_dimension AS boolean) THEN part.dimension END AS dimension,
        CAST(least(sum(part.quantity), {SUM_MAX}) AS bigint) AS quantity
    FROM (
        SELECT u.start, nullif(u.dimension, '') AS dimension, u.quantity
        FROM unnest(CAST(:grains AS integer[]), CAST(:starts AS timestamptz[]), CAST(:ends AS timestamptz[]))
            AS wanted (grain_seconds, first, last)
        CROSS JOIN LATERAL (
            SELECT * FROM usage_rollup AS u
            WHERE u.customer_id = :customer_id AND u.feature = :feature AND u.grain_seconds = wanted.grain_seconds
              AND u.start >= wanted.first AND u.start < wanted.last
            OFFSET 0
        ) AS u
        UNION ALL
        SELECT r.occurred_at, r.dimension, r.quantity
        FROM unnest(CAST(:ledger_starts AS timestamptz[]), CAST(:ledger_ends AS timestamptz[])) AS wanted (first, last)
        CROSS JOIN LATERAL (
            SELECT r.occurred_at, r.dimension, r.quantity FROM usage_record AS r
            WHERE r.customer_id = :customer_id AND r.feature = :feature
              AND r.occurred_at >= wanted.first AND r.occurred_at < wanted.last
            OFFSET 0
        ) AS r
    ) AS part
    GROUP BY 1, 2
    """
)


async def sums_between(
    driver: Driver, customer_id: str, cuts: Mapping[str, Sequence[datetime]], *, by_dimension: bool
) -> Mapping[str, Sequence[Sequence[Share]]]:
    """By feature, the ledger's own sums between its cuts, as of the snapshot of the transaction, which has to see one moment."""
    stands = await _STANDS.fetch(driver, {"customer_id": customer_id, "features": list(cuts)})
    known = {row["feature"]: (row["rolled_until"], row["stale"]) for row in stands}
    found = {}
    for feature, instants in cuts.items():
        pieces = cover(instants, *known.get(feature, (None, ())))
        found[feature] = await _between(driver, customer_id, feature, instants, pieces, by_dimension=by_dimension)
    return found


async def _between(
    driver: Driver, customer_id: str, feature: str, cuts: Sequence[datetime], pieces: Sequence[Piece], *, by_dimension: bool
) -> Sequence[Sequence[Share]]:
    rolled = [(grain, start, end) for grain, start, end in pieces if grain is not None]
    ledger = [piece for piece in pieces if piece.grain is None]
    parameters = {
        "customer_id": customer_id,
        "feature": feature,
        "cuts": cuts,
        "by_dimension": by_dimension,
        "grains": [int(grain.total_seconds()) for grain, _, _ in rolled],
        "starts": [start for _, start, _ in rolled],
        "ends": [end for _, _, end in rolled],
        "ledger_starts": [piece.start for piece in ledger],
        "ledger_ends": [piece.end for piece in ledger],
    }
    shares: list[list[Share]] = [[] for _ in cuts[1:]]
    for n, dimension, quantity in await _SUMMED.fetch(driver, parameters):
        shares[n - 1].append(Share(dimension, quantity))
    return shares
