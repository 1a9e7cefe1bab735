"""Any feature's usage by dimension, whichever way it was booked: shares that always add up to what is used."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from typing import Any

import httpx
import pytest

from tests.integration.coaching import days_ago
from tests.integration.service import Service, new_id, refused


class Booker:
    """A customer with 1,000,000 calls and as many dollars, booked through the generic routes."""

    def __init__(self, service: Service) -> None:
        self.service, self.id = service, new_id()
        plan = new_id("plan")
        assert service.admin.put("/api/v1/features/tokens", json={"unit": "thousand", "resolution": 1000}).is_success
        entitlements = {key: {"type": "metered", "limit": 1_000_000, "reset": "month"} for key in ("tokens", "ai_cost")}
        body = {"name": "Plan", "entitlements": entitlements | {"seats": {"type": "static", "value": 5}}}
        assert service.admin.put(f"/api/v1/plans/{plan}", json=body).status_code == 201
        assert service.admin.put(f"/api/v1/customers/{self.id}", json={"plan": plan}).status_code == 201

    def post(self, path: str, body: object) -> httpx.Response:
        return self.service.admin.post(f"/api/v1/customers/{self.id}/{path}", json=body)

    def get(self, path: str, **query: Any) -> Any:
        response = self.service.admin.get(f"/api/v1/customers/{self.id}/{path}", params=query)
        assert response.status_code == 200, response.text
        return response.json()

    def books(self, quantity: float, dimension: str | None = None, feature: str = "tokens", **fields: object) -> str:
        usage = {"feature": feature, "quantity": quantity} | ({"dimension": dimension} if dimension else {})
        response = self.post("usage", {"usage": [usage]} | fields)
        assert response.status_code == 200, response.text
        id: str = response.json()["records"][0]["id"]
        return id

    def corrects(self, record: str, quantity: float) -> httpx.Response:
        return self.post(f"usage/records/{record}/corrections", {"quantity": quantity, "reason": "refund"})

    def shares(self, feature: str = "tokens") -> dict[str | None, float]:
        """By dimension; their sum is what is used."""
        status = self.get("usage", breakdown="true")["features"][feature]
        shares = status["breakdown"]
        assert sum((Decimal(str(share["used"])) for share in shares), Decimal(0)) == Decimal(str(status["used"]))
        assert [share["used"] for share in shares if share["dimension"] != "other"] == sorted(
            (share["used"] for share in shares if share["dimension"] != "other"), reverse=True
        )
        found = {share["dimension"]: share["used"] for share in shares}
        assert len(found) == len(shares)
        return found


@pytest.fixture
def booker(service: Service) -> Booker:
    return Booker(service)


def test_usage_is_broken_down_by_dimension_when_asked_for(booker: Booker) -> None:
    booker.books(1.5, "large")
    booker.books(0.25, "small")
    booker.books(0.5, "large")
    booker.books(1)
    booker.books(0.02, "large", "ai_cost")
    assert booker.shares() == {"large": 2, None: 1, "small": 0.25}
    assert booker.shares("ai_cost") == {"large": 0.02}
    features = booker.get("usage")["features"]
    assert (features["tokens"]["used"], features["tokens"]["breakdown"]) == (3.25, None)
    assert "breakdown" not in booker.get("usage", breakdown="true")["features"]["seats"]


def test_nothing_used_is_broken_down_to_nothing(booker: Booker) -> None:
    assert booker.shares() == {}


def test_one_call_may_carry_several_dimensions_of_one_feature(booker: Booker) -> None:
    usage = [{"feature": "tokens", "quantity": n, "dimension": dimension} for n, dimension in ((1, "a"), (2, "b"), (3, "a"))]
    assert booker.post("usage", {"usage": usage}).status_code == 200
    assert booker.shares() == {"a": 4, "b": 2}
    refused(
        booker.post("usage", {"usage": [*usage, {"feature": "tokens", "quantity": 1_000_000, "dimension": "c"}]}),
        403,
        "usage_limit_exceeded",
    )
    assert booker.shares() == {"a": 4, "b": 2}


def test_recorded_usage_counts_in_the_breakdown_of_its_own_period(booker: Booker) -> None:
    booker.books(5, "old", mode="record", occurred_at=days_ago(34).isoformat())
    booker.books(1, "new")
    assert booker.shares() == {"new": 1}


def test_a_correction_keeps_the_dimension_of_what_it_corrects(booker: Booker) -> None:
    record = booker.books(3, "large")
    booker.books(1, "small")
    assert booker.corrects(record, -2.5).json()["dimension"] == "large"
    assert booker.shares() == {"small": 1, "large": 0.5}
    assert booker.corrects(record, -0.5).status_code == 201
    assert booker.shares() == {"small": 1, "large": 0}


def test_what_is_held_has_no_dimension_and_is_shown_beside_the_shares(booker: Booker) -> None:
    booker.books(1, "large")
    assert booker.post("reservations", {"usage": [{"feature": "tokens", "quantity": 10}]}).status_code == 201
    status = booker.get("usage", breakdown="true")["features"]["tokens"]
    assert (status["used"], status["held"], status["remaining"]) == (1, 10, 999_989)
    assert status["breakdown"] == [{"dimension": "large", "used": 1}]


def test_a_breakdown_is_bounded_and_what_is_over_is_other(booker: Booker) -> None:
    usage = [{"feature": "tokens", "quantity": n / 10, "dimension": f"d{n}"} for n in range(1, 101)]
    for start in range(0, 100, 20):
        assert booker.post("usage", {"usage": usage[start : start + 20]}).status_code == 200
    shares = booker.shares()
    assert (len(shares), "other" in shares) == (100, False)
    booker.books(0.05, "d0")
    shares = booker.shares()
    assert (len(shares), shares["other"], "d1" in shares, "d2" in shares) == (100, 0.15, False, True)
    booker.books(500, "other")  # a caller's own: it is added to the rest, so that no name comes up twice
    shares = booker.shares()
    assert (len(shares), shares["other"]) == (100, 500.15)


def test_the_ledger_is_listed_by_dimension(booker: Booker) -> None:
    mine = [booker.books(n, "large") for n in (1, 2, 3)]
    booker.books(9, "small")
    booker.books(9)
    booker.books(1, "large", "ai_cost")
    listed = booker.get("usage/records", dimension="large", feature="tokens")["items"]
    assert ([item["id"] for item in listed], {item["dimension"] for item in listed}) == (mine[::-1], {"large"})
    assert len(booker.get("usage/records", dimension="large")["items"]) == 4
    assert booker.get("usage/records", dimension="nothing")["items"] == []
    first = booker.get("usage/records", dimension="large", feature="tokens", limit=2)
    rest = booker.get("usage/records", dimension="large", feature="tokens", limit=2, cursor=first["next_cursor"])
    assert [item["id"] for item in first["items"] + rest["items"]] == mine[::-1]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize("dimension", ["", "x" * 65, "line\nbreak", "\x00", 7])
def test_a_dimension_has_1_to_64_printable_characters(booker: Booker, dimension: object) -> None:
    usage = [{"feature": "tokens", "quantity": 1, "dimension": dimension}]
    assert booker.post("usage", {"usage": usage}).status_code == 422
    assert booker.shares() == {}


def test_a_batch_and_a_commit_may_carry_dimensions(booker: Booker) -> None:
    item = {"customer_id": booker.id, "usage": [{"feature": "tokens", "quantity": 1, "dimension": "batch"}]}
    assert booker.service.admin.post("/api/v1/usage/batch", json={"items": [item, item]}).json()["results"][1]["status"] == 200
    assert booker.shares() == {"batch": 2}
    held = booker.post("reservations", {"usage": [{"feature": "tokens", "quantity": 5}]}).json()["id"]
    actual = [{"feature": "tokens", "quantity": 2, "dimension": "a"}, {"feature": "tokens", "quantity": 1, "dimension": "b"}]
    assert booker.post(f"reservations/{held}/commit", {"usage": actual}).status_code == 200
    assert booker.shares() == {"batch": 2, "a": 2, "b": 1}


def test_a_reservation_takes_no_dimension_since_it_would_be_lost(booker: Booker) -> None:
    usage = [{"feature": "tokens", "quantity": 5, "dimension": "large"}]
    assert booker.post("reservations", {"usage": usage}).status_code == 422


def test_a_breakdown_read_while_usage_is_booked_always_adds_up(booker: Booker) -> None:
    with ThreadPoolExecutor(6) as pool:
        written = [pool.submit(partial(booker.books, (n % 9 + 1) / 1000, f"d{n % 5}")) for n in range(150)]
        seen = 0
        while not all(write.done() for write in written):
            booker.shares()
            seen += 1
    assert [write.exception() for write in written] == [None] * 150
    assert seen > 5
    assert sum(Decimal(str(used)) for used in booker.shares().values()) == sum(Decimal(n % 9 + 1) for n in range(150)) / 1000
