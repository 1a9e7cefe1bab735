"""The pages in a real browser: no complaint, live, readable to a screen reader, framed only where they may be."""

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.integration.browser import browser, page_in
from tests.integration.service import ADMIN_KEY, Service, new_id
from tests.integration.test_portal import HOSTILE, book

__all__ = ["browser"]

WIDTHS = (380, 1280)


@pytest.fixture
def customer(service: Service) -> str:
    id = new_id()
    service.admin.put(f"/api/v1/customers/{id}", json={"plan": "pro", "time_zone": "Europe/Vienna"}).raise_for_status()
    return id


def address(service: Service, customer_id: str, **fields: object) -> str:
    url: str = service.admin.post(f"/api/v1/customers/{customer_id}/portal-sessions", json=fields).json()["url"]
    return url


def serious(page: Page) -> list[str]:
    """What an accessibility check finds that keeps people from reading the page."""
    found = Axe().run(page).response["violations"]
    return [f"{item['id']}: {item['nodes'][0]['html']}" for item in found if item["impact"] in ("serious", "critical")]


def overflows(page: Page) -> bool:
    found: bool = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    return found


@pytest.mark.parametrize("used", [0, 85, 100, 130], ids=["empty", "near", "full", "over"])
def test_a_usage_page_is_readable_in_every_width_and_theme(browser: Browser, service: Service, customer: str, used: int) -> None:
    if used:
        book(service, customer, used, dimension=HOSTILE)
    for theme in ("light", "dark"):
        url = address(service, customer, theme=theme)
        with page_in(browser, viewport={"width": WIDTHS[0], "height": 900}) as page:
            for part in ("", "/records"):
                page.goto(url + part)
                assert not overflows(page)
                assert serious(page) == []
            page.set_viewport_size({"width": WIDTHS[1], "height": 900})
            assert not overflows(page)


def test_it_is_readable_without_scripts(browser: Browser, service: Service, customer: str) -> None:
    book(service, customer, 31)
    with page_in(browser, java_script_enabled=False) as page:
        page.goto(address(service, customer))
        expect(page.get_by_text("31 of 100 sessions used")).to_be_visible()


def test_a_booking_appears_while_the_page_is_open(browser: Browser, service: Service, customer: str) -> None:
    with page_in(browser) as page:
        page.goto(address(service, customer))
        expect(page.get_by_text("0 of 100 sessions used")).to_be_visible()
        time.sleep(1.5)
        book(service, customer, 12)
        expect(page.get_by_text("12 of 100 sessions used")).to_be_visible(timeout=5_000)


def test_a_page_that_is_open_says_when_its_session_is_over(browser: Browser, service: Service, customer: str) -> None:
    answer = service.admin.post(f"/api/v1/customers/{customer}/portal-sessions", json={}).json()
    context = browser.new_context()
    page = context.new_page()
    page.goto(answer["url"])
    time.sleep(1.5)
    service.admin.delete(f"/api/v1/customers/{customer}/portal-sessions/{answer['id']}").raise_for_status()
    book(service, customer, 1)
    expect(page.get_by_text("This page has ended")).to_be_visible(timeout=5_000)
    context.close()


@contextmanager
def framing_site() -> Iterator[str]:
    """The origin of a site with a frame."""

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'<!doctype html><title>site</title><iframe id="frame" width="900" height="900"></iframe>'
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("named", [True, False])
def test_only_the_sites_that_were_named_can_frame_it(browser: Browser, service: Service, customer: str, named: bool) -> None:
    context = browser.new_context()
    page = context.new_page()
    with framing_site() as site:
        page.goto(site)
        url = address(service, customer, embed_origins=[site if named else "https://elsewhere.example"])
        page.evaluate("url => { document.getElementById('frame').src = url }", url)
        heading = page.frame_locator("#frame").get_by_role("heading", name="Sessions")
        if named:
            expect(heading).to_be_visible(timeout=5_000)
        else:
            page.wait_for_timeout(1_000)
            expect(heading).to_have_count(0)
    context.close()


def test_the_reference_of_the_api_shows_its_operations(browser: Browser, service: Service) -> None:
    with page_in(browser) as page:
        page.goto(service.address + "/docs")
        expect(page.get_by_text("/api/v1/customers/{customer_id}/usage/check")).to_be_visible(timeout=20_000)


def test_the_console_is_walked_through(browser: Browser, service: Service, customer: str) -> None:
    book(service, customer, 85, dimension=HOSTILE)
    with page_in(browser, viewport={"width": 1280, "height": 900}) as page:
        page.goto(service.address + "/console")
        assert serious(page) == []
        page.get_by_label("Service key").fill(ADMIN_KEY)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_label("Id or email").fill(customer)
        page.get_by_role("button", name="Search").click()
        assert serious(page) == []
        page.get_by_role("link", name=customer).click()
        expect(page.get_by_text("85 of 100 sessions used")).to_be_visible()
        assert serious(page) == []
        page.locator("form[action='/console/act/grant'] input[name=quantity]").fill("40")
        page.get_by_role("button", name="Top up").click()
        page.get_by_role("button", name="Yes, do it").click()
        expect(page.get_by_text(f"{customer} has 40 more of sessions.")).to_be_visible()
        page.get_by_role("link", name="Go on").click()
        expect(page.get_by_text("85 of 140 sessions used")).to_be_visible()
        for section in ("Plans", "Drift", "Keys", "Now"):
            page.get_by_role("navigation", name="Console").get_by_role("link", name=section).click()
            assert serious(page) == []
        expect(page.get_by_text("Decisions a second")).to_be_visible(timeout=10_000)
        page.set_viewport_size({"width": 380, "height": 800})
        for path in ("/console/customers", f"/console/customer?id={customer}", f"/console/records?id={customer}", "/console/keys"):
            page.goto(service.address + path)
            assert not overflows(page), path
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("Service key")).to_be_visible()
