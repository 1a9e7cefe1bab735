"""The operator's console over HTTP: who gets in, what a read key may not do, and that nothing is changed unasked or twice."""

import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import httpx
import pytest

from tests.integration.service import ADMIN_KEY, Service, new_id
from tests.integration.test_portal import HOSTILE, Text, book

CLIENTS: list[httpx.Client] = []


@pytest.fixture(autouse=True)
def left() -> Iterator[None]:
    """Everybody goes home."""
    yield
    while CLIENTS:
        CLIENTS.pop().close()


class Operator:
    """Somebody with a browser: keeps cookies, fills in forms, says yes."""

    def __init__(self, service: Service, key: str = ADMIN_KEY) -> None:
        self.service = service
        self.client = httpx.Client(base_url=service.address, timeout=30, trust_env=False)
        CLIENTS.append(self.client)
        self.signed_in = self.client.post("/console/sign-in", data={"key": key})

    def get(self, path: str, **asked: Any) -> httpx.Response:
        return self.client.get(path, params=asked or None, follow_redirects=True)

    @property
    def form_token(self) -> str:
        found = re.search(r'name="form_token" value="([0-9a-f]+)"', self.get("/console/customers").text)
        assert found
        return found[1]

    def ask(self, action: str, **fields: Any) -> httpx.Response:
        return self.client.post(f"/console/act/{action}", data={"form_token": self.form_token, **fields})

    def do(self, action: str, **fields: Any) -> httpx.Response:
        return self.confirm(action, self.ask(action, **fields))

    def confirm(self, action: str, question: httpx.Response) -> httpx.Response:
        assert "Do this?" in question.text, question.text
        hidden = {name: unescape(value) for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', question.text)}
        return self.client.post(f"/console/act/{action}", data=hidden)


@pytest.fixture
def operator(service: Service) -> Operator:
    return Operator(service)


@pytest.fixture
def customer(service: Service) -> str:
    id = new_id()
    service.admin.put(f"/api/v1/customers/{id}", json={"plan": "pro"}).raise_for_status()
    return id


def make_key(service: Service, scope: str) -> dict[str, str]:
    made: dict[str, str] = service.admin.post("/api/v1/keys", json={"scope": scope, "name": scope}).json()
    return made


PAGES = ("/console", "/console/customers", "/console/plans", "/console/plans/pro", "/console/drift", "/console/keys", "/console/now")


def test_without_a_session_every_page_asks_to_sign_in(service: Service) -> None:
    for path in PAGES:
        answer = service.anyone.get(path, follow_redirects=True)
        assert "Sign in with a service key" in answer.text
        assert "sign-out" not in answer.text


@pytest.mark.parametrize("key", ["", "tg_x", "nothing", ADMIN_KEY + "x"])
def test_a_key_that_is_none_opens_nothing(service: Service, key: str) -> None:
    operator = Operator(service, key)
    assert operator.signed_in.status_code == 401
    assert "set-cookie" not in operator.signed_in.headers


def test_a_user_token_opens_no_console(service: Service, customer: str) -> None:
    token = service.user(customer).headers["authorization"].removeprefix("Bearer ")
    assert Operator(service, token).signed_in.status_code == 403


def test_the_cookie_is_kept_from_scripts_and_other_sites(operator: Operator) -> None:
    cookie = operator.signed_in.headers["set-cookie"]
    assert operator.signed_in.status_code == 303
    assert {"HttpOnly", "SameSite=strict", "Path=/console"} <= set(cookie.split("; "))
    assert ADMIN_KEY not in cookie


def test_every_page_is_shown_and_may_be_framed_by_nobody(operator: Operator, customer: str) -> None:
    for path in (
        *PAGES,
        f"/console/customer?id={customer}",
        f"/console/records?id={customer}",
        "/console/now/numbers",
        "/console/drift?all=yes",
    ):
        answer = operator.get(path)
        assert answer.status_code == 200, path
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"


def test_a_session_ends_with_its_key_and_when_it_is_signed_out(service: Service, customer: str) -> None:
    key = make_key(service, "read")
    reader = Operator(service, key["key"])
    assert customer in reader.get("/console/customers", query=customer).text
    service.admin.delete(f"/api/v1/keys/{key['id']}").raise_for_status()
    assert "Sign in with" in reader.get("/console/customers").text

    other = Operator(service)
    cookie = dict(other.client.cookies)
    other.client.post("/console/sign-out", data={"form_token": other.form_token})
    again = httpx.get(service.address + "/console/customers", cookies=cookie, trust_env=False)
    assert "Sign in with" in again.text


def test_a_session_of_another_secret_or_of_the_past_is_none(service: Service, operator: Operator) -> None:
    cookie = operator.client.cookies["tollgate_console"]
    forged = cookie[:33] + "A" * 43
    assert "Sign in with" in httpx.get(service.address + "/console/customers", cookies={"tollgate_console": forged}, trust_env=False).text
    service.database.rows("UPDATE console_session SET expires_at = now() WHERE id = $1::uuid", cookie[:32])
    assert "Sign in with" in operator.get("/console/customers").text


def test_a_read_key_sees_and_changes_nothing(service: Service, customer: str) -> None:
    reader = Operator(service, make_key(service, "read")["key"])
    page = reader.get("/console/customer", id=customer).text
    assert "0 of 100 sessions used" in page
    assert "/console/act/" not in page
    assert reader.ask("grant", customer_id=customer, feature="sessions", quantity=5, kind="paid").status_code == 403
    assert service.admin.get(f"/api/v1/customers/{customer}/grants").json()["items"] == []
    assert reader.get("/console/keys").status_code == 403
    assert reader.client.post("/console/sign-out", data={"form_token": reader.form_token}).status_code == 303


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}],
)
def test_forms_of_other_sites_are_refused(service: Service, operator: Operator, customer: str, headers: dict[str, str]) -> None:
    fields = {"form_token": operator.form_token, "customer_id": customer, "plan": "free", "confirmed": "yes", "once": "1"}
    assert operator.client.post("/console/act/change-plan", data=fields, headers=headers).status_code == 403
    assert operator.client.post("/console/sign-in", data={"key": ADMIN_KEY}, headers=headers).status_code == 403
    assert service.admin.get(f"/api/v1/customers/{customer}").json()["plan"] == "pro"


