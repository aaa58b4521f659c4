"""What must hold of every model and every address, also of those not written yet."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection, models
from django.test import Client
from django.urls import get_resolver, reverse
from django.utils.module_loading import import_string

from staffetta.site.accounts.models import Account
from staffetta.site.data import sync
from staffetta.site.data.sync import Sync, travels_with, undeclared
from staffetta.ui.signin.access import access_of, routed_views, views_without_access

OWN = ("data", "accounts", "fleet", "support", "management", "web")
PUBLIC = {
    "web.views.home",
    "web.views.entrance",
    "web.views.appliance",
    "signin.views.sign_in",
    "signin.views.sign_out",
    "static_files.static_file",
    "language.choose_language",
}


def test_every_model_says_how_it_travels() -> None:
    assert undeclared() == []


def test_a_model_that_does_not_say_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inherited words do not count: what travels is decided for each table."""
    parent = apps.get_model("data.Blob")
    child = type("Child", (parent,), {"__module__": "x", "Meta": type("Meta", (), {"app_label": "x", "proxy": True})})
    assert travels_with(parent).kind is Sync.BLOB
    assert travels_with(child).kind is None
    monkeypatch.delitem(sync.OF_OTHERS, "axes.AccessAttempt")
    assert undeclared() == ["axes.AccessAttempt"]


def test_only_records_are_of_kind_record() -> None:
    assert [model._meta.label for model in apps.get_models() if travels_with(model).kind is Sync.RECORD] == [
        "data.Record"
    ]


def test_ids_of_what_travels_are_not_counted_by_the_database() -> None:
    """Two appliances must never give one number to two things."""
    counted = [
        model._meta.label
        for model in apps.get_models()
        if travels_with(model).kind is Sync.CONFIG
        and model._meta.app_label in OWN
        and isinstance(model._meta.pk, models.AutoField | models.BigAutoField)
    ]
    assert counted == []


@pytest.mark.django_db
def test_migrations_are_complete_and_only_add() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


@pytest.mark.django_db
def test_the_database_is_durable() -> None:
    with connection.cursor() as cursor:
        found = {
            name: cursor.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "recursive_triggers", "busy_timeout", "foreign_keys")
        }
    assert found["journal_mode"] == "wal"
    assert found["synchronous"] == 2  # FULL
    assert found["recursive_triggers"] == 1
    assert found["busy_timeout"] >= 5000
    assert found["foreign_keys"] == 1
    assert connection.settings_dict["OPTIONS"]["transaction_mode"] == "IMMEDIATE"


def test_every_view_says_who_may_reach_it() -> None:
    assert views_without_access("staffetta.site.web.urls") == []


def test_a_view_that_does_not_say_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = import_string("staffetta.site.web.views.information").__wrapped__
    urls = import_string("staffetta.site.web.urls.urlpatterns")
    from django.urls import path

    monkeypatch.setattr("staffetta.site.web.urls.urlpatterns", [*urls, path("bare", bare)])
    assert len(views_without_access("staffetta.site.web.urls")) == 1


def test_what_anybody_may_reach_is_this_and_no_more() -> None:
    found = {
        f"{view.__module__}.{view.__qualname__}".partition("staffetta.")[2].removeprefix("site.").removeprefix("ui.")
        for _, view in routed_views(get_resolver("staffetta.site.web.urls").url_patterns)
        if (access := access_of(view)) is not None and access.public
    }
    assert found == PUBLIC


@pytest.mark.django_db
def test_nobody_reaches_a_page_without_signing_in(browser: Callable[..., Client]) -> None:
    anonymous = browser()
    asked = 0
    for route, view in routed_views(get_resolver("staffetta.site.web.urls").url_patterns):
        access = access_of(view)
        assert access is not None
        if access.public:
            continue
        address = "/" + "".join("x" if part.startswith("<") else part for part in _parts(route))
        for answer in (anonymous.get(address), anonymous.post(address)):
            assert answer.status_code in (302, 401), address
            if answer.status_code == 302:
                assert answer["Location"].startswith("/login/sign-in")
        asked += 1
    assert asked > 20


def _parts(route: str) -> list[str]:
    return [part for piece in route.split("<") for part in _split(piece)]


def _split(piece: str) -> list[str]:
    inside, closed, rest = piece.partition(">")
    return ["<x>", rest] if closed else [inside]


@pytest.mark.req("S5")
@pytest.mark.django_db
def test_every_page_of_the_navigation_opens_for_the_administrator(
    browser: Callable[..., Client], admin: Account, settings: Any
) -> None:
    client = browser(admin)
    for section in settings.STAFFETTA_FACE.navigation:
        for item in section.items:
            answer = client.get(reverse(item.url_name))
            assert answer.status_code == 200, item.url_name
            assert 'aria-current="page"' in answer.text
            assert str(item.label) in answer.text


@pytest.mark.django_db
def test_the_navigation_shows_only_what_may_be_reached(
    browser: Callable[..., Client], person: Callable[..., Account]
) -> None:
    page = browser(person("nobody")).get("/login/status/information").text
    for address in ("/login/users", "/login/reports/sessions", "/login/files", "/login/audit-log"):
        assert f'href="{address}"' not in page


@pytest.mark.req("S5")
@pytest.mark.django_db
def test_the_sites_port_leads_to_the_appliances_interface(browser: Callable[..., Client], settings: Any) -> None:
    assert browser().get("/appliance")["Location"] == settings.STAFFETTA_APPLIANCE_URL


@pytest.mark.django_db
def test_errors_are_pages_or_json(browser: Callable[..., Client], admin: Account) -> None:
    client = browser(admin)
    page = client.get("/login/reports/sessions/unknown")
    assert (page.status_code, "There is no report" in page.text) == (404, True)
    answer = client.get("/login/reports/sessions/unknown.json")
    assert answer.status_code == 404
    assert json.loads(answer.content)["code"] == "session-unknown"
