"""What a process measures of outages, for Prometheus."""

from typing import Final

from prometheus_client import Counter, Gauge

ADMITTED: Final = Counter("tollgate_outage_admitted", "Decisions that were admitted and journalled while the database was away.")
BOOKED: Final = Counter("tollgate_outage_booked", "Journalled decisions that were booked.")
REJECTED: Final = Counter("tollgate_outage_rejected", "Journalled decisions that could not be booked, by reason.", ("reason",))
NOT_WRITTEN: Final = Counter("tollgate_outage_not_written", "Decisions that were refused since the journal was full, too old or broken.")
ROUNDS_FAILED: Final = Counter("tollgate_outage_rounds_failed", "Times that booking what was admitted failed, and is tried again.")
WAITING: Final = Gauge("tollgate_outage_waiting", "Journalled decisions that wait to be booked.", multiprocess_mode="livesum")
AWAY: Final = Gauge("tollgate_outage_processes", "Processes that decide by last known balances.", multiprocess_mode="livesum")
