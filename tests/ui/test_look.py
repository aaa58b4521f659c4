"""The common look: strict headers, static files by hash, access marks, filters."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.http import HttpRequest, HttpResponse
from django.template import loader
from django.test import Client
from django.urls import include, path, reverse

import staffetta.ui
from staffetta.base.web.models import Account
from staffetta.ui.configuration import face_settings
from staffetta.ui.signin.access import needs, public, signed_in, views_without_access
from staffetta.ui.static_files import asset, asset_url
from staffetta.ui.templatetags.ui import duration, moment, size

ROOMS = [Path(staffetta.ui.__file__).parent, Path(staffetta.ui.__file__).parent.parent / "base" / "web"]


def test_answers_carry_a_strict_policy_and_are_kept_in_no_cache(browser: Client, admin: Account) -> None:
    answer = browser.get("/appliance/sign-in")
    policy = dict(part.split(" ", 1) for part in answer["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'self'"
    assert "unsafe" not in answer["Content-Security-Policy"]
    assert policy["frame-ancestors"] == "'none'"
    assert policy["form-action"] == "'self'"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert "no-store" in answer["Cache-Control"]
    missing = browser.get("/appliance/nothing-here")
    assert missing.status_code == 404
    assert "There is no such page" in missing.content.decode()
    assert "Content-Security-Policy" in missing


def test_no_template_holds_what_the_policy_forbids() -> None:
    templates = [page for room in ROOMS for page in room.rglob("*.html")]
    assert len(templates) > 15
    for page in templates:
        text = page.read_text()
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)|https?://", text), page
        for tag in re.findall(r"<script[^>]*>", text):
            assert "{% asset" in tag, (page, tag)


def test_static_files_are_named_by_their_content_and_kept_for_ever(client: Client) -> None:
    address = asset_url("ui/vendor/tabler.min.css")
    whole = client.get(address, headers={"host": "localhost"})
    assert whole.status_code == 200
    assert whole["Content-Type"] == "text/css; charset=utf-8"
    assert whole["Cache-Control"] == "public, max-age=31536000, immutable"
    packed = client.get(address, headers={"host": "localhost", "accept-encoding": "gzip"})
    assert packed["Content-Encoding"] == "gzip"
    assert len(packed.content) < len(whole.content) / 3
    stale = client.get(reverse("static", args=["ui/own.css"]) + "?v=0123", headers={"host": "localhost"})
    assert stale["Cache-Control"] == "no-cache"
    same = client.get(address, headers={"host": "localhost", "if-none-match": whole["ETag"]})
    assert same.status_code == 304
    assert same.content == b""


@pytest.mark.parametrize("wrong", ["ui/nothing.css", "../models.py", "ui/../../apps.py", "ui", "/etc/passwd", ""])
def test_only_static_files_are_served(client: Client, wrong: str) -> None:
    answer = client.get(f"/appliance/static/{wrong}", headers={"host": "localhost"})
    assert answer.status_code == 404


def test_what_is_vendored_is_whole_and_carries_its_licences() -> None:
    licences = asset("ui/vendor/LICENSES.txt").content.decode()
    for name in (
        "tabler.min.css", "htmx.min.js", "Permission is hereby granted",
        "asciinema-player.min.js", "asciinema-player.css", "Apache License", "Ryan Carniato",
    ):  # fmt: skip
        assert name in licences
    assert b"sourceMappingURL" not in asset("ui/vendor/tabler.min.css").content
    assert b"@import" not in asset("ui/vendor/tabler.min.css").content
    assert b"AsciinemaPlayer" in asset("ui/vendor/asciinema-player.min.js").content
    assert b"url(" not in asset("ui/vendor/asciinema-player.css").content


def test_a_view_without_a_mark_is_found() -> None:
    def bare(request: HttpRequest) -> HttpResponse:
        raise NotImplementedError

    async def bare_async(request: HttpRequest) -> HttpResponse:
        raise NotImplementedError

    class Urls:
        urlpatterns = [
            path("a", public(lambda request: HttpResponse())),
            path("b/", include([path("c", bare), path("d", signed_in(bare)), path("e", bare_async)])),
            path("f", needs("appliance.install_updates")(bare_async)),
        ]

    found = views_without_access(Urls)  # type: ignore[arg-type]
    assert [line.split(" ")[0] for line in found] == ["b/c", "b/e"]


def test_the_two_faces_share_no_cookie() -> None:
    one, other = (face_settings(face, "k" * 50, ["localhost"]) for face in ("appliance", "site"))
    names = {key for key in one if key.endswith("COOKIE_NAME")}
    assert len(names) == 3
    assert all(one[name] != other[name] and one[name].startswith("__Host-") for name in names)


def test_a_broken_server_still_shows_a_page() -> None:
    page = loader.render_to_string("ui/broken.html", {"now": None})
    assert "Something went wrong here" in page


@pytest.mark.parametrize(
    ("count", "shown"), [(None, ""), (0, "0 B"), (999, "999 B"), (24_100_000, "24.1 MB"), (3 * 10**15, "3000.0 TB")]
)
def test_sizes(count: int | None, shown: str) -> None:
    assert size(count) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (-0.1, "0.0 s"),
        (0.42, "0.4 s"),
        (12.3, "12 s"),
        (timedelta(minutes=3, seconds=5), "3 min 5 s"),
        (timedelta(hours=2, minutes=10), "2 h 10 min"),
        (timedelta(days=3, hours=4), "3 d 4 h"),
    ],
)
def test_durations(value: timedelta | float | None, shown: str) -> None:
    assert duration(value) == shown
    assert moment(None) == "\N{EN DASH}"


@pytest.mark.req("U6")
def test_a_moment_is_a_time_element_that_names_its_zone() -> None:
    at = datetime(2026, 11, 24, 5, 48, 15, 999, tzinfo=UTC)
    assert moment(at) == '<time datetime="2026-11-24T05:48:15+00:00">2026-11-24 05:48:15 UTC</time>'
