"""Processes that race for what a grant has left: each unit is used once, and paid for by one entry."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx

from tests.integration.race import AUTHORIZATION, Fleet
from tests.integration.service import new_id

CALLERS, EACH = 24, 5


def test_each_unit_of_a_grant_is_used_once_whoever_asks(database_url: str) -> None:
    with Fleet(database_url, 2) as fleet:
        asyncio.run(_race(fleet))


async def _race(fleet: Fleet) -> None:
    async with httpx.AsyncClient(headers=AUTHORIZATION, timeout=60) as http:
        one, plan, path = fleet.addresses[0], f"race-{uuid4().hex[:8]}", f"/api/v1/customers/{new_id()}"
        entitlements = {"sessions": {"type": "metered", "limit": 10}}
        assert (await http.put(f"{one}/api/v1/plans/{plan}", json={"entitlements": entitlements})).status_code == 201
        assert (await http.put(f"{one}{path}", json={"plan": plan})).status_code == 201

        async def grant(number: int) -> Any:
            body = {"feature": "sessions", "quantity": 20, "kind": "paid", "reference": f"order {number // 2}"}
            answer = await http.post(f"{fleet.addresses[number % 2]}{path}/grants", json=body)
            assert answer.status_code in (200, 201), answer.text
            return answer.json()["id"]

        async def use(number: int) -> int:
            used = 0
            for turn in range(EACH):
                body = {"usage": [{"feature": "sessions", "quantity": 1}]}
                answer = await http.post(f"{fleet.addresses[(number + turn) % 2]}{path}/usage", json=body)
                assert answer.status_code in (200, 403), answer.text
                used += answer.status_code == 200
            return used

        ids = await asyncio.gather(*(grant(number) for number in range(6)))
        assert len(set(ids)) == 3, "two processes that are sent the same order make one grant of it"
        voiding = http.post(f"{one}{path}/grants/{ids[0]}/void", json={"reason": "payment failed"})
        *used, voided = await asyncio.gather(*(use(number) for number in range(CALLERS)), voiding)
        details = [(await http.get(f"{one}{path}/grants/{id}", params={"limit": 200})).json() for id in sorted(set(ids))]
        status = (await http.get(f"{one}{path}/usage")).json()["features"]["sessions"]
        paid = {entry["record_id"] for detail in details for entry in detail["entries"]}
    assert voided.json()["state"] == "voided"
    burnt = sum(detail["used"] for detail in details)
    assert sum(used) == status["used"] == 10 + burnt == 10 + 40 + voided.json()["used"]
    assert (status["remaining"], status["overage"]) == (0, 0)
    assert len(paid) == burnt, "every unit has a record that it was burnt by"