def test_a_form_without_its_token_is_refused(service: Service, operator: Operator, customer: str) -> None:
    other = Operator(service)
    for token in ("", "x", other.form_token):
        fields = {"form_token": token, "customer_id": customer, "plan": "free", "confirmed": "yes", "once": "1"}
        assert operator.client.post("/console/act/change-plan", data=fields).status_code == 403
    assert service.admin.get(f"/api/v1/customers/{customer}").json()["plan"] == "pro"


def test_a_change_is_asked_for_once_done_once_and_kept_with_who_did_it(service: Service, operator: Operator, customer: str) -> None:
    fields = {"customer_id": customer, "feature": "sessions", "quantity": "12", "kind": "paid", "expires": "", "reason": "sorry"}
    question = operator.ask("grant", **fields)
    assert f"Sell {customer} 12 of sessions" in question.text
    assert service.admin.get(f"/api/v1/customers/{customer}/grants").json()["items"] == []
    assert f"{customer} has 12 more of sessions." in operator.confirm("grant", question).text
    assert "This was done already" in operator.confirm("grant", question).text
    (grant,) = service.admin.get(f"/api/v1/customers/{customer}/grants").json()["items"]
    assert (grant["quantity"], grant["created_by"], grant["reason"]) == (12, "key:bootstrap", "sorry")
    assert "key:bootstrap" in operator.get("/console/customer", id=customer).text


