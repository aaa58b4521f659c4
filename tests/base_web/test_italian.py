"""`/appliance` in Italian: every page, in every state that these tests bring about, says nothing past the catalogue."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from languages import bracketed, unsaid
from staffetta.base.web.models import Account
from staffetta.control.appliance import EventKind, InstallEvent, JobState
from staffetta.control.pairing import Grant, SharedState

from .conftest import NEW_PASSWORD
from .control_server import AT, CERTIFICATES, JOB, OFFERS, STATUS, ControlServer

DATA = (
    "appliance", "appliance-a", "support.example.com", "Example Authority R3", "http://127.0.10.9:8080", "admin",
    "https://127.0.10.1", "https://support.example.test:8443", "Faster start.\nSmaller log.", "Greets people by name.",
    "Licence agreement of a test.\n\nYou may use it.\n",
    "keeper", "eth0", "rita", "/appliance", "/login",
)  # fmt: skip
"""What is a name, or is written by the vendor."""

ITALIAN = {"accept-language": "it-IT,it;q=0.9,en;q=0.5"}


def text_of(response: object) -> str:
    return response.content.decode()  # type: ignore[attr-defined, no-any-return]


@pytest.fixture
def italian(pages: Client) -> Client:
    """The administrator, whose browser prefers Italian."""
    pages.defaults["HTTP_ACCEPT_LANGUAGE"] = ITALIAN["accept-language"]
    return pages


@pytest.fixture
def marked() -> Iterator[None]:
    with bracketed():
        yield


def offered(control: ControlServer) -> None:
    """Sentences that base really says, where the stand-in has some of its own."""
    control.status = replace(
        STATUS,
        clock_problem="This appliance's clock is 3 days behind the update server's time. Mend it under Networking > "
        "IP configuration (NTP server), then check for updates again.",
        generations=tuple(replace(one, failure=one.failure and "keeper gave it up") for one in STATUS.generations),
    )
    control.certificates = tuple(
        replace(one, warnings=("It expires in 9 days, on 2026-12-03: have it renewed now.",)) for one in CERTIFICATES
    )


@pytest.mark.req("S5")
def test_no_page_has_a_word_past_the_catalogue(italian: Client, control: ControlServer, marked: None) -> None:
    offered(control)
    for name in ("home", "networking", "updates", "pair", "certificates", "signin:change-password"):
        page = text_of(italian.get(reverse(name)))
        assert '<html lang="it">' in page
        assert unsaid(page, DATA) == [], name
    control.grant = Grant("rita", AT, AT + timedelta(hours=48), None)
    assert unsaid(text_of(italian.get(reverse("pair"))), DATA) == []
    for state in SharedState:
        control.shared = replace(control.shared, state=state, interface="")
        assert unsaid(text_of(italian.get(reverse("networking"))), DATA) == [], state


@pytest.mark.req("S5", "U2")
def test_updates_and_jobs_have_none_either(italian: Client, control: ControlServer, marked: None) -> None:
    offered(control)
    italian.post(reverse("check"))
    needs = ("Needs base 1.1 or newer first; base 1.0 is installed.",)
    control.updates = replace(
        control.updates,
        offers=(OFFERS[0], replace(OFFERS[1], needs=needs)),
        error="The update server at http://127.0.10.9:8080 does not answer (nothing came from http://127.0.10.9:8080). "
        "Check the network settings and try again.",
    )
    assert control.eula is not None
    assert unsaid(text_of(italian.get(reverse("updates"))), DATA) == []
    control.eula = replace(control.eula, accepted=True, accepted_by="rita", accepted_at=AT)
    control.begin_job()
    control.tell(control.step(2, "reserve", "Checking that the disk has room for it."))
    control.tell(control.step(3, "download", "Fetching site 1.1."))
    control.tell(InstallEvent(None, EventKind.PROGRESS, "download", "", 6_000_000, 24_000_000))
    job = reverse("job", args=[JOB])
    assert unsaid(text_of(italian.get(job)), ("Now at verify.", *DATA)) == []
    undone = "site 1.1 was not installed; site 1.0 goes on. The new version did not prove itself: it showed nothing."
    control.tell(control.step(4, "undo", "Going back. It did not get ready within 30 seconds."))
    control.end(5, JobState.UNDONE, undone)
    assert unsaid(text_of(italian.get(job)), ("Now at verify.", *DATA)) == []
    page = text_of(italian.get(reverse("updates")))
    assert unsaid(page, DATA) == []


@pytest.mark.req("S5")
def test_what_is_refused_and_missing_has_none_either(italian: Client, control: ControlServer, marked: None) -> None:
    offered(control)
    for name, form in (
        ("install", {"target": ""}),
        ("accept-eula", {}),
        ("install-file", {}),
        ("grant-pair-upgrade", {"hours": "x"}),
        ("import-certificate", {"name": "site"}),
    ):
        page = text_of(italian.post(reverse(name), form, follow=True))
        assert "alert-danger" in page, name
        assert unsaid(page, DATA) == [], name
    pem = {"name": "site", "certificate": SimpleUploadedFile("a.pem", "é".encode())}
    assert unsaid(text_of(italian.post(reverse("import-certificate"), pem, follow=True)), (*DATA, "a.pem")) == []
    assert unsaid(text_of(italian.get("/appliance/nothing-here")), DATA) == []
    assert unsaid(text_of(italian.get("/appliance/", headers={"host": "foreign.example"})), DATA) == []


@pytest.mark.req("S5")
def test_a_base_that_does_not_answer_has_none_either(italian: Client, marked: None) -> None:
    assert unsaid(text_of(italian.get(reverse("home"))), DATA) == []


@pytest.mark.req("S5")
def test_the_sign_in_has_none_either(fresh: Account, marked: None) -> None:
    stranger = Client(SERVER_NAME="localhost", headers={"x-forwarded-proto": "https", **ITALIAN})
    assert unsaid(text_of(stranger.get(reverse("signin:sign-in"))), DATA) == []
    for _ in range(6):
        page = text_of(stranger.post(reverse("signin:sign-in"), {"username": "eve", "password": "x"}))
        assert unsaid(page, DATA) == []
    stranger.post(reverse("signin:sign-in"), {"username": "admin", "password": "password"})
    page = text_of(stranger.get(reverse("signin:change-password")))
    assert unsaid(page, DATA) == []
    same = {"old_password": "password", "new_password1": "1234", "new_password2": "12"}
    assert unsaid(text_of(stranger.post(reverse("signin:change-password"), same)), DATA) == []


@pytest.mark.req("S5")
def test_a_refusal_and_a_number_are_said_in_italian(italian: Client, control: ControlServer) -> None:
    page = text_of(italian.post(reverse("install-file"), {"bundle": SimpleUploadedFile("x", b"bad")}, follow=True))
    assert "alert-danger" in page
    control.status = replace(STATUS, sessions_live=1)
    italian.post(reverse("check"))
    assert "È attiva <strong>1</strong> sessione." in text_of(italian.get(reverse("updates")))
    control.status = replace(STATUS, sessions_live=3)
    page = text_of(italian.get(reverse("updates")))
    assert "Sono attive <strong>3</strong> sessioni." in page
    assert "24,1 MB" in page
    assert "24/11/2026 05:48:15 UTC" in page


@pytest.mark.req("S5")
def test_the_choice_of_a_language_outlasts_the_sign_in(admin: Account, control: ControlServer) -> None:
    browser = Client(SERVER_NAME="localhost", headers={"x-forwarded-proto": "https", "accept-language": "en-GB"})
    sign_in = reverse("signin:sign-in")
    page = browser.get(sign_in)
    assert '<html lang="en">' in text_of(page)
    assert {"Accept-Language", "Cookie"} <= {one.strip() for one in page["Vary"].split(",")}
    chosen = browser.post(reverse("language"), {"language": "it", "next": sign_in})
    assert chosen["Location"] == sign_in
    cookie = chosen.cookies[settings.LANGUAGE_COOKIE_NAME]
    assert cookie["secure"] and cookie["httponly"] and cookie["samesite"] == "Lax" and int(cookie["max-age"]) > 86400
    assert "Accedi" in text_of(browser.get(sign_in))
    page = text_of(browser.post(sign_in, {"username": "admin", "password": NEW_PASSWORD}, follow=True))
    assert '<html lang="it">' in page
    assert "Elementi Base" in page
    browser.post(reverse("signin:sign-out"))
    assert "Accedi" in text_of(browser.get(sign_in))
    browser.post(reverse("language"), {"language": "en"})
    assert "Sign in" in text_of(browser.get(sign_in))


@pytest.mark.req("S5")
def test_the_choice_leads_back_to_the_address_that_the_browser_shows(pages: Client, control: ControlServer) -> None:
    name = 'name="next"'
    assert name not in text_of(pages.get(reverse("updates"))), "a script may have replaced the address since"
    at = "https://localhost/appliance/updates?some=thing"
    assert (
        pages.post(reverse("language"), {"language": "it"}, headers={"referer": at, "host": "localhost"})["Location"]
        == at
    )
    foreign = {"referer": "https://foreign.example/"}
    assert pages.post(reverse("language"), {"language": "it"}, headers=foreign)["Location"] == "/"
    answered = text_of(pages.post(reverse("signin:change-password"), {}))
    assert f'{name} value="{reverse("home")}"' in answered, "an answer to a form cannot be asked for again"


@pytest.mark.req("S5", "S12")
def test_the_choice_leads_nowhere_else_and_takes_no_other_language(pages: Client, control: ControlServer) -> None:
    strange = pages.post(reverse("language"), {"language": "xx", "next": "https://foreign.example/"})
    assert strange["Location"] == "/"
    assert settings.LANGUAGE_COOKIE_NAME not in strange.cookies
    assert pages.get(reverse("language")).status_code == 405
