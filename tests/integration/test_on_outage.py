"""The database goes away under services that admit: every admitted decision is booked once, whatever is killed meanwhile."""

import json
import os
import random
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from infrastructure.embedded.postgres import EmbeddedPostgres
from tests.integration.service import Service, new_id, refused, tollgate, until

PLANS = """
features:
  calls: {unit: call, on_outage: admit}
  seats: {unit: seat}
  ai_cost: {on_outage: admit}
plans:
  small:
    entitlements:
      calls: {type: metered, limit: 100}
      seats: {type: metered, limit: 100}
      ai_cost: {type: metered, limit: 2}
"""


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tollgate-test-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def postgres(directory: Path) -> Iterator[EmbeddedPostgres]:
    postgres = EmbeddedPostgres(directory)
    yield postgres
    postgres.stop()


@pytest.fixture(scope="module")
def plans(directory: Path) -> Path:
    file = directory / "plans.yaml"
    file.write_text(PLANS)
    return file


@pytest.fixture(scope="module")
def service(postgres: EmbeddedPostgres, plans: Path) -> Iterator[Service]:
    with Service(postgres.start(), plans=plans, arguments=["--migrate"]) as service:
        yield service


@pytest.fixture
def customer(postgres: EmbeddedPostgres, service: Service) -> str:
    """One that the service has decided about."""
    postgres.start()
    until(lambda: booked(service), expected="the service to have recovered")
    return known_to(service)


def known_to(service: Service, used: float = 1) -> str:
    id = new_id()
    assert service.admin.put(f"/api/v1/customers/{id}", json={"plan": "small"}).status_code == 201
    assert consume(service, id, used).status_code == 200
    return id


def booked(service: Service) -> bool:
    """Nothing waits, and the process decides by the database again."""
    ready = service.anyone.get("/readyz")
    return ready.status_code == 200 and ready.json()["waiting"] == 0


def consume(
    service: Service, customer_id: str, quantity: float = 1, feature: str = "calls", key: str | None = None, **body: Any
) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    usage = [{"feature": feature, "quantity": quantity}]
    return service.admin.post(f"/api/v1/customers/{customer_id}/usage", json={"usage": usage, **body}, headers=headers)