def test_everything_that_can_be_changed_of_a_customer(service: Service, operator: Operator, customer: str) -> None:
    base = f"/api/v1/customers/{customer}"
    book(service, customer, 3)
    operator.do("change-plan", customer_id=customer, plan="free", when="period_end")
    assert service.admin.get(base).json()["scheduled"]["plan"] == "free"
    operator.do("call-off-plan", customer_id=customer)
    assert service.admin.get(base).json()["scheduled"] is None
    operator.do("override", customer_id=customer, feature="sessions", limit="7", until="", reason="")
    assert service.admin.get(f"{base}/usage").json()["features"]["sessions"]["limit"] == 7
    operator.do("end-override", customer_id=customer, feature="sessions")
    operator.do("addon", customer_id=customer, plan="free", quantity="2")
    assert service.admin.get(f"{base}/usage").json()["features"]["sessions"]["limit"] == 120
    operator.do("addon", customer_id=customer, plan="free", quantity="0")
    operator.do("grant", customer_id=customer, feature="sessions", quantity="5", kind="promotional")
    (grant,) = service.admin.get(f"{base}/grants").json()["items"]
    operator.do("void-grant", customer_id=customer, grant_id=grant["id"], reason="mistake")
    assert service.admin.get(f"{base}/grants/{grant['id']}").json()["state"] == "voided"
    (record,) = service.admin.get(f"{base}/usage/records").json()["items"]
    operator.do("correct", customer_id=customer, record_id=record["id"], quantity="-1", reason="refund")
    assert service.admin.get(f"{base}/usage").json()["features"]["sessions"]["used"] == 2
    held = service.admin.post(f"{base}/reservations", json={"usage": [{"feature": "sessions", "quantity": 4}]}).json()
    assert held["id"] in operator.get("/console/customer", id=customer).text
    operator.do("release", customer_id=customer, reservation_id=held["id"])
    assert service.admin.get(f"{base}/reservations/{held['id']}").json()["state"] == "released"
    operator.do("change-plan", customer_id=customer, plan="free", when="now")
    assert service.admin.get(base).json()["plan"] == "free"
    by = {entry["changed_by"] for entry in service.admin.get(f"{base}/plan-history").json()["items"][:-1]}
    assert by == {"key:bootstrap"}
    address = re.search(r"http://[^<\s]+/portal/[^<\s]+", operator.do("portal", customer_id=customer).text)
    assert address
    assert service.anyone.get(httpx.URL(address[0]).path).status_code == 200


def test_keys_are_made_rotated_and_revoked(service: Service, operator: Operator) -> None:
    name = new_id("key")
    text = re.search(r"tg_[0-9a-f]{32}_[\w-]{43}", operator.do("create-key", name=name, scope="read", expires="").text)
    assert text
    assert service.key(text[0]).get("/api/v1/plans").status_code == 200
    (key,) = (item for item in service.admin.get("/api/v1/keys").json()["items"] if item["name"] == name)
    assert "tg_" in operator.do("rotate-key", key_id=key["id"], hours="1").text
    operator.do("revoke-key", key_id=key["id"])
    assert service.key(text[0]).get("/api/v1/plans").status_code == 401


def test_a_draft_is_checked_and_published(service: Service, operator: Operator) -> None:
    key = new_id("plan")
    service.admin.put(f"/api/v1/plans/{key}", json={"entitlements": {"sessions": {"type": "metered", "limit": 5}}}).raise_for_status()
    for content in ("", "{", '{"entitlements": {"sessions": {"type": "metered"}}}', '{"entitlements": {"x": 1}}'):
        answer = operator.ask("publish", key=key, content=content)
        assert answer.status_code == 422, content
        assert "The plan cannot be read" in answer.text
    unknown = operator.do("publish", key=key, content='{"entitlements": {"nonsense": {"type": "metered", "limit": 1}}}')
    assert unknown.status_code == 422
    assert "Version 2" in operator.do("publish", key=key, content='{"entitlements": {"sessions": {"type": "metered", "limit": 6}}}').text
    page = Text(operator.get(f"/console/plans/{key}").text)
    assert "5 per billing_period" in str(page)
    assert "6 per billing_period (changed)" in str(page)


