"""The pages show what base says, do what is asked, and say in words what went wrong."""

import os
import re
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from staffetta.base.web import place
from staffetta.base.web.models import Account
from staffetta.control.appliance import JobState, Updates
from staffetta.control.pairing import SharedAddress, SharedState
from staffetta.ui.signin.access import access_of, routed_views, views_without_access
from swapped import wrong_when_swapped

from .control_server import JOB, OFFERS, ControlServer

URLCONF = "staffetta.base.web.urls"


def text_of(response: object) -> str:
    return response.content.decode()  # type: ignore[attr-defined, no-any-return]


def test_every_view_says_who_may_reach_it() -> None:
    assert views_without_access(URLCONF) == []


def test_nothing_but_what_is_marked_public_opens_without_signing_in(db: None) -> None:
    browser = Client(SERVER_NAME="localhost", headers={"x-forwarded-proto": "https"})
    walked = 0
    for route, view in routed_views(import_module(URLCONF).urlpatterns):
        access = access_of(view)
        assert access is not None
        if access.public:
            continue
        walked += 1
        address = "/" + route.replace("<str:job>", JOB)
        for method in (browser.get, browser.post):
            response = method(address)
            assert response.status_code in (302, 401), (address, response.status_code)
            if response.status_code == 302:
                assert response["Location"].startswith("/appliance/sign-in")
    assert walked >= 10


@pytest.mark.req("U6", "U9", "U11", "S5")
def test_basics_shows_what_runs_here(pages: Client, control: ControlServer) -> None:
    page = text_of(pages.get("/appliance/"))
    for shown in ("appliance-a", "2026-11-24 05:48:15 UTC", "support.example.com", "128", "its probe fails"):
        assert shown in page
    assert "http://127.0.10.9:8080" in page


@pytest.mark.req("S5", "U9")
def test_what_is_replaced_every_few_seconds_keeps_the_focus_and_is_not_said_again(
    pages: Client, control: ControlServer
) -> None:
    control.begin_job()
    control.status = replace(control.status, job=JOB, clock_problem="The clock is wrong.")
    control.updates = replace(control.updates, error="The update server cannot be reached.")
    page = text_of(pages.get(reverse("updates")))
    assert page.count("data-announce=") == 3
    assert wrong_when_swapped(page) == []
    oob = re.search(r'hx-select-oob="(.*?)"', page)
    assert oob is not None
    assert set(oob[1].split(",")) == {"#available", "#install-now", "#history"}, "all that the end of the job changes"
    for part in oob[1].split(","):
        assert page.count(f'id="{part[1:]}"') == 1
    for part in page.split("hx-select-oob")[1].split('id="history"')[1:]:
        assert wrong_when_swapped(part.partition("</section>")[0], fragment=True) == []
    assert wrong_when_swapped(text_of(pages.get("/appliance/"))) == []
    control.status = replace(control.status, site_version=None)
    assert wrong_when_swapped(text_of(pages.get("/appliance/"))) == []
    job = text_of(pages.get(reverse("job", args=[JOB])))
    assert wrong_when_swapped(job.partition('<div id="job">')[2].partition("</main>")[0], fragment=True) == []


@pytest.mark.req("U8", "H3")
def test_an_appliance_without_a_site_says_what_to_do_first(pages: Client, control: ControlServer) -> None:
    def states() -> list[tuple[str, str]]:
        return re.findall(r'data-step="(.*?)" data-state="(.*?)"', text_of(pages.get("/appliance/")))

    assert states() == []
    control.status = replace(control.status, site_version=None)
    begun, rest = [("password", "done")], [("site", "later"), ("sign-in", "later")]
    assert states() == [*begun, ("check", "running"), ("eula", "later"), *rest]
    pages.post(reverse("check"))
    waiting = tuple(replace(offer, eula_accepted=False) for offer in control.updates.offers)
    control.updates = replace(control.updates, offers=waiting)
    assert states() == [*begun, ("check", "done"), ("eula", "running"), *rest]
    assert control.eula is not None
    pages.post(reverse("accept-eula"), {"sha256": control.eula.sha256, "accept": "on"})
    assert states() == [*begun, ("check", "done"), ("eula", "done"), ("site", "running"), ("sign-in", "later")]


