"""Several server processes, many clients, one customer near its limit, everything at once, and kill -9 at random."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from typing import Any

import asyncpg
import httpx

from tests.integration.coaching import days_ago
from tests.integration.race import AUTHORIZATION, LIMIT, SHORT_SECONDS, SOFT_LIMIT, Client, Fleet, Told
from tests.integration.service import Database, new_id, tollgate

PROCESSES = 3
CLIENTS = 24
SECONDS = 15
KILLS_MIN = 2

STANDING = """
    SELECT (SELECT coalesce(sum(quantity), 0)::bigint FROM usage_record WHERE customer_id = $1 AND feature = 'calls') AS ledger,
        (SELECT used FROM usage_counter WHERE customer_id = $1 AND feature = 'calls') AS counter,
        (SELECT coalesce(sum(quantity), 0)::bigint FROM usage_hold
            WHERE customer_id = $1 AND feature = 'calls' AND expires_at > now()) AS held
"""


def test_nothing_is_overshot_lost_or_counted_twice_while_processes_are_killed(database_url: str) -> None:
    told, customer_id, anchor = Told(), new_id(), days_ago(3)
    with Fleet(database_url, PROCESSES) as fleet:
        prepare(fleet, customer_id, anchor)
        highest = asyncio.run(race(fleet, customer_id, told))
        status = fleet.services[0].admin.get(f"/api/v1/customers/{customer_id}/usage").json()["features"]
    assert fleet.kills >= KILLS_MIN
    assert told.retries > 0
    assert LIMIT - 5 <= highest <= LIMIT
    ledger = Ledger(Database(database_url), customer_id)
    ledger.has_everything_that_was_acknowledged_once(told)
    ledger.has_nothing_else(told)
    ledger.measures_each_period_by_itself(anchor)
    ledger.falls_nowhere_below_zero(anchor)
    ledger.raised_what_it_shows_once(Raised(Database(database_url), customer_id), anchor)
    assert (status["calls"]["used"], status["calls"]["held"]) == (ledger.total("calls"), 0)
    assert status["tokens"]["used"] == ledger.total("tokens")
    reconciled = tollgate("reconcile", database_url=database_url)
    assert reconciled.returncode == 0, reconciled.stdout


def prepare(fleet: Fleet, customer_id: str, anchor: datetime) -> None:
    admin = fleet.services[0].admin
    for feature in ("calls", "pages", "tokens"):
        assert admin.put(f"/api/v1/features/{feature}", json={"unit": "unit", "resolution": 1}).status_code == 201
    metered = {"calls": LIMIT, "pages": SOFT_LIMIT, "tokens": None, "sessions": None, "minutes": None}
    soft = {"pages": {"enforcement": "soft"}}
    entitlements = {key: {"type": "metered", "limit": limit} | soft.get(key, {}) for key, limit in metered.items()}
    assert admin.put("/api/v1/plans/race", json={"name": "Race", "entitlements": entitlements}).status_code == 201
    customer = {"plan": "race", "billing_anchor": anchor.isoformat()}
    assert admin.put(f"/api/v1/customers/{customer_id}", json=customer).status_code == 201


async def race(fleet: Fleet, customer_id: str, told: Told) -> int:
    """Returns when every client has its last answer; the highest usage that was ever seen.

    It goes on for as long as a slow machine takes to replace the processes that are killed.
    """
    choice, over = random.Random(), asyncio.Event()
    end = time.monotonic() + SECONDS
    limits = httpx.Limits(max_connections=CLIENTS + 10)
    async with httpx.AsyncClient(timeout=30, limits=limits, verify=False, trust_env=False) as http, asyncio.TaskGroup() as tasks:
        seen = [tasks.create_task(watch_database(fleet, customer_id, over)), tasks.create_task(watch(fleet, customer_id, http, over))]
        for _ in range(CLIENTS):
            client = Client(fleet, customer_id, told, http, random.Random(choice.random()))
            tasks.create_task(client.run(lambda: not over.is_set()))
        while time.monotonic() < end - 3 or fleet.kills < KILLS_MIN:
            await asyncio.sleep(choice.uniform(0.3, 1.5))
            await asyncio.to_thread(fleet.kill_and_replace, choice.randrange(PROCESSES))
        await asyncio.sleep(max(3, end - time.monotonic()))
        over.set()
    await asyncio.sleep(SHORT_SECONDS)
    return max(task.result() for task in seen)


async def watch(fleet: Fleet, customer_id: str, http: httpx.AsyncClient, over: asyncio.Event) -> int:
    """What any process says, at any moment."""
    highest = 0
    while not over.is_set():
        try:
            answer = await http.get(f"{random.choice(fleet.addresses)}/api/v1/customers/{customer_id}/usage", headers=AUTHORIZATION)
        except httpx.TransportError:  # it was killed just now
            continue
        if answer.status_code == 200:
            calls = answer.json()["features"]["calls"]
            highest = max(highest, calls["used"] + calls["held"])
        await asyncio.sleep(0.02)
    return highest


async def watch_database(fleet: Fleet, customer_id: str, over: asyncio.Event) -> int:
    """What is committed, at any moment: never more than the limit, and the counter is the ledger's sum."""
    connection = await asyncpg.connect(fleet.services[0].database.url)
    highest = 0
    while not over.is_set():
        row = await connection.fetchrow(STANDING, customer_id)
        assert row["counter"] in (row["ledger"], None)
        highest = max(highest, row["ledger"] + row["held"])
        await asyncio.sleep(0.01)
    await connection.close()
    return highest


