"""Several server processes, many clients, one customer near its limit, everything at once, and kill -9 at random."""

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import timedelta

import asyncpg
import httpx
import pytest
from tests.integration.coaching import days_ago
from tests.integration.race import EVENTS, LIMIT, SHORT_SECONDS, Client, Fleet, Told
from tests.integration.service import Database, new_id, tollgate, until

PROCESSES = 3
CLIENTS = 24
SECONDS = 15

STANDING = """
    SELECT (SELECT coalesce(sum(quantity), 0) FROM usage_record WHERE customer_id = $1 AND feature = 'calls') AS ledger,
        (SELECT used FROM usage_counter WHERE customer_id = $1 AND feature = 'calls') AS counter,
        (SELECT coalesce(sum(quantity), 0) FROM usage_hold WHERE customer_id = $1 AND feature = 'calls' AND expires_at > now()) AS held
"""


@pytest.fixture
def fleet(database_url: str) -> Iterator[Fleet]:
    fleet = Fleet(database_url, PROCESSES)
    try:
        for service in fleet.services:
            service.start_waiting() if hasattr(service, "start_waiting") else until(lambda s=service: "is ready at" in s.output, 60)
        yield fleet
    finally:
        fleet.stop()