def admitted(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    assert answer["degraded"] is True
    return answer


def journals(service: Service) -> list[Path]:
    return list((service.data_dir / "journal").glob("*.journal"))


def ledger(service: Service, customer_id: str) -> list[dict[str, Any]]:
    return service.database.rows("SELECT * FROM usage_record WHERE customer_id = $1 ORDER BY occurred_at, id", customer_id)


def test_what_fits_into_the_last_known_balance_is_admitted_and_booked_once_under_the_ids_that_were_told(
    service: Service, postgres: EmbeddedPostgres, customer: str
) -> None:
    assert "degraded" not in consume(service, customer, 9).json()
    postgres.stop()
    first = admitted(consume(service, customer, 60))
    assert first["balances"]["calls"] | {"resets_at": None} == {
        "used": 70,
        "held": 0,
        "limit": 100,
        "remaining": 30,
        "allowance": 100,
        "granted": 0,
        "resets_at": None,
    }
    facts = refused(consume(service, customer, 31), 403, "usage_limit_exceeded")
    assert (facts["current_usage"], facts["remaining"]) == (70, 30)
    second = admitted(consume(service, customer, 30))
    refused(consume(service, customer, 1), 403, "usage_limit_exceeded")
    done = admitted(consume(service, customer, 5, mode="record", reference="order 7"))
    assert done["over_limit"] is True
    postgres.start()
    until(lambda: booked(service), expected="all to be booked")
    told = {record["id"] for answer in (first, second, done) for record in answer["records"]}
    entries = {str(row["id"]): row for row in ledger(service, customer)}
    assert told <= entries.keys()
    assert len(entries) == 5
    assert entries[done["records"][0]["id"]]["reference"] == "order 7"
    assert entries[done["records"][0]["id"]]["overage"] == 5
    assert service.database.used(customer, "calls") == (105, 105)
    assert journals(service) == []
    refused(consume(service, customer), 403, "usage_limit_exceeded")


def test_a_repeat_gets_the_same_answer_during_the_outage_and_after_it(service: Service, postgres: EmbeddedPostgres, customer: str) -> None:
    postgres.stop()
    first = consume(service, customer, 2, key="once")
    admitted(first)
    again = consume(service, customer, 2, key="once")
    assert (again.content, again.headers["Idempotency-Replayed"]) == (first.content, "true")
    refused(consume(service, customer, 3, key="once"), 422, "idempotency_key_reused")
    postgres.start()
    until(lambda: booked(service), expected="all to be booked")
    later = consume(service, customer, 2, key="once")
    assert (later.content, later.headers["Idempotency-Replayed"]) == (first.content, "true")
    refused(consume(service, customer, 3, key="once"), 422, "idempotency_key_reused")
    assert service.database.used(customer, "calls") == (3, 3)


def test_a_request_that_was_booked_before_the_outage_is_not_booked_again(
    service: Service, postgres: EmbeddedPostgres, customer: str
) -> None:
    assert consume(service, customer, 2, key="before").status_code == 200
    postgres.stop()
    admitted(consume(service, customer, 2, key="before"))
    postgres.start()
    until(lambda: booked(service), expected="all to be booked")
    assert service.database.used(customer, "calls") == (3, 3)


def test_each_limit_refuses_as_it_does_otherwise(service: Service, postgres: EmbeddedPostgres, customer: str) -> None:
    postgres.stop()
    admitted(consume(service, customer, 1.5, "ai_cost"))
    refused(consume(service, customer, 0.51, "ai_cost"), 402, "budget_exceeded")
    refused(consume(service, customer, 0, "calls"), 422, "invalid_quantity")


def test_what_does_not_admit_or_is_not_known_is_refused_as_before(service: Service, postgres: EmbeddedPostgres, customer: str) -> None:
    postgres.stop()
    both = {"usage": [{"feature": "calls", "quantity": 1}, {"feature": "seats", "quantity": 1}]}
    for response in (
        consume(service, customer, feature="seats"),
        service.admin.post(f"/api/v1/customers/{customer}/usage", json=both),
        consume(service, new_id()),
        service.admin.get(f"/api/v1/customers/{customer}/usage"),
    ):
        refused(response, 503, "storage_unavailable")


def test_a_batch_is_decided_item_by_item(service: Service, postgres: EmbeddedPostgres, customer: str) -> None:
    postgres.stop()
    item = {"customer_id": customer, "usage": [{"feature": "calls", "quantity": 60}]}
    other = {"customer_id": customer, "usage": [{"feature": "seats", "quantity": 1}]}
    items = [item | {"idempotency_key": "a"}, item | {"idempotency_key": "a"}, item, other]
    results = service.admin.post("/api/v1/usage/batch", json={"items": items}).json()["results"]
    assert [result["status"] for result in results] == [200, 200, 403, 503]
    assert results[0] == results[1]
    whole = {"json": {"items": [item | {"usage": [{"feature": "calls", "quantity": 3}]}]}, "headers": {"Idempotency-Key": "whole"}}
    first = service.admin.post("/api/v1/usage/batch", **whole)
    assert first.json()["results"][0]["body"]["degraded"] is True
    postgres.start()
    until(lambda: booked(service), expected="all to be booked")
    assert service.admin.post("/api/v1/usage/batch", **whole).content == first.content
    assert service.database.used(customer, "calls") == (64, 64)


def test_how_much_waits_is_shown(service: Service, postgres: EmbeddedPostgres, customer: str) -> None:
    postgres.stop()
    for _ in range(3):
        admitted(consume(service, customer))
    detail = refused(service.anyone.get("/readyz"), 503, "storage_unavailable")
    assert detail["waiting"] == 3
    assert "tollgate_outage_waiting 3.0" in service.admin.get("/metrics").text
    (file,) = journals(service)
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_reconcile_tells_what_waits_and_what_was_rejected(service: Service, customer: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name, "left.journal").write_bytes(b"one\ntwo\n")
        Path(name, "rejected.ndjson").write_bytes(b"{}\n")
        told = tollgate("reconcile", "--customer", customer, database_url=service.database.url, journal_dir=name)
    assert told.returncode == 0, told.stderr
    assert f"2 admitted decisions wait in {name} to be booked by the service." in told.stdout
    assert f"1 admitted decision could not be booked: see {name}/rejected.ndjson." in told.stdout


def test_a_service_key_is_known_while_the_database_is_away_if_it_was_known_before(
    service: Service, postgres: EmbeddedPostgres, customer: str
) -> None:
    known, unknown = (service.admin.post("/api/v1/keys", json={"name": new_id(), "scope": "write"}).json()["key"] for _ in range(2))
    path, body = f"/api/v1/customers/{customer}/usage", {"usage": [{"feature": "calls", "quantity": 1}]}
    assert service.key(known).post(path, json=body).status_code == 200
    postgres.stop()
    admitted(service.key(known).post(path, json=body))
    refused(service.key(known[:-1] + ("A" if known[-1] != "A" else "B")).post(path, json=body), 401, "unauthenticated")
    refused(service.key(unknown).post(path, json=body), 503, "storage_unavailable")


def test_what_cannot_be_booked_is_put_aside_with_the_reason(service: Service, postgres: EmbeddedPostgres, customer: str) -> None:
    assert consume(service, customer, 2, key="taken").status_code == 200
    postgres.stop()
    admitted(consume(service, customer, 3, key="taken"))
    answer = admitted(consume(service, customer, 4))
    postgres.start()
    until(lambda: booked(service), expected="all to be booked")
    assert service.database.used(customer, "calls") == (7, 7)
    assert answer["records"][0]["id"] in {str(row["id"]) for row in ledger(service, customer)}
    letters = [json.loads(line) for line in (service.data_dir / "journal" / "rejected.ndjson").read_text().splitlines()]
    (letter,) = [letter for letter in letters if letter["decision"]["customer_id"] == customer]
    assert (letter["reason"], letter["decision"]["key"]) == ("IdempotencyKeyReused", "taken")
    assert "cannot be booked" in service.errors


class Callers:
    """Threads that consume one by one, each call under a key of its own, at several services; what is admitted is kept."""

    def __init__(self, services: list[Service], customers: list[str], threads: int = 4) -> None:
        self.services = services
        self.customers = customers
        self.admitted: set[tuple[str, str]] = set()  # by customer and key
        self.degraded = 0
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(random.Random(seed),)) for seed in range(threads)]

    def _call(self, chance: random.Random) -> None:
        while not self._end.is_set():
            customer, key, service = chance.choice(self.customers), new_id("key"), chance.choice(self.services)
            for _ in range(2 if chance.random() < 0.2 else 1):
                try:
                    response = consume(service, customer, key=key)
                except httpx.TransportError:
                    continue
                if response.status_code == 200:
                    self.admitted.add((customer, key))
                    self.degraded += "degraded" in response.json()

    def __enter__(self) -> "Callers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def until_degraded(self, more: int = 40) -> None:
        enough = self.degraded + more
        until(lambda: self.degraded >= enough, expected=f"{more} more degraded answers")


