"""The customer's usage page over HTTP: who sees it, for how long, where it may be framed, and what it says."""

import csv
import io
import threading
import time
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

from tests.integration.service import Service, new_id, refused, until

HOSTILE = "<script>alert(1)</script>&\"'"


class Text(HTMLParser):
    """The words of a page, and the tags that it has."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href") and value]

    def handle_data(self, data: str) -> None:
        self.words += data.split()

    def __str__(self) -> str:
        return " ".join(self.words)


@pytest.fixture
def customer(service: Service) -> str:
    id = new_id()
    service.admin.put(f"/api/v1/customers/{id}", json={"plan": "pro", "time_zone": "Europe/Vienna"}).raise_for_status()
    return id


def opened(service: Service, customer_id: str, **fields: Any) -> str:
    """The path of a new page of this customer's."""
    answer = service.admin.post(f"/api/v1/customers/{customer_id}/portal-sessions", json=fields)
    assert answer.status_code == 201, answer.text
    return httpx.URL(answer.json()["url"]).path


def book(service: Service, customer_id: str, quantity: float = 1, **more: Any) -> None:
    body = {"usage": [{"feature": "sessions", "quantity": quantity, **more}], "mode": "record", "reference": HOSTILE}
    service.admin.post(f"/api/v1/customers/{customer_id}/usage", json=body).raise_for_status()


def test_a_page_shows_its_customers_usage_and_nothing_of_anothers(service: Service, customer: str) -> None:
    other = new_id()
    service.admin.put(f"/api/v1/customers/{other}", json={"plan": "free"}).raise_for_status()
    book(service, customer, 31)
    book(service, other, 7)
    mine, theirs = (Text(service.anyone.get(opened(service, id)).text) for id in (customer, other))
    assert "31 of 100 sessions used" in str(mine)
    assert "Plan Pro" in str(mine)
    assert "7 of 10 sessions used" in str(theirs)
    assert other not in str(mine)


def test_it_tells_what_is_near_full_and_over(service: Service, customer: str) -> None:
    path = opened(service, customer)
    for more, banner in (
        (80, "Sessions: 80% used."),
        (20, "Sessions: the limit is reached."),
        (5, "Sessions: 5 sessions above the limit."),
    ):
        book(service, customer, more)
        assert banner in str(Text(service.anyone.get(path).text))


def test_it_speaks_the_language_it_was_asked_for_or_the_browsers(service: Service, customer: str) -> None:
    book(service, customer, 1)
    asked = Text(service.anyone.get(opened(service, customer, locale="de-AT")).text)
    assert "1 von 100 Sitzungen genutzt" in str(asked)
    browser = service.anyone.get(opened(service, customer), headers={"Accept-Language": "de,en;q=0.5"})
    assert '<html lang="de"' in browser.text
    unknown = service.anyone.get(opened(service, customer, locale="xx-YY"), headers={"Accept-Language": "de"})
    assert "1 of 100 sessions used" in str(Text(unknown.text))


def test_a_session_ends_when_it_is_ended_or_its_time_is_over(service: Service, customer: str) -> None:
    answer = service.admin.post(f"/api/v1/customers/{customer}/portal-sessions", json={}).json()
    path, id = httpx.URL(answer["url"]).path, answer["id"]
    assert service.anyone.get(path).status_code == 200
    for _ in range(2):
        assert service.admin.delete(f"/api/v1/customers/{customer}/portal-sessions/{id}").status_code == 204
    for part in ("", "/usage", "/live", "/records", "/records.csv", "/history.csv"):
        ended = service.anyone.get(path + part)
        assert ended.status_code == 410
        assert "This page has ended" in ended.text

    late = opened(service, customer)
    service.database.rows("UPDATE portal_session SET expires_at = now() WHERE customer_id = $1", customer)
    assert service.anyone.get(late).status_code == 410


