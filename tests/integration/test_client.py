"""The Python client against a running service."""

import asyncio
import os
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from tests.integration.service import ADMIN_KEY, Service, new_id, until
from tollgate_client import AsyncTollgate, Conflict, Denied, LimitExceeded, NotFound, NotInPlan, Tollgate

CLIENT = Path(__file__).parents[2] / "clients" / "python" / "src"

LEASING = """
import os, sys, time
from tollgate_client import LimitExceeded, Tollgate
url, key, customer, file = sys.argv[1:]
taken = 0
with Tollgate(url, key) as client, client.lease(customer, "units", chunk=25, ttl_seconds=5) as lease, open(file, "ab", buffering=0) as out:
    try:
        while True:
            lease.take()
            out.write(b".")
            time.sleep(0.001)  # so that all of them get some
    except LimitExceeded:
        pass
"""


@pytest.fixture(scope="module")
def client(services: tuple[Service, Service]) -> Tollgate:
    return Tollgate(services[0].address, ADMIN_KEY)


def customer_with(client: Tollgate, limit: int) -> str:
    """A new customer with so many units."""
    plan = new_id("plan")
    client.put_feature("units", unit="unit")
    client.put_plan(plan, entitlements={"units": {"type": "metered", "limit": limit}, "exports": {"type": "boolean", "enabled": True}})
    return client.put_customer(new_id(), plan=plan).customer_id


def test_four_lines(client: Tollgate) -> None:
    customer = customer_with(client, 10)
    assert client.consume(customer, units=4).balances["units"].remaining == 6
    with client.hold(customer, units=6) as hold:
        hold.used(units=1)
    with pytest.raises(LimitExceeded) as refused:
        client.consume(customer, units=6)
    assert (refused.value.remaining, refused.value.requested, refused.value.plan) == (5, 6, client.customer(customer).plan)
    assert client.check(customer, units=5).allowed
    assert client.usage(customer).features["exports"].type == "boolean"


def test_the_ledger_is_read_and_corrected(client: Tollgate) -> None:
    customer = customer_with(client, 1_000)
    for number in range(3):
        client.consume(customer, units=2, reference=f"job {number}", dimension="eu")
    entries = list(client.records(customer))
    assert [entry.reference for entry in entries] == ["job 2", "job 1", "job 0"]
    assert client.correct(customer, entries[0].id, quantity=-1, reason="refund").balance.used == 5
    assert Decimal(2) in [entry.quantity for entry in client.records(customer, reference="job 2")]
    assert client.usage(customer, breakdown=True).features["units"].breakdown  # type: ignore[union-attr]


def test_lists_are_read_page_by_page(client: Tollgate) -> None:
    customer = customer_with(client, 10_000)
    for _ in range(210):
        client.reserve(customer, units=1, ttl_seconds=600)
    held = list(client.reservations(customer, state="held"))
    assert len({reservation.id for reservation in held}) == 210


def test_reservations_by_hand(client: Tollgate) -> None:
    customer = customer_with(client, 10)
    reserved = client.reserve(customer, units=5, ttl_seconds=60)
    assert client.extend(customer, reserved.id, ttl_seconds=600).expires_at > reserved.expires_at
    assert client.commit(customer, reserved.id, units=2).state == "committed"
    with pytest.raises(Conflict):
        client.commit(customer, reserved.id)
    with pytest.raises(Conflict):
        client.extend(customer, reserved.id, ttl_seconds=5)
    other = client.reserve(customer, units=5)
    assert client.release(customer, other.id).state == client.reservation(customer, other.id).state == "released"


def test_events_are_booked_once(client: Tollgate) -> None:
    customer = customer_with(client, 10)
    event = {"specversion": "1.0", "id": new_id(), "source": "tests", "type": "units", "subject": customer, "data": {"quantity": 3}}
    assert client.ingest([event]).accepted == 1
    assert client.ingest([event]).duplicates == 1


def test_errors_have_their_families(services: tuple[Service, Service], client: Tollgate) -> None:
    customer = customer_with(client, 10)
    with pytest.raises(NotFound):
        client.consume(new_id(), units=1)
    with pytest.raises(NotInPlan):
        client.consume(customer, api_calls=1)
    with Tollgate(services[0].address, "tg_wrong") as stranger, pytest.raises(Denied):
        stranger.consume(customer, units=1)
    key = new_id()
    client.consume(customer, units=1, idempotency_key=key)
    client.consume(customer, units=1, idempotency_key=key)
    with pytest.raises(Conflict):
        client.consume(customer, units=2, idempotency_key=key)
    assert client.usage(customer).features["units"].used == 1  # type: ignore[union-attr]


async def test_concurrent_callers_share_requests_and_the_limit_holds(services: tuple[Service, Service], client: Tollgate) -> None:
    customer = await asyncio.to_thread(customer_with, client, 300)
    async with AsyncTollgate(services[0].address, ADMIN_KEY) as one, AsyncTollgate(services[1].address, ADMIN_KEY) as other:
        calls = [each.consume(customer, units=1) for _ in range(200) for each in (one, other)]
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(outcome, LimitExceeded) for outcome in found) == 100
        assert (await one.usage(customer)).features["units"].used == 300  # type: ignore[union-attr]


def test_leases_in_several_processes_are_never_over_the_limit_whatever_dies(
    services: tuple[Service, Service], client: Tollgate, tmp_path: Path
) -> None:
    customer = customer_with(client, 2_000)
    files = [tmp_path / str(number) for number in range(4)]
    environment = {**os.environ, "PYTHONPATH": str(CLIENT)}

    def begin(number: int) -> subprocess.Popen[bytes]:
        address = services[number % 2].address
        arguments = (address, ADMIN_KEY, customer, str(files[number]))
        return subprocess.Popen((sys.executable, "-c", LEASING, *arguments), env=environment)

    processes = [begin(0)]
    try:
        until(lambda: files[0].exists() and files[0].stat().st_size > 30, 60, "the first to have taken more than a chunk")
        processes += [begin(number) for number in (1, 2, 3)]
        until(lambda: files[0].stat().st_size > 60, 60, "the first to have taken more than two")
        processes[0].send_signal(signal.SIGKILL)
        for process in processes:
            process.wait(60)
    finally:
        for process in processes:
            process.kill()
    taken = sum(file.stat().st_size for file in files if file.exists())
    booked = client.usage(customer).features["units"].used  # type: ignore[union-attr]
    assert taken <= 2_000
    assert booked <= 2_000
    # What the killed one took and had not committed is lost: two chunks at most.
    assert taken - 50 <= booked <= taken
    until(lambda: client.usage(customer).features["units"].held == 0, 30, "its hold to lapse")  # type: ignore[union-attr]
    with client.lease(customer, "units", chunk=25) as lease:
        left = 2_000 - int(booked)
        for _ in range(left):
            lease.take()
        with pytest.raises(LimitExceeded):
            lease.take()
    assert client.usage(customer).features["units"].used == 2_000  # type: ignore[union-attr]