def test_drift_is_found_and_repaired(service: Service, operator: Operator, customer: str) -> None:
    book(service, customer, 4)
    assert "All agrees" in operator.get("/console/drift", customer_id=customer).text
    service.database.rows("UPDATE usage_counter SET used = 9 WHERE customer_id = $1", customer)
    found = Text(operator.get("/console/drift", customer_id=customer).text)
    assert "counter 9 sessions 4 sessions" in str(found)
    operator.do("repair", customer_id=customer)
    assert "All agrees" in operator.get("/console/drift", customer_id=customer).text


def test_what_happens_now_is_counted(service: Service, operator: Operator, customer: str) -> None:
    operator.get("/console/now")
    for _ in range(20):
        book(service, customer, 1)
    body = {"usage": [{"feature": "sessions", "quantity": 500}]}
    service.admin.post(f"/api/v1/customers/{customer}/usage", json=body)
    page = str(Text(operator.get("/console/now/numbers").text))
    decided = re.search(r"Decisions a second ([\d.]+)", page)
    assert decided
    assert float(decided[1]) > 0
    assert "LimitExceeded" in page


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("grant", {"feature": "sessions", "quantity": "many", "kind": "paid"}),
        ("grant", {"feature": "sessions", "quantity": "NaN", "kind": "paid"}),
        ("grant", {"feature": "", "quantity": "1", "kind": "paid"}),
        ("override", {"feature": "", "limit": "1"}),
        ("change-plan", {"plan": ""}),
        ("correct", {"record_id": "x", "quantity": "", "reason": "y"}),
    ],
)
def test_a_field_that_cannot_be_read_is_named_before_anything_is_asked(
    operator: Operator, customer: str, action: str, fields: dict[str, str]
) -> None:
    answer = operator.ask(action, customer_id=customer, **fields)
    assert answer.status_code == 422
    assert "Please look again" in answer.text


def test_what_the_engine_refuses_is_told_in_its_words(operator: Operator, customer: str) -> None:
    answer = operator.do("grant", customer_id=customer, feature="nonsense", quantity="1", kind="paid")
    assert answer.status_code == 403
    assert "nonsense" in answer.text
    assert operator.get("/console/customer", id="nobody at all").status_code == 404
    assert operator.get("/console/plans/nothing").status_code == 404
    assert operator.client.post("/console/act/nothing", data={"form_token": operator.form_token}).status_code == 403
    assert operator.get("/console/customers", near_percent="x").status_code == 403


def test_what_callers_write_never_becomes_markup(service: Service, operator: Operator) -> None:
    id = f"{new_id()}{HOSTILE}/records"
    path = f"/api/v1/customers/{httpx.QueryParams({'x': id})!s}".replace("x=", "").replace("+", "%20")
    service.admin.put(path, json={"plan": "pro", "email": "a'b@example.com"}).raise_for_status()
    service.admin.post(
        f"{path}/usage", json={"usage": [{"feature": "sessions", "quantity": 1, "dimension": HOSTILE}], "reference": HOSTILE}
    )
    for page in (
        operator.get("/console/customers", query=id),
        operator.get("/console/customer", id=id),
        operator.get("/console/records", id=id),
        operator.ask("change-plan", customer_id=id, plan=HOSTILE),
    ):
        assert page.status_code == 200, page.text[:300]
        assert "alert(1)" in page.text
        assert "<script>alert" not in page.text
    (link,) = (link for link in Text(operator.get("/console/customers", query=id).text).links if "customer?id=" in link)
    assert "1 of 100 sessions used" in operator.get(link).text
