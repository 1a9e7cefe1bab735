"""The service as the client's tests need it: limits, holds and idempotency keys, in memory, behind httpx's mock transport."""

import json
import time
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

import httpx

from tollgate_client import AsyncTollgate, Tollgate

WHEN = "2026-11-26T10:00:00Z"


class FakeService:
    """One customer's features. `failures` are answered, or raised, before anything else: each one once."""

    def __init__(self) -> None:
        self.limits: dict[str, int | None] = {"api_calls": 100, "tokens": 10_000}
        self.used: dict[str, float] = {}
        self.holds: dict[str, dict[str, Any]] = {}
        self.replies: dict[str, httpx.Response] = {}
        self.requests: list[httpx.Request] = []
        self.failures: list[httpx.Response | Exception] = []
        self.after: list[Exception] = []
        """Raised when the request has been carried out: the answer is lost."""

    def client(self, **options: Any) -> Tollgate:
        return Tollgate("http://service", "tg_key", transport=httpx.MockTransport(self.answer), **options)

    def async_client(self, **options: Any) -> AsyncTollgate:
        return AsyncTollgate("http://service", "tg_key", transport=httpx.MockTransport(self.answer), **options)

    def sent(self, path: str) -> list[Any]:
        """The bodies of the requests to a path that ends so."""
        return [json.loads(request.content or b"null") for request in self.requests if request.url.path.endswith(path)]

    def held(self, feature: str) -> float:
        return sum(hold["usage"].get(feature, 0) for hold in self.holds.values() if self._state(hold) == "held")

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, Exception):
                raise failure
            return failure
        key = request.headers.get("idempotency-key")
        answered = self.replies.get(key or "") or self._answered(request)
        if key and answered.status_code < 400:
            self.replies[key] = answered
        if self.after:
            raise self.after.pop(0)
        return answered

    def _answered(self, request: httpx.Request) -> httpx.Response:
        path = [unquote(part) for part in request.url.raw_path.decode().partition("?")[0].split("/")[3:]]
        body = json.loads(request.content) if request.content else None
        match request.method, path:
            case "POST", ["usage", "batch"]:
                results = []
                for item in body["items"]:
                    if item["idempotency_key"] not in self.replies:
                        reply = self._consume(item)
                        if reply.status_code < 400:
                            self.replies[item["idempotency_key"]] = reply
                        results.append({"status": reply.status_code, "body": reply.json()})
                    else:
                        results.append({"status": 200, "body": self.replies[item["idempotency_key"]].json()})
                return httpx.Response(200, json={"results": results})
            case "POST", ["customers", _, "usage"]:
                return self._consume(body)
            case "POST", ["customers", _, "reservations"]:
                return self._reserve(body)
            case "POST", ["customers", _, "reservations", id, action]:
                return self._finish(self.holds[id], action, body)
            case "POST", ["customers", _, "usage", "records", _, "corrections"]:
                self.used["api_calls"] += body["quantity"]
                entry = dict.fromkeys(("reference", "recorded_by", "reason", "event_id", "dimension", "corrects"))
                entry |= {"id": str(uuid4()), "feature": "api_calls", "quantity": body["quantity"], "source": "api", "overage": 0}
                entry |= {"occurred_at": WHEN, "recorded_at": WHEN, "balance": self._balance("api_calls")}
                return httpx.Response(201, json=entry)
        return httpx.Response(404, json={"detail": {"error": "not_found", "message": f"no {request.url.path}"}})

    def _consume(self, body: dict[str, Any]) -> httpx.Response:
        if body.get("mode") != "record" and (refusal := self._refusal(body["usage"])):
            return refusal
        for item in body["usage"]:
            self.used[item["feature"]] = self.used.get(item["feature"], 0) + item["quantity"]
        records = [
            {"id": str(uuid4()), "occurred_at": WHEN, "feature": item["feature"], "quantity": item["quantity"]} for item in body["usage"]
        ]
        balances = {item["feature"]: self._balance(item["feature"]) for item in body["usage"]}
        return httpx.Response(200, json={"records": records, "balances": balances, "over_limit": False})

    def _reserve(self, body: dict[str, Any]) -> httpx.Response:
        if refusal := self._refusal(body["usage"]):
            return refusal
        usage = {item["feature"]: item["quantity"] for item in body["usage"]}
        hold = {"id": str(uuid4()), "usage": usage, "ends": time.monotonic() + body["ttl_seconds"], "state": "held"}
        self.holds[hold["id"]] = hold
        return self._reservation(hold, 201)

    def _finish(self, hold: dict[str, Any], action: str, body: dict[str, Any] | None) -> httpx.Response:
        if hold["state"] != "held":
            return httpx.Response(409, json={"detail": {"error": "reservation_not_held", "message": "it ended", "state": hold["state"]}})
        if action == "extend":
            hold["ends"] = time.monotonic() + (body or {})["ttl_seconds"]
        else:
            hold["state"] = {"commit": "committed", "release": "released"}[action]
        if action == "commit":
            actual = {item["feature"]: item["quantity"] for item in (body or {}).get("usage") or ()} or hold["usage"]
            for feature, quantity in actual.items():
                self.used[feature] = self.used.get(feature, 0) + quantity
        return self._reservation(hold, 200)

    def _reservation(self, hold: dict[str, Any], status: int) -> httpx.Response:
        usage = [{"feature": feature, "quantity": quantity} for feature, quantity in hold["usage"].items()]
        answer = {
            "id": hold["id"],
            "state": self._state(hold),
            "created_at": WHEN,
            "expires_at": WHEN,
            "finished_at": None,
            "reference": None,
        }
        balances = {feature: self._balance(feature) for feature in hold["usage"]}
        return httpx.Response(status, json=answer | {"late": False, "usage": usage, "balances": balances})

    def _refusal(self, usage: list[dict[str, Any]]) -> httpx.Response | None:
        for item in usage:
            feature, quantity = item["feature"], item["quantity"]
            if feature not in self.limits:
                return httpx.Response(
                    403, json={"detail": {"error": "feature_not_in_plan", "message": "no", "feature": feature, "plan": "p"}}
                )
            limit = self.limits[feature]
            balance = self._balance(feature)
            if limit is not None and balance["used"] + balance["held"] + quantity > limit:
                facts = {"plan": "p", "feature": feature, "current_usage": balance["used"], "held": balance["held"], "requested": quantity}
                facts |= {"limit": limit, "remaining": balance["remaining"], "resets_at": WHEN}
                detail = {"error": "usage_limit_exceeded", "message": f"Usage limit exceeded: {limit}", **facts}
                return httpx.Response(403, json={"detail": detail}, headers={"x-request-id": "request-1"})
        return None

    def _balance(self, feature: str) -> dict[str, Any]:
        used, held, limit = self.used.get(feature, 0), self.held(feature), self.limits.get(feature)
        remaining = None if limit is None else max(limit - used - held, 0)
        return {"used": used, "held": held, "limit": limit, "remaining": remaining, "resets_at": WHEN}

    def _state(self, hold: dict[str, Any]) -> str:
        return "expired" if hold["state"] == "held" and time.monotonic() >= hold["ends"] else str(hold["state"])


def unavailable(retry_after: str | None = None) -> httpx.Response:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return httpx.Response(503, json={"detail": {"error": "overloaded", "message": "busy"}}, headers=headers)
