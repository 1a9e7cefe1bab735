"""A real browser: Debian's Chromium, driven by Playwright. Where there is none, the tests say how to get it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = os.environ.get("TOLLGATE_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
HOW = "no Chromium: install it with 'apt-get install chromium', or name one in TOLLGATE_TEST_CHROMIUM"
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip(HOW)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@contextmanager
def page_in(browser: Browser, **options: Any) -> Iterator[Page]:
    """A page in a profile of its own; at the end, its console has to be empty."""
    complaints: list[str] = []
    context = browser.new_context(**options)
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert complaints == []