class Raised:
    """What was raised in the end: the rows and the events."""

    def __init__(self, database: Database, customer_id: str) -> None:
        self.rows = database.rows("SELECT * FROM usage_alert WHERE customer_id = $1", customer_id)
        select = "SELECT id, CAST(payload AS text) FROM outbox_event WHERE customer_id = $1 AND type LIKE 'usage.%'"
        self.events = {row["id"]: json.loads(row["payload"]) for row in database.rows(select, customer_id)}


class Ledger:
    """What was booked in the end, held against what callers were told."""

    def __init__(self, database: Database, customer_id: str) -> None:
        self.rows = database.rows("SELECT * FROM usage_record WHERE customer_id = $1", customer_id)
        self.reservations = database.rows("SELECT id, state FROM reservation WHERE customer_id = $1", customer_id)
        self.sessions = database.rows("SELECT id FROM coaching_session WHERE customer_id = $1", customer_id)
        by_reference = Counter((row["reference"], row["feature"], row["quantity"]) for row in self.rows if row["source"] != "correction")
        self.by_reference: Mapping[tuple[str, str, int], int] = by_reference

    def total(self, feature: str) -> int:
        return sum(row["quantity"] for row in self.rows if row["feature"] == feature)

    def has_everything_that_was_acknowledged_once(self, told: Told) -> None:
        assert told.record_ids <= {str(row["id"]) for row in self.rows}
        for reference, asked in told.booked.items():
            for feature, quantity in asked.items():
                assert self.by_reference[reference, feature, quantity] == 1, (reference, asked)
        events = Counter(row["event_id"] for row in self.rows if row["event_id"])
        assert events == Counter(f"event {number}" for number in told.events)
        corrected = [row for row in self.rows if row["corrects"]]
        corrections = Counter((str(row["corrects"]), row["quantity"]) for row in corrected if row["feature"] != "sessions")
        assert corrections == Counter(told.corrections.items())
        given_back = Counter((row["reference"], row["quantity"]) for row in corrected if row["feature"] == "sessions")
        assert given_back == Counter((id, -1) for id in told.given_back)
        states = {str(row["id"]): row["state"] for row in self.reservations}
        assert states == told.finished
        assert {str(row["id"]) for row in self.sessions} == told.sessions
        assert self.total("sessions") == len(told.sessions - told.given_back)

    def has_nothing_else(self, told: Told) -> None:
        """But for what was sent without a key and never answered: that may be there, once and as a whole."""
        for reference, asked in told.unknown.items():
            assert {self.by_reference[reference, feature, quantity] for feature, quantity in asked.items()} in ({0}, {1})
        known = told.booked.keys() | told.unknown.keys() | told.sessions
        assert {row["reference"] for row in self.rows if not row["event_id"]} <= known

    def measures_each_period_by_itself(self, anchor: datetime) -> None:
        """All overages of a period, and what corrections took back of them, are what it has above its limit in the end."""
        for feature, limit in (("calls", LIMIT), ("pages", SOFT_LIMIT)):
            for period in self.periods(feature, anchor):
                above = max(sum(row["quantity"] for row in period) - limit, 0)
                assert sum(row["overage"] for row in period) == above, feature
        assert any(row["overage"] > 0 for row in self.periods("pages", anchor)[0]), "there was overage in the last period"

    def raised_what_it_shows_once(self, raised: Raised, anchor: datetime) -> None:
        """Of the current period, each threshold that its usage ever stood at, by one row and one event with the same figures."""
        assert {row["event_id"] for row in raised.rows} == raised.events.keys()
        assert len(raised.rows) == len(raised.events)
        assert all(raised.events[row["event_id"]]["used"] == row["used"] for row in raised.rows)
        assert all(row["period_start"] == anchor for row in raised.rows)
        found = Counter((row["feature"], row["name"]) for row in raised.rows)
        expected = set()
        for feature, limit in (("calls", LIMIT), ("pages", SOFT_LIMIT)):
            current = sorted(self.periods(feature, anchor)[1], key=lambda row: row["id"])
            highest = max(accumulate(row["quantity"] for row in current))
            expected |= {(feature, f"percent:{percent}") for percent in (80, 95, 100) if highest * 100 >= limit * percent}
            expected |= {(feature, "overage")} if any(row["overage"] > 0 for row in current) else set()
        assert found == Counter(expected)

    def falls_nowhere_below_zero(self, anchor: datetime) -> None:
        corrected: Counter[str] = Counter()
        for row in self.rows:
            corrected[row["corrects"] or row["id"]] += row["quantity"]
        assert min(corrected.values()) >= 0
        for feature in ("calls", "pages", "tokens", "sessions"):
            assert all(sum(row["quantity"] for row in period) >= 0 for period in self.periods(feature, anchor))

    def periods(self, feature: str, anchor: datetime) -> Sequence[Sequence[Mapping[str, Any]]]:
        """The last one, and the current one."""
        mine = [row for row in self.rows if row["feature"] == feature]
        return [row for row in mine if row["occurred_at"] < anchor], [row for row in mine if row["occurred_at"] >= anchor]
