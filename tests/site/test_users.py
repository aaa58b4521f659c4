"""Users & security: who may make, change and disable whom."""

import re
from collections.abc import Callable

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st
from own_site import PASSWORD

from staffetta.site.accounts import rules, service
from staffetta.site.accounts.errors import AccountUnknown, BadAccount, NameTaken, NotYours
from staffetta.site.accounts.models import Account, WebSession
from staffetta.site.accounts.permissions import Allowed
from staffetta.site.accounts.rules import Rights

ALL = frozenset(Allowed)
rights = st.builds(Rights, st.sampled_from(["a", "b"]), st.booleans(), st.frozensets(st.sampled_from(Allowed)))


@given(rights, rights, rights)
def test_nobody_hands_out_more_than_they_have(actor: Rights, target: Rights, wanted: Rights) -> None:
    wanted = Rights(target.account, wanted.administrator, wanted.allowed)
    if rules.refusal_to_change_rights(actor, target, wanted) is None:
        assert actor.administrator or not (wanted.administrator or target.administrator)
        assert actor.covers(wanted.allowed)
        assert actor.covers(target.allowed)
        assert actor.administrator or Allowed.MANAGE_USERS in actor.allowed


@given(rights, rights)
def test_nobody_disables_themselves_or_an_administrator_above_them(actor: Rights, target: Rights) -> None:
    if rules.refusal_to_disable(actor, target) is None:
        assert actor.account != target.account
        assert actor.administrator or not target.administrator


@pytest.mark.req("S12")
@pytest.mark.django_db
def test_a_user_is_made_with_a_one_time_password_in_the_pages(browser: Callable[..., Client], admin: Account) -> None:
    client = browser(admin)
    fields = {"username": "Rita ", "permissions": ["start_sessions", "modify_all_jump_clients"]}
    page = client.post("/login/users/new", fields)
    password = re.search(r'data-one-time-password="([^"]+)"', page.text)
    assert password is not None
    rita = Account.objects.get(username="rita")
    assert rita.check_password(password[1])
    assert rita.must_change_password
    assert service.may(rita.pk, "start_sessions") and service.may(rita.pk, "modify_all_jump_clients")
    assert not service.may(rita.pk, "manage_users")
    assert password[1] not in client.get("/login/audit-log").text
    again = client.post("/login/users/new", fields)
    assert "already" in again.text
    assert Account.objects.count() == 2


@pytest.mark.req("S12")
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("allowed", "address"),
    [
        (Allowed.MANAGE_USERS, "/login/users"),
        (Allowed.VIEW_REPORTS, "/login/reports/sessions"),
        (Allowed.VIEW_REPORTS, "/login/reports/sessions.json"),
        (Allowed.VIEW_REPORTS, "/reports/sessions.json"),
        (Allowed.VIEW_REPORTS, "/login/reports/sessions.csv"),
        (Allowed.MANAGE_FILES, "/login/files"),
        (Allowed.VIEW_AUDIT_LOG, "/login/audit-log"),
        (Allowed.MODIFY_ALL_JUMP_CLIENTS, "/login/jump-clients/installers"),
    ],
)
def test_a_page_is_for_those_with_its_permission(
    browser: Callable[..., Client], person: Callable[..., Account], allowed: Allowed, address: str
) -> None:
    assert browser(person("with", allowed)).get(address).status_code == 200
    assert browser(person("without", *(ALL - {allowed}))).get(address).status_code == 403


@pytest.mark.django_db
def test_a_disabled_user_is_out_at_once(
    browser: Callable[..., Client], person: Callable[..., Account], admin: Account
) -> None:
    rita = person("rita", Allowed.START_SESSIONS)
    client = browser(rita)
    assert client.get("/login/my-account").status_code == 200
    assert browser(admin).post(f"/login/users/{rita.pk}/disable").status_code == 302
    assert client.get("/login/my-account").status_code == 302
    assert not WebSession.objects.filter(account_id=rita.pk).exists()
    assert not service.may(rita.pk, "start_sessions")
    signing_in = browser().post("/login/sign-in", {"username": "rita", "password": PASSWORD})
    assert "wrong" in signing_in.text
    browser(admin).post(f"/login/users/{rita.pk}/enable")
    assert service.may(rita.pk, "start_sessions")