def test_another_customers_session_cannot_be_ended_through_ones_own(service: Service, customer: str) -> None:
    other = new_id()
    service.admin.put(f"/api/v1/customers/{other}", json={"plan": "free"}).raise_for_status()
    id = service.admin.post(f"/api/v1/customers/{other}/portal-sessions", json={}).json()["id"]
    refused(service.admin.delete(f"/api/v1/customers/{customer}/portal-sessions/{id}"), 404, "portal_session_not_found")


@pytest.mark.parametrize("change", [lambda token: token[:-2] + "_.", lambda token: token[:32] + "_" + "A" * 43, str.upper, lambda _: "x"])
def test_an_address_that_was_not_given_opens_nothing(service: Service, customer: str, change: Any) -> None:
    token = opened(service, customer).rpartition("/")[2]
    answer = service.anyone.get(f"/portal/{change(token)}")
    assert answer.status_code == 404
    assert "There is no page at this address" in answer.text


def test_the_secret_is_stored_by_its_hash_only(service: Service, customer: str) -> None:
    secret = opened(service, customer).rpartition("_")[2]
    dump = service.database.rows("SELECT row_to_json(s)::text AS row FROM portal_session AS s WHERE customer_id = $1", customer)
    assert dump
    assert all(secret not in row["row"] for row in dump)


def test_a_repeated_request_is_told_that_the_address_is_not_shown_again(service: Service, customer: str) -> None:
    key = {"Idempotency-Key": new_id("key")}
    path = f"/api/v1/customers/{customer}/portal-sessions"
    assert service.admin.post(path, json={}, headers=key).status_code == 201
    refused(service.admin.post(path, json={}, headers=key), 409, "portal_session_not_shown_again")


@pytest.mark.parametrize(
    "body",
    [
        {"ttl_seconds": 0},
        {"ttl_seconds": 8 * 24 * 3600},
        {"ttl_seconds": 60.0},
        {"locale": "a b"},
        {"theme": "pink"},
        {"embed_origins": ["*"]},
        {"embed_origins": ["https://a.example; script-src *"]},
        {"embed_origins": ["javascript:alert(1)"]},
        {"embed_origins": ["https://a.example"] * 11},
        {"more": 1},
    ],
)
def test_what_no_page_could_be_made_of_is_refused(service: Service, customer: str, body: dict[str, Any]) -> None:
    answer = service.admin.post(f"/api/v1/customers/{customer}/portal-sessions", json=body)
    assert answer.status_code == 422, answer.text


def test_only_the_sessions_own_origins_may_frame_it(service: Service, customer: str) -> None:
    alone = service.anyone.get(opened(service, customer))
    assert "frame-ancestors 'none'" in alone.headers["content-security-policy"]
    assert alone.headers["x-frame-options"] == "DENY"
    framed = service.anyone.get(opened(service, customer, embed_origins=["https://app.example.com", "http://localhost:3000"]))
    assert "frame-ancestors https://app.example.com http://localhost:3000" in framed.headers["content-security-policy"]
    assert "x-frame-options" not in framed.headers


def test_every_part_of_a_page_is_protected_and_kept_by_nobody(service: Service, customer: str) -> None:
    path = opened(service, customer)
    for part in ("", "/usage", "/records", "/records.csv", "/history.csv", "/nothing-here"):
        answer = service.anyone.get(path + part)
        assert answer.headers["cache-control"] == "no-store"
        if part != "/nothing-here":
            assert answer.headers["referrer-policy"] == "no-referrer"
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy


def test_nothing_is_loaded_from_elsewhere(service: Service, customer: str) -> None:
    path = opened(service, customer)
    for page in (path, path + "/records", "/docs"):
        links = Text(service.anyone.get(page).text).links
        assert links
        assert all(link.startswith("/") and not link.startswith("//") for link in links), links
        for link in links:
            if link.startswith("/pages/"):
                assert service.anyone.get(link).status_code == 200, link