def stop(postgres: EmbeddedPostgres, directory: Path) -> None:
    postgres.stop()


def kill(postgres: EmbeddedPostgres, directory: Path) -> None:
    os.kill(int((directory / "postgres" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)


@pytest.mark.parametrize("end", [stop, kill])
def test_under_traffic_every_admitted_decision_is_booked_once_though_a_service_is_killed(
    postgres: EmbeddedPostgres, directory: Path, plans: Path, end: Callable[[EmbeddedPostgres, Path], None]
) -> None:
    url = postgres.start()
    unlimited = plans.parent / "unlimited.yaml"
    unlimited.write_text("plans:\n  small:\n    entitlements:\n      calls: {type: metered, limit: null}\n")
    with Service(url, plans=plans, arguments=["--migrate"]) as one, tempfile.TemporaryDirectory(prefix="tollgate-test-") as name:
        assert tollgate("plans", "push", unlimited, database_url=url).returncode == 0
        other = Service(url, plans=None, data_dir=Path(name)).begin().until_ready()
        customers = [known_to(one) for _ in range(3)]
        for customer in customers:
            consume(other, customer)
        with Callers([one, other], customers) as callers:
            end(postgres, directory)
            callers.until_degraded()
            other.kill_group()
            callers.until_degraded()
            postgres.start()
            with Service(url, plans=None, data_dir=Path(name)) as again:
                callers.services[1] = again
                until(lambda: booked(one) and booked(again), expected="all to be booked")
                callers.services[:] = [again]
                until(lambda: booked(again), expected="all to be booked")
        other.discard()
        assert callers.degraded
        for customer in customers:
            replies = one.database.rows("SELECT key, reply FROM idempotency_key WHERE customer_id = $1", customer)
            stored = {row["key"]: json.loads(row["reply"].partition(b"\n")[2])["records"][0]["id"] for row in replies}
            assert {key for of, key in callers.admitted if of == customer} <= stored.keys()
            # One record for each key, also for those whose answer nobody got. It is the one that a repeat is told: where a commit's
            # outcome was unknown, its answer during the outage had another id.
            ids = [str(row["id"]) for row in ledger(one, customer)]
            assert len(ids) == len(set(ids)) == len(stored) + 2
            assert set(stored.values()) < set(ids)
            assert one.database.used(customer, "calls") == (len(ids), len(ids))
        assert not list((Path(name) / "journal").glob("*.journal"))
