"""A real browser for a world, and what a person does at a face's sign-in, whatever language its pages speak.

Tests, benchmarks and the pictures of the README come in by this; `pages` is the lab's own client, without a browser.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from .world import LabFailure

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright

FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--ignore-certificate-errors",
)
"""Worlds sign their own certificates, and whoever comes in trusts them, as after importing them. Playwright's own way
alone (`ignore_https_errors`) lets each request fail and begin again, on a busy machine until Chromium gives it up with
ERR_TOO_MANY_RETRIES."""


def open_browser(playwright: Playwright) -> Browser:
    """Start the system's Chromium; it ends with ``playwright`` if nobody closes it before. Raises ``LabFailure``."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise LabFailure("There is no chromium on this machine: install the package `chromium`.")
    return playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))


def sign_in(page: Page, address: str, name: str, password: str) -> None:
    """Open a page of a face, which asks who comes, and answer. What the page shows then is the caller's matter."""
    page.goto(address)
    page.locator("#id_username").fill(name)
    page.locator("#id_password").fill(password)
    page.keyboard.press("Enter")


def change_password(page: Page, old: str, new: str) -> None:
    """Answer the page that the first sign-in leads to, or on which somebody changes a password."""
    page.locator("#id_old_password").fill(old)
    page.locator("#id_new_password1").fill(new)
    page.locator("#id_new_password2").fill(new)
    page.locator("form#change-password button[type=submit]").click()