@pytest.mark.req("U8", "H3")
def test_the_first_steps_end_when_the_site_has_a_password_of_its_own(pages: Client, control: ControlServer) -> None:
    def due() -> list[str]:
        return re.findall(r'data-step="(.*?)" data-state="running"', text_of(pages.get("/appliance/")))

    control.status = replace(control.status, site_version=None)
    pages.post(reverse("check"))
    offers = tuple(replace(offer, eula=None, eula_accepted=True) for offer in control.updates.offers)
    control.updates, control.eula = replace(control.updates, offers=offers), None
    assert due() == ["site"], "packages without a licence agreement have none to accept"
    control.status = replace(control.status, site_version="1.0", site_first_password=True)
    assert due() == ["sign-in"]
    page = text_of(pages.get("/appliance/"))
    assert 'id="step-now" href="https://127.0.10.1:8443/login"' in page, "a way on"
    control.updates = Updates(None, ())
    assert due() == ["sign-in"], "what is installed was checked for and accepted"
    for says in (False, None):
        control.status = replace(control.status, site_first_password=says)
        assert "first-steps" not in text_of(pages.get("/appliance/"))


@pytest.mark.req("S5")
def test_under_a_name_that_is_not_the_appliances_it_says_which_are(pages: Client) -> None:
    answer = pages.get("/appliance/", headers={"host": "another.example.com"})
    assert answer.status_code == 400
    names = re.search(r"Open it as one of: (.*?)\.\s*<", text_of(answer))
    assert names is not None
    listed = names[1].split(", ")
    assert listed and len(listed) == len(set(listed)) and "another.example.com" not in names[1]


@pytest.mark.req("U11")
def test_basics_tells_the_role_in_a_pair_and_nothing_of_it_without_one(pages: Client, control: ControlServer) -> None:
    for role, said in ((None, ""), ("alone", ""), ("primary", "it serves everybody"), ("backup", "at the primary")):
        control.status = replace(control.status, role=role)
        page = text_of(pages.get("/appliance/"))
        assert ('id="role"' in page) == bool(said) and said in page


@pytest.mark.req("U8")
def test_the_licence_agreement_comes_before_the_first_install(pages: Client, control: ControlServer) -> None:
    assert control.eula is not None
    control.status = replace(control.status, site_version=None)
    pages.post(reverse("check"))
    page = text_of(pages.get(reverse("updates")))
    assert "Licence agreement of a test." in page
    refused = pages.post(reverse("install"), {"target": OFFERS[0].target}, follow=True)
    assert "Accept the licence agreement first." in text_of(refused)
    assert not control.jobs

    unticked = pages.post(reverse("accept-eula"), {"sha256": control.eula.sha256}, follow=True)
    assert "Tick the box" in text_of(unticked)
    assert not control.eula.accepted

    pages.post(reverse("accept-eula"), {"sha256": control.eula.sha256, "accept": "on"})
    assert control.eula.accepted_by == "admin"
    started = pages.post(reverse("install"), {"target": OFFERS[0].target})
    assert started["Location"] == reverse("job", args=[JOB])


@pytest.mark.req("U2", "U3", "U9")
def test_offers_are_listed_and_one_that_needs_another_is_disabled_and_says_so(
    pages: Client, control: ControlServer
) -> None:
    checked = pages.post(reverse("check"), follow=True)
    page = text_of(checked)
    assert control.asked == [("POST", "/v1/updates/check", {"actor": "admin"})]
    assert "Available updates" in page
    assert "24.1 MB" in page
    assert "Install base 1.1 first." in page
    possible, impossible = (page.split("data-target=")[1:])[:2]
    assert "Install this update" in possible
    assert " disabled>" not in possible.split("</article>")[0]
    assert " disabled>" in impossible.split("</article>")[0]
    assert "<strong>3</strong> sessions are live." in page
    assert "Live sessions go on" in page


