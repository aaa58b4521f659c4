"""The lab's browser: follows forms and links of the real pages as a person does, with cookies and CSRF fields."""

import time
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urljoin

import mechanicalsoup
import requests

from staffetta.lab.world import LabFailure

SECONDS = 60


class Body(Protocol):
    """A request body of known length that is read piece by piece."""

    def __len__(self) -> int: ...
    def read(self, size: int = -1) -> bytes: ...


class Browser:
    """One person's browser at one web face, trusting the certificate that was accepted at the first visit."""

    def __init__(self, url: str, certificate: Path) -> None:
        self.url = url
        self._browser = mechanicalsoup.StatefulBrowser(raise_on_404=False, user_agent="staffetta-lab")
        self._browser.session.trust_env = False  # else a CA bundle in the environment would win over the next line
        self._browser.session.verify = str(certificate)

    def open(self, path: str) -> str:
        """Open a page and return its text as HTML; anything but success raises with what the page said."""
        return self._checked(self._browser.open(urljoin(self.url, path), timeout=SECONDS))

    def _checked(self, response: requests.Response) -> str:
        if response.status_code >= 400:
            words = " ".join(self._browser.page.get_text(" ").split()) if self._browser.page else response.text
            raise LabFailure(f"{response.url} answered {response.status_code}: {words[:500]}")
        return response.text

    @property
    def location(self) -> str:
        """The address of the page that is open."""
        return str(self._browser.url)

    def submit(self, form: str, fields: dict[str, Any]) -> str:
        """Fill the form that the CSS selector names on the open page, press its button, return the next page."""
        try:
            self._browser.select_form(form)
        except mechanicalsoup.LinkNotFoundError:
            raise LabFailure(f"{self.location} has no form {form!r}.") from None
        for name, value in fields.items():
            self._browser[name] = value
        return self._checked(self._browser.submit_selected(timeout=SECONDS))

    def sign_in(self, path: str, user: str, password: str) -> str:
        """Sign in with a name and password; stays on the page that follows."""
        self.open(path)
        return self.submit("form#sign-in", {"username": user, "password": password})

    def sign_in_at_last(self, path: str, user: str, password: str, seconds: float = 600) -> list[str]:
        """Sign in, again and again if it fails; return what failed on the way, for the user's account.

        A story that kills the pages at every step of a job has none to sign in to until that job ends.
        """
        failures: list[str] = []
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.sign_in(path, user, password)
            except (LabFailure, requests.RequestException) as error:
                failures.append(f"sign-in: {error}")
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
            else:
                return failures

    def change_first_password(self, old: str, new: str) -> str:
        """Answer the page that the first sign-in ends on: the password must be changed (H3)."""
        return self.submit("form#change-password", {"old_password": old, "new_password1": new, "new_password2": new})

    def select(self, css: str) -> list[Any]:
        """Return the elements of the open page that a CSS selector matches."""
        return list(self._browser.page.select(css))

    def get_json(self, path: str) -> Any:
        """Return what a JSON address answers."""
        response = self._browser.session.get(urljoin(self.url, path), timeout=SECONDS)
        if response.status_code != 200:
            raise LabFailure(f"{response.url} answered {response.status_code}: {response.text[:300]}")
        return response.json()

    def get_bytes(self, path: str) -> bytes:
        """Return what a download holds."""
        response = self._browser.session.get(urljoin(self.url, path), timeout=SECONDS)
        if response.status_code != 200:
            raise LabFailure(f"{response.url} answered {response.status_code}.")
        return bytes(response.content)

    def stream(self, path: str, headers: dict[str, str]) -> requests.Response:
        """Open an address whose answer goes on for as long as there is something to tell."""
        response: requests.Response = self._browser.session.get(
            urljoin(self.url, path),
            headers={"Accept": "text/event-stream", **headers},
            stream=True,
            timeout=(10, 60),
        )
        return response

    def post_stream(self, page: str, body: Body, boundary: str) -> None:
        """Send a multipart body to the upload form of a page, as fast as the body gives it, with no second try."""
        self.open(page)
        token = self._browser.page.select_one("form#upload input[name=csrfmiddlewaretoken]")["value"]
        action = self._browser.page.select_one("form#upload").get("action") or self.location
        response = self._browser.session.post(
            urljoin(self.location, action),
            data=body,
            headers={
                "Content-Type": f"multipart/form-data; boundary={boundary}",
                "X-CSRFToken": token,
                "Referer": self.location,
            },
            timeout=600,
        )
        if response.status_code >= 400:
            raise LabFailure(f"The upload was answered {response.status_code}: {response.text[:300]}")

    def download(self, page: str, name: str) -> bytes:
        """Return the file that a page lists under ``name``."""
        self.open(page)
        for link in self.select("a[href]"):
            if link.get_text(strip=True) == name:
                return self.get_bytes(urljoin(self.location, link["href"]))
        raise LabFailure(f"{page} does not list {name}.")
