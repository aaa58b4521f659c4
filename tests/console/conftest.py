"""A real Chromium, and a page in it that holds the console's modules."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from console.modules import served
from staffetta.lab.window import open_browser


def bench_at(browser: Browser, address: str) -> Page:
    """Open the page with the modules; it calls nothing by itself."""
    page = browser.new_page()
    page.goto(address)
    page.wait_for_function("window.ready")
    return page


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """For one module: while it is there an event loop runs in this process, and no test can run another."""
    with sync_playwright() as playwright:
        browser = open_browser(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def bench(chromium: Browser) -> Iterator[Page]:
    """The page with the modules as they are."""
    with served() as address:
        page = bench_at(chromium, address)
        yield page
        page.close()
