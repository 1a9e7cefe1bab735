"""examples/ai_app: held to tokens and dollars by a running service."""

import importlib.util
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

pytest.importorskip("genai_prices")

from tests.integration.service import ADMIN_KEY, Service, new_id
from tollgate_client import Tollgate

APP = Path(__file__).parents[2] / "examples" / "ai_app" / "app.py"


async def test_a_model_is_held_to_tokens_and_dollars(services: tuple[Service, Service], monkeypatch: pytest.MonkeyPatch) -> None:
    address = services[0].address
    customer, plan = new_id(), new_id("plan")
    with Tollgate(address, ADMIN_KEY) as client:
        client.put_feature("ai_tokens", unit="token")
        limits = {"ai_tokens": {"type": "metered", "limit": 4_300}, "ai_cost": {"type": "metered", "limit": 3}}
        client.put_plan(plan, entitlements=limits)
        client.put_customer(customer, plan=plan)
    monkeypatch.setenv("TOLLGATE_URL", address)
    monkeypatch.setenv("TOLLGATE_KEY", ADMIN_KEY)
    spec = importlib.util.spec_from_file_location("ai_app", APP)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    async with (
        module.lifespan(module.app),
        httpx.AsyncClient(transport=httpx.ASGITransport(module.app), base_url="http://app", headers={"x-account": customer}) as app,
    ):
        first = await app.post("/ask", params={"question": "why"})
        # 23 tokens in at 2.50 dollars a million, and 200 out at 10
        assert first.json() == {"answer": "WHY", "cost": "0.0020575"}
        second = await app.post("/ask", params={"question": "why"})
        assert second.status_code == 200
        third = await app.post("/ask", params={"question": "why"})
        assert third.status_code == 403
        assert third.json()["detail"]["feature"] == "ai_tokens"
    with Tollgate(address, ADMIN_KEY) as client:
        features = client.usage(customer, breakdown=True).features
        assert features["ai_tokens"].used == 446  # type: ignore[union-attr]
        assert features["ai_cost"].used == Decimal("0.004115")  # type: ignore[union-attr]
        assert [share.dimension for share in features["ai_cost"].breakdown or ()] == ["gpt-4o-2024-08-06"]  # type: ignore[union-attr]