@pytest.mark.req("U2")
def test_the_way_to_the_newest_is_shown_and_where_the_job_is_on_it(pages: Client, control: ControlServer) -> None:
    assert 'class="way"' not in text_of(pages.get(reverse("updates"))), "nothing is known to be newer"
    page = text_of(pages.post(reverse("check"), follow=True))

    def shown(page: str) -> dict[str, str]:
        way = page[page.index('class="way"') :].partition("</ol>")[0]
        return {name: state for state, name in re.findall(r'data-state="([a-z]+)" data-stop="([^"]+)"', way)}

    assert shown(page) == {"base 1.0": "installed", "site 1.0": "installed", "base 1.1": "next", "site 1.1": "later"}
    assert "needs base 1.1 or newer" in page
    assert "hx-get" not in page[page.index('id="now"') :], "nothing changes by itself without a job"
    control.begin_job("base")
    control.status = replace(control.status, job=JOB)
    page = text_of(pages.get(reverse("updates")))
    assert shown(page)["base 1.1"] == "running" and shown(page)["site 1.1"] == "next"
    assert "Verify signatures and requirements" in page and 'aria-current="step"' in page
    assert 'hx-get="/appliance/updates"' in page


def test_nothing_else_can_be_installed_while_a_job_runs(pages: Client, control: ControlServer) -> None:
    pages.post(reverse("check"))
    control.begin_job()
    control.status = replace(control.status, job=JOB)
    page = text_of(pages.get(reverse("updates")))
    assert reverse("job", args=[JOB]) in page
    assert " disabled>Install this update" in page.replace("\n", "")
    assert " disabled>Update software" in page


@pytest.mark.req("U4")
def test_a_file_that_was_brought_is_passed_on_whole(pages: Client, control: ControlServer) -> None:
    content = os.urandom(3_000_000)
    answer = pages.post(reverse("install-file"), {"bundle": SimpleUploadedFile("site.bundle", content)})
    assert answer["Location"] == reverse("job", args=[JOB])
    assert control.upload == content
    assert control.asked == [("POST", "/v1/installs/upload", {"name": "site.bundle", "actor": "admin"})]


def test_a_file_that_is_refused_is_refused_in_words(pages: Client, control: ControlServer) -> None:
    answer = pages.post(reverse("install-file"), {"bundle": SimpleUploadedFile("x", b"bad")}, follow=True)
    assert answer.status_code == 200
    assert "The file is not a bundle: its signature is missing." in text_of(answer)


@pytest.mark.req("H1")
def test_certificates_are_listed_with_what_is_wrong_and_can_be_replaced(pages: Client, control: ControlServer) -> None:
    page = text_of(pages.get(reverse("certificates")))
    for shown in ("support.example.com", "Example Authority R3", "127.0.10.1", "Import a certificate of an authority"):
        assert shown in page
    refused = pages.post(
        reverse("import-certificate"),
        {"name": "site", "certificate": SimpleUploadedFile("a.pem", b"nothing")},
        follow=True,
    )
    assert "The file holds no certificate." in text_of(refused)
    chain, key = b"-----BEGIN CERTIFICATE-----\nA", b"-----BEGIN PRIVATE KEY-----\nB"
    pages.post(
        reverse("import-certificate"),
        {
            "name": "site",
            "certificate": SimpleUploadedFile("a.pem", chain),
            "key": SimpleUploadedFile("a.key", key),
        },
    )
    method, path, body = control.asked[-1]
    assert (method, path) == ("POST", "/v1/certificates/site")
    assert body["actor"] == "admin"
    assert chain.decode() in body["pem"]
    assert key.decode() in body["pem"]
    binary = pages.post(
        reverse("import-certificate"),
        {"name": "site", "certificate": SimpleUploadedFile("a.der", b"\x30\x82\xff")},
        follow=True,
    )
    assert "is not PEM text" in text_of(binary)


@pytest.mark.req("F9", "H5")
def test_the_shared_address_is_shown_and_enabled_or_not(pages: Client, control: ControlServer) -> None:
    page = text_of(pages.get(reverse("networking")))
    for shown in ("127.0.10.3", "8443", "eth0", "new connections come to this appliance", "Save changes", " checked>"):
        assert shown in page
    after = text_of(pages.post(reverse("save-networking"), {}, follow=True))
    assert control.asked == [("POST", "/v1/shared-address", {"enabled": False, "actor": "admin"})]
    assert "127.0.10.3 is disabled on this appliance." in after
    assert " checked>" not in after
    after = text_of(pages.post(reverse("save-networking"), {"enabled": "on"}, follow=True))
    assert control.asked[-1] == ("POST", "/v1/shared-address", {"enabled": True, "actor": "admin"})
    assert "it follows the primary" in after
    control.shared = SharedAddress(SharedState.ABSENT)
    page = text_of(pages.get(reverse("networking")))
    assert "was made without one" in page
    assert "Save changes" not in page


