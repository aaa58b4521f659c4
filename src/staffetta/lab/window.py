"""What a person does at a face's sign-in in a real browser, whatever language its pages speak.

Tests, benchmarks and the pictures of the README come in by this; `pages` is the lab's own client, without a browser.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page


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
