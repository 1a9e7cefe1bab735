"""A request's line."""

import json

import pytest

from api.access_lines import as_json, as_text
from api.served import NO_ROUTE, Served


def answered(request_id: str = "order-17", method: str = "POST", customer: str | None = "acme", status: int = 200) -> Served:
    served = Served(request_id, method)
    served.route, served.operation, served.customer, served.status = "/api/v1/x/{id}", "use", customer, status
    served.end()
    served.ended, served.seconds = 1_764_236_521.25, 0.0123
    return served


def test_a_json_line_says_who_asked_for_what_and_what_became_of_it() -> None:
    assert json.loads(as_json(answered())) == {
        "at": "2025-11-27T09:42:01.250Z",
        "level": "info",
        "message": "request",
        "request_id": "order-17",
        "customer": "acme",
        "operation": "use",
        "method": "POST",
        "route": "/api/v1/x/{id}",
        "status": 200,
        "outcome": "ok",
        "ms": 12.3,
    }


def test_a_line_for_people_says_the_same() -> None:
    expected = "2025-11-27T09:42:01.250Z INFO POST /api/v1/x/{id} 200 ok 12.3 ms operation=use customer=acme request_id=order-17\n"
    assert as_text(answered()) == expected


@pytest.mark.parametrize("text", ['a" status=200', "a b", 'x","status":500,"y":"', "ä\u2028ö", "\ud800", "a\\", ""])
def test_what_callers_choose_is_taken_for_nothing_else(text: str) -> None:
    served = answered(customer=text)
    line = json.loads(as_json(served))
    assert (line["customer"], line["status"]) == (text, 200)
    told = as_text(served).encode(errors="backslashreplace")
    assert told.count(b"\n") == 1
    if text.isascii():
        assert json.dumps(text).encode() in told


def test_another_method_is_none_of_its_own_and_who_leaves_has_no_status() -> None:
    served = answered(method="BREW", status=0)
    assert (served.method, served.outcome) == ("other", "caller_left")
    assert json.loads(as_json(served))["status"] is None
    assert Served("a", "GET").route == NO_ROUTE


@pytest.mark.parametrize(("status", "outcome"), [(201, "ok"), (303, "ok"), (404, "not_found"), (400, "refused"), (503, "internal_error")])
def test_without_a_code_the_status_is_the_outcome(status: int, outcome: str) -> None:
    assert answered(status=status).outcome == outcome