@pytest.mark.django_db
def test_rights_are_changed_in_the_pages(
    browser: Callable[..., Client], person: Callable[..., Account], admin: Account
) -> None:
    rita = person("rita", Allowed.START_SESSIONS)
    client = browser(admin)
    assert "checked" in client.get(f"/login/users/{rita.pk}").text
    client.post(f"/login/users/{rita.pk}", {"permissions": ["view_reports"]})
    assert service.summary(rita.pk).allowed == {Allowed.VIEW_REPORTS}
    client.post(f"/login/users/{rita.pk}", {"administrator": "on"})
    assert service.may(rita.pk, "manage_files")


@pytest.mark.django_db
def test_a_manager_of_users_cannot_rise(browser: Callable[..., Client], person: Callable[..., Account]) -> None:
    eve = person("eve", Allowed.MANAGE_USERS)
    client = browser(eve)
    admin = Account.objects.get(username="admin")
    answers = [
        client.post("/login/users/new", {"username": "x", "administrator": "on"}),
        client.post("/login/users/new", {"username": "x", "permissions": ["view_reports"]}),
        client.post(f"/login/users/{eve.pk}", {"administrator": "on"}),
        client.post(f"/login/users/{admin.pk}", {"permissions": []}),
    ]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert all('role="alert"' in answer.text for answer in answers)
    assert client.post(f"/login/users/{admin.pk}/disable").status_code == 403
    assert client.post(f"/login/users/{admin.pk}/reset-password").status_code == 403
    admin.refresh_from_db()
    assert admin.is_active and admin.is_superuser and admin.check_password(PASSWORD)
    assert set(Account.objects.values_list("username", flat=True)) == {"admin", "eve"}
    assert service.summary(eve.pk).allowed == {Allowed.MANAGE_USERS}


@pytest.mark.django_db
def test_the_last_administrator_stays(admin: Account) -> None:
    for attempt in (
        lambda: service.disable(admin, admin.pk),
        lambda: service.change_rights(admin, admin.pk, ALL, administrator=False),
    ):
        with pytest.raises(NotYours):
            attempt()


@pytest.mark.django_db
def test_a_reset_password_is_for_once(
    browser: Callable[..., Client], person: Callable[..., Account], admin: Account
) -> None:
    rita = person("rita")
    rita_browser = browser(rita)
    page = browser(admin).post(f"/login/users/{rita.pk}/reset-password").text
    password = re.search(r'data-one-time-password="([^"]+)"', page)
    assert password is not None
    assert rita_browser.get("/login/my-account").status_code == 302
    client = browser()
    answer = client.post("/login/sign-in", {"username": "rita", "password": password[1]})
    assert answer["Location"] == "/login/change-password"


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["", " ", "x" * 151])
def test_a_name_that_cannot_be_used_is_refused(admin: Account, name: str) -> None:
    with pytest.raises(BadAccount):
        service.make_account(admin, name, frozenset())


@pytest.mark.django_db
def test_names_are_one_in_every_spelling(admin: Account) -> None:
    service.make_account(admin, "Zoë", frozenset())
    for spelling in ("ZOË", "zoe\u0308", " zoë "):
        with pytest.raises(NameTaken):
            service.make_account(admin, spelling, frozenset())


@pytest.mark.django_db
def test_a_probe_is_in_no_list_and_no_log(browser: Callable[..., Client], admin: Account) -> None:
    from staffetta.site.data.models import Record

    before = Record.objects.count()
    Account.objects.create_account("probe-x", PASSWORD, probe=True)
    client = browser()
    assert client.post("/login/sign-in", {"username": "probe-x", "password": PASSWORD}).status_code == 302
    client.post("/login/sign-out")
    assert Record.objects.count() == before
    assert [row.username for row in service.list_accounts()] == ["admin"]
    with pytest.raises(AccountUnknown):
        service.summary(Account.objects.get(username="probe-x").pk)