def test_what_callers_write_never_becomes_markup(service: Service, customer: str) -> None:
    book(service, customer, 2, dimension=HOSTILE)
    path = opened(service, customer)
    for part in ("", "/records"):
        page = service.anyone.get(path + part).text
        assert "alert(1)" in page
        assert "<script>alert" not in page
        assert Text(page).tags.count("script") == (1 if part == "" else 0)


def test_records_are_filtered_by_day_in_the_customers_zone_and_paged(service: Service, customer: str) -> None:
    for _ in range(60):
        book(service, customer, 1)
    path = opened(service, customer)
    first = Text(service.anyone.get(path + "/records").text)
    assert first.tags.count("tr") == 51
    (following,) = (link for link in first.links if "cursor" in link)
    assert Text(service.anyone.get(following).text).tags.count("tr") == 11
    assert Text(service.anyone.get(path + "/records?feature=minutes").text).tags.count("tr") == 0
    assert Text(service.anyone.get(path + "/records?until=2026-01-01").text).tags.count("tr") == 0
    for wrong in ("since=yesterday", "cursor=x", "until=2026-13-01"):
        assert service.anyone.get(f"{path}/records?{wrong}").status_code == 422, wrong


def test_the_tables_hold_what_the_ledger_does_and_no_formula(service: Service, customer: str) -> None:
    book(service, customer, 3, dimension="=HYPERLINK(1)")
    path = opened(service, customer)
    rows = list(csv.DictReader(io.StringIO(service.anyone.get(path + "/records.csv").text)))
    assert [(row["feature"], row["quantity"], row["dimension"]) for row in rows] == [("sessions", "3", "'=HYPERLINK(1)")]
    history = list(csv.DictReader(io.StringIO(service.anyone.get(path + "/history.csv").text)))
    assert sum(int(row["used"]) for row in history if row["feature"] == "sessions") == 3


def listened(service: Service, path: str, seconds: float = 20) -> tuple[list[str], threading.Thread]:
    """The events of a page's stream, as they come in."""
    events: list[str] = []

    def listen() -> None:
        try:
            with httpx.stream("GET", f"{service.address}{path}/live", timeout=seconds, trust_env=False) as stream:
                events.extend(stream.iter_lines())
        except httpx.HTTPError as error:
            events.append(type(error).__name__)

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    until(lambda: events, expected="the stream to begin")
    return events, thread


def test_what_is_booked_anywhere_is_told_within_two_seconds(services: tuple[Service, Service], service: Service, customer: str) -> None:
    one, other = services
    events, _ = listened(one, opened(one, customer))
    time.sleep(1.5)
    assert "event: changed" not in events
    for _ in range(2):
        events.clear()
        booked = time.monotonic()
        book(other, customer)
        until(lambda: "event: changed" in events, 10, "the stream to tell of it")
        assert time.monotonic() - booked < 2.5  # two seconds, and room for a machine that is busy


def test_streams_do_not_delay_the_end_of_the_service(database_url: str) -> None:
    with Service(database_url) as service:
        service.admin.put("/api/v1/customers/acme", json={"plan": "pro"}).raise_for_status()
        path = opened(service, "acme")
        streams = [listened(service, path) for _ in range(5)]
        began = time.monotonic()
        service.stop()
        assert time.monotonic() - began < 8
        for _, thread in streams:
            thread.join(5)
            assert not thread.is_alive()


def test_the_reference_of_the_api_ships_with_the_service(service: Service) -> None:
    page = service.anyone.get("/docs")
    assert page.status_code == 200
    assert "/pages/swagger-ui/swagger-ui-bundle.js" in page.text
    assert service.anyone.get("/pages/swagger-ui/LICENSE").status_code == 200
    for outside in ("/pages/../app.py", "/pages/%2e%2e/app.py", "/pages/nothing"):
        assert service.anyone.get(outside).status_code == 404