@pytest.mark.req("F7")
def test_a_pair_upgrade_is_permitted_shown_and_withdrawn(pages: Client, control: ControlServer) -> None:
    page = text_of(pages.get(reverse("pair")))
    assert "No pair upgrade is permitted on this appliance." in page
    assert 'value="24"' in page
    for hours in ("0", "169", "", "soon"):
        refused = pages.post(reverse("grant-pair-upgrade"), {"hours": hours}, follow=True)
        assert "Give a number of hours from 1 to 168." in text_of(refused)
    assert control.grant is None
    page = text_of(pages.post(reverse("grant-pair-upgrade"), {"hours": "48"}, follow=True))
    assert control.asked == [("POST", "/v1/pair/grant", {"hours": 48, "actor": "admin"})]
    for shown in ("admin, ", "2026-11-26 05:48:15 UTC", "no pair upgrade yet"):
        assert shown in page
    assert control.grant is not None
    control.grant = replace(control.grant, job="pair-7")
    assert "<code>pair-7</code>" in text_of(pages.get(reverse("pair")))
    page = text_of(pages.post(reverse("withdraw-pair-upgrade"), follow=True))
    assert control.asked[-1] == ("POST", "/v1/pair/grant/withdraw", {"actor": "admin"})
    assert "No pair upgrade is permitted any more." in page


@pytest.mark.parametrize("name", ["home", "updates", "certificates", "networking", "pair"])
def test_a_base_that_does_not_answer_is_told_in_words(pages: Client, name: str) -> None:
    answer = pages.get(reverse(name))
    assert answer.status_code == 503
    assert int(answer["Retry-After"]) > 0
    page = text_of(answer)
    assert "Base does not answer" in page
    assert "logs/base-service.log" in page


def test_pressing_a_button_while_base_does_not_answer_is_told_on_the_page(pages: Client) -> None:
    answer = pages.post(reverse("check"), follow=True)
    assert "Nothing was done: base&#x27;s service does not answer." in text_of(answer)


def test_a_job_that_does_not_exist_is_a_404_in_words(pages: Client, control: ControlServer) -> None:
    for name in ("job", "job-events"):
        answer = pages.get(reverse(name, args=["nothing"]))
        assert answer.status_code == 404
        assert "There is no such install job." in text_of(answer)


def test_an_account_without_the_permission_is_refused(control: ControlServer, db: None) -> None:
    person = Account.objects.create_account("reader", "a-better-relay-7")
    browser = Client(SERVER_NAME="localhost", headers={"x-forwarded-proto": "https"})
    browser.force_login(person)
    assert browser.get(reverse("home")).status_code == 200
    for name in ("updates", "certificates", "networking", "pair"):
        answer = browser.get(reverse(name))
        assert answer.status_code == 403
        assert "Your account lacks the permission" in text_of(answer)
    assert browser.get(reverse("job", args=[JOB])).status_code == 403
    assert browser.get(reverse("job-events", args=[JOB])).status_code == 403
    assert browser.post(reverse("install"), {"target": OFFERS[0].target}).status_code == 403


@pytest.mark.req("U3", "U10")
def test_the_page_of_a_job_is_whole_without_scripts(pages: Client, control: ControlServer) -> None:
    control.begin_job()
    control.tell(control.step(2, "reserve"))
    control.tell(control.step(3, "download"))
    running = text_of(pages.get(reverse("job", args=[JOB])))
    assert 'data-live-after="3"' in running
    assert '<meta http-equiv="refresh"' in running
    assert 'data-step="verify"' in running
    assert "1.0 s" in running
    control.end(9, JobState.UNDONE, "site 1.1 was not installed, site 1.0 goes on: its probe fails")
    over = text_of(pages.get(reverse("job", args=[JOB])))
    assert "Undone" in over
    assert "its probe fails" in over
    assert "data-live=" not in over


def test_the_secret_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "django.key"
    first = place.secret_key(path)
    assert len(first) >= 50
    assert place.secret_key(path) == first
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["django.key"]


def test_a_foreign_host_name_is_refused(pages: Client) -> None:
    assert settings.ALLOWED_HOSTS != ["*"]
    assert pages.get("/appliance/", headers={"host": "evil.example"}).status_code == 400
    assert pages.get("/appliance/", headers={"x-forwarded-host": "evil.example"}).status_code == 400
