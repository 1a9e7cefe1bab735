"""Whether anything of a customer's usage has changed: one question for everyone who watches."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final

from core.portal.ports import UsageWatch
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.statements import HotStatement

_MARKS: Final = HotStatement(
    """
    SELECT wanted.customer_id, md5(concat_ws(';', c.updated_at, counters.mark, holds.mark)) AS mark
    FROM unnest(CAST(:customer_ids AS text[])) AS wanted (customer_id)
    CROSS JOIN LATERAL (SELECT * FROM customer AS c WHERE c.customer_id = wanted.customer_id LIMIT 1) AS c
    CROSS JOIN LATERAL (
        SELECT string_agg(concat_ws(',', u.feature, u.used, u.period_start, u.funds), ';' ORDER BY u.feature) AS mark
        FROM usage_counter AS u WHERE u.customer_id = wanted.customer_id
    ) AS counters
    CROSS JOIN LATERAL (
        SELECT concat_ws(',', count(*), sum(h.quantity)) AS mark
        FROM usage_hold AS h WHERE h.customer_id = wanted.customer_id AND h.expires_at > :at
    ) AS holds
    """
)


class SqlUsageWatch(UsageWatch):
    """Looks at counters and holds, which every booking changes, and never at the ledger."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def marks(self, customer_ids: Collection[str], at: datetime) -> Mapping[str, str]:
        values = {"customer_ids": sorted(customer_ids), "at": at}
        rows = await self._connections.ask(lambda driver: _MARKS.fetch(driver, values))
        return {row["customer_id"]: row["mark"] for row in rows}
