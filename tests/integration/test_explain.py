"""A decision taken to pieces: what it says is what the decision says, and its parts add up to it, now and at an instant."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from core.history.explain_usage import Explained, ExplainQuery
from core.metering.account import CustomerNotFound, NotYetACustomer
from core.metering.balance import Amount, LimitExceeded
from core.metering.correct_record import CorrectRecordCommand
from core.metering.finish_reservation import ReleaseReservationCommand
from core.metering.grants import GrantKind
from core.metering.issue_grant import IssueGrantCommand
from core.metering.reserve_usage import ReserveUsageCommand
from tests.integration.in_process import NOW, ORIGIN, Engine, consume, engine_on, record
from tests.integration.service import JWT_SECRET, Service, new_id, refused, tollgate
from tests.unit.fakes.calls import calls

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    async with engine_on(database_url) as engine:
        yield engine


async def explained(
    engine: Engine, customer_id: str, quantity: int = 1, at: datetime | None = None, feature: str = "sessions"
) -> Explained:
    found: Explained = await engine.container.explain_usage().execute(ExplainQuery(customer_id, [Amount(feature, Decimal(quantity))], at))
    return found


async def hold(engine: Engine, customer_id: str, quantity: int, ttl: timedelta, reference: str) -> Any:
    command = ReserveUsageCommand(customer_id=customer_id, amounts=[Amount("sessions", Decimal(quantity))], ttl=ttl, reference=reference)
    (found,) = await engine.container.reserve_usage().execute(calls(command))
    assert not isinstance(found, Exception), found
    return found


async def book(engine: Engine, call: Any) -> Any:
    (found,) = await engine.container.consume_usage().execute([call])
    return found


async def test_why_a_customer_is_refused_is_what_is_used_and_who_holds_the_rest(engine: Engine) -> None:
    acme = await engine.customer(sessions=30)
    await book(engine, record(acme, "sessions", 20))
    await book(engine, record(acme, "sessions", 8))
    held = await hold(engine, acme, 2, 65 * MINUTE, "job 7")
    found = await explained(engine, acme)
    refusal = await book(engine, consume(acme, "sessions"))
    assert isinstance(refusal, LimitExceeded)
    assert (type(found.checked.refusal), found.checked.refusal and found.checked.refusal.facts()) == (LimitExceeded, refusal.facts())
    sessions = found.features["sessions"]
    assert sessions.sentence == "30 of 30 sessions are used or set aside: 28 used, 2 held by running operations until 13:05 UTC."
    assert sessions.booked is not None
    assert sessions.held is not None
    assert (sessions.booked.records, sessions.booked.quantity) == (2, 28)
    assert [item.quantity for item in sessions.booked.largest] == [20, 8]
    assert [(item.reservation_id, item.quantity, item.reference) for item in sessions.held.largest] == [(held.reservation.id, 2, "job 7")]
    assert (await explained(engine, acme, 1, feature="minutes")).checked.refusal is not None


async def test_a_past_decision_is_explained_by_what_was_known_then(engine: Engine) -> None:
    engine.now = NOW - 3 * DAY
    acme = await engine.customer(sessions=10)
    await book(engine, consume(acme, "sessions", 6))
    engine.now = NOW - DAY
    held = await hold(engine, acme, 4, 20 * MINUTE, "job 8")
    at = NOW - DAY + MINUTE
    engine.now = at
    refusal = await book(engine, consume(acme, "sessions"))
    engine.now = at + MINUTE
    release = ReleaseReservationCommand(customer_id=acme, reservation_id=held.reservation.id)
    await engine.container.release_reservation().execute(calls(release))
    engine.now = NOW
    await book(engine, record(acme, "sessions", 3, occurred_at=NOW - 2 * DAY))
    found = await explained(engine, acme, at=at)
    assert found.checked.refusal is not None
    assert found.checked.refusal.facts() == refusal.facts()
    assert found.features["sessions"].sentence.startswith(
        "10 of 10 sessions are used or set aside: 6 used, 4 held by running operations until"
    )
    after = await explained(engine, acme, at=at + MINUTE)
    assert after.checked.refusal is None
    assert after.features["sessions"].sentence == "6 of 10 sessions are used."
    assert (await explained(engine, acme)).features["sessions"].sentence == "9 of 10 sessions are used."
    with pytest.raises(NotYetACustomer):
        await explained(engine, acme, at=NOW - 30 * DAY)


async def test_holds_that_expired_or_began_later_were_not_held(engine: Engine) -> None:
    acme = await engine.customer(sessions=10)
    await hold(engine, acme, 4, 10 * MINUTE, "early")
    engine.now = NOW + 60 * MINUTE
    await hold(engine, acme, 5, 10 * MINUTE, "late")
    engine.now = NOW + DAY
    for after, held in ((0, 4), (9, 4), (10, 0), (59, 0), (60, 5), (70, 0)):
        found = await explained(engine, acme, at=NOW + after * MINUTE)
        assert found.features["sessions"].held is not None
        assert found.features["sessions"].held.quantity == held, after


@pytest.mark.parametrize("past", [False, True])
async def test_the_parts_of_a_limit_add_up_to_it_grants_and_corrections_included(engine: Engine, past: bool) -> None:
    acme = await engine.customer(sessions=10)
    for number, (quantity, kind) in enumerate(((5, GrantKind.PAID), (3, GrantKind.PROMOTIONAL))):
        grant = IssueGrantCommand(
            customer_id=acme, feature="sessions", quantity=Decimal(quantity), kind=kind, reference=str(number), created_by="test"
        )
        await engine.container.issue_grant().execute(calls(grant))
    engine.now = NOW + MINUTE
    await book(engine, record(acme, "sessions", 14))
    booked = await book(engine, record(acme, "sessions", 2))
    correction = CorrectRecordCommand(
        customer_id=acme, record_id=booked.records[0].id, quantity=Decimal(-1), reason="refund", recorded_by="test"
    )
    await engine.container.correct_record().execute(calls(correction))
    found = await explained(engine, acme, 4, engine.now if past else None)
    sessions = found.features["sessions"]
    assert found.checked.refusal is not None
    assert sessions.balance is not None
    assert (sessions.balance.limit, sum(part.quantity or 0 for part in sessions.limit)) == (18, 18)
    assert sorted((part.source.value, part.quantity) for part in sessions.limit) == [("grant", 3), ("grant", 5), ("plan", 10)]
    assert sessions.booked is not None
    assert (sessions.booked.records, sessions.booked.corrections, sessions.booked.corrected, sessions.booked.quantity) == (3, 1, -1, 15)
    assert (await explained(engine, acme, 3, engine.now if past else None)).checked.refusal is None
    assert ORIGIN.reference in {item.origin.reference for item in sessions.booked.largest}


async def test_a_customer_that_is_unknown_is_told_so(engine: Engine) -> None:
    with pytest.raises(CustomerNotFound):
        await explained(engine, new_id())


@pytest.fixture
def customer(service: Service) -> str:
    """The path of a customer with 30 sessions, a number and a switch."""
    plan, path = new_id("plan"), f"/api/v1/customers/{new_id()}"
    entitlements = {
        "sessions": {"type": "metered", "limit": 30},
        "max_file_size_mb": {"type": "static", "value": 60},
        "exports": {"type": "boolean", "enabled": False},
    }
    assert service.admin.put(f"/api/v1/plans/{plan}", json={"name": "Plan", "entitlements": entitlements}).status_code == 201
    assert service.admin.put(path, json={"plan": plan}).status_code == 201
    return path


def ask(service: Service, path: str, *usage: tuple[str, float], **more: object) -> dict[str, Any]:
    body = {"usage": [{"feature": feature, "quantity": quantity} for feature, quantity in usage], **more}
    answer = service.admin.post(f"{path}/usage/explain", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_over_http_it_agrees_with_the_check(service: Service, customer: str) -> None:
    for quantity in (18, 10):
        service.admin.post(f"{customer}/usage", json={"usage": [{"feature": "sessions", "quantity": quantity}]})
    made = service.admin.post(
        f"{customer}/reservations", json={"usage": [{"feature": "sessions", "quantity": 2}], "reference": "job"}
    ).json()
    for usage in (
        [("sessions", 1)],
        [("max_file_size_mb", 60)],
        [("max_file_size_mb", 61), ("sessions", 1)],
        [("exports", 1)],
        [("minutes", 1)],
        [("unheard_of", 1)],
    ):
        body = {"usage": [{"feature": feature, "quantity": quantity} for feature, quantity in usage]}
        checked = service.admin.post(f"{customer}/usage/check", json=body).json()
        told = ask(service, customer, *usage)
        assert {key: told[key] for key in ("allowed", "reason", "binding")} == {
            key: checked[key] for key in ("allowed", "reason", "binding")
        }
        assert list(told["features"]) == [feature for feature, _ in usage]
    sessions = ask(service, customer, ("sessions", 1))["features"]["sessions"]
    assert sessions["sentence"].startswith("30 of 30 sessions are used or set aside: 28 used, 2 held by running operations until ")
    assert (sessions["used"]["records"], sessions["used"]["corrections"], sessions["used"]["quantity"]) == (2, 0, 28)
    assert sessions["held"] == [{"reservation_id": made["id"], "quantity": 2, "expires_at": made["expires_at"], "reference": "job"}]
    assert [(part["source"], part["quantity"]) for part in sessions["limit"]] == [("plan", 30)]
    assert sessions["period"]["start"] < sessions["period"]["end"]
    sentences = {key: ask(service, customer, (key, 1))["features"][key]["sentence"] for key in ("max_file_size_mb", "exports", "minutes")}
    assert sentences["max_file_size_mb"].endswith("grants 'max_file_size_mb' up to 60.")
    assert sentences["exports"].endswith("switches 'exports' off.")
    assert sentences["minutes"].endswith("does not include 'minutes'.")


def test_every_input_has_an_answer(service: Service, customer: str) -> None:
    url = f"{customer}/usage/explain"
    one = {"usage": [{"feature": "sessions", "quantity": 1}]}
    refused(service.admin.post(url, json={"usage": [{"feature": "sessions", "quantity": 0}]}), 422, "invalid_quantity")
    refused(service.admin.post(url, json=one | {"at": "2020-01-01T00:00:00Z"}), 422, "not_yet_a_customer")
    refused(service.admin.post(f"/api/v1/customers/{new_id()}/usage/explain", json=one), 404, "customer_not_found")
    for body in ({}, {"usage": []}, one | {"at": "yesterday"}, one | {"mode": "record"}):
        assert service.admin.post(url, json=body).status_code == 422
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()  # noqa: TID251
    assert ask(service, customer, ("sessions", 1), at=soon)["allowed"]


def test_the_command_tells_people(service: Service, customer: str) -> None:
    service.admin.post(f"{customer}/usage", json={"usage": [{"feature": "sessions", "quantity": 30}], "reference": "order 7"})
    id = customer.removeprefix("/api/v1/customers/")

    def told(*arguments: str) -> Any:
        return tollgate("explain", id, *arguments, "--data-dir", service.data_dir, database_url=service.database.url, jwt_secret=JWT_SECRET)

    done = told("sessions")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "30 of 30 sessions are used."
    assert lines[1].startswith("1 session more, now: refused. ")
    assert "order 7" in done.stdout
    then = (datetime.now(UTC) + DAY).isoformat()  # noqa: TID251
    assert told("sessions", "--at", then, "--quantity", "2").stdout.splitlines()[1].startswith("2 sessions more, at ")
    assert "does not include" in told("minutes").stdout
    for mistaken in (("sessions", "--at", "yesterday"), ("sessions", "--quantity", "many"), ("sessions", "--quantity", "-1")):
        done = told(*mistaken)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr


def test_a_user_token_explains_its_own(service: Service, customer: str) -> None:
    user = service.user(customer.removeprefix("/api/v1/customers/"))
    answer = user.post(f"{customer}/usage/explain", json={"usage": [{"feature": "sessions", "quantity": 1}]})
    assert json.loads(answer.text)["allowed"] is True
