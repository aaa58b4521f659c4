"""A pair of two real sites: established, swapped, taken over from, healed, broken, established again (F1, F4, F11)."""

import json
import signal

import pytest

from site_failover.conftest import Pair
from site_failover.tls_between import Between
from site_failover.two_sites import OneSite, wait_until

pytestmark = [pytest.mark.live, pytest.mark.timeout(500)]

KILLED_BETWEEN = """
import os
from staffetta.site.failover import handshake
from staffetta.wire.pair import parse_endpoint
# The backup has said that it holds; this side dies before it does.
handshake.pair.check_held = lambda *_: os._exit(9)
service.establish(parse_endpoint(arguments[0]), parse_endpoint(arguments[1]), "test")
"""


def run(*sites: OneSite) -> None:
    for site in sites:
        site.start("gateway")
        site.start("worker")


def crash(site: OneSite) -> None:
    for name in tuple(site.running):
        site.stop(name, signal.SIGKILL)


def done(site: OneSite, *words: str) -> None:
    result = site.command(*words)
    assert result.returncode == 0, result.stderr


def one_key(sites: Pair) -> str:
    key = sites.a.command("key", "--generate").stdout.strip()
    sites.b.set_key(key.upper().replace("-", " "))
    assert sites.b.command("key", "--show").stdout.strip() == key
    return key


def audited(site: OneSite) -> list[str]:
    rows = site.rows(
        "select body from data_record where kind = 'audit' and origin = (select id from data_siteinstance) order by id"
    )
    return [action for (body,) in rows if (action := json.loads(body)["action"]).startswith("failover.")]


def make_user(site: OneSite, name: str) -> None:
    site.do(
        "from staffetta.site.accounts.models import Account\n"
        "Account.objects.create_account(arguments[0], 'correct horse battery staple')",
        name,
    )


def users(site: OneSite) -> list[str]:
    return [name for (name,) in site.rows("select username from accounts_account")]


@pytest.mark.req("F1", "F3", "F4", "F11")
def test_establish_swap_crash_return_break_and_establish_again(sites: Pair) -> None:
    a, b = sites.a, sites.b
    run(a, b)
    one_key(sites)
    sites.establish()
    assert (a.role(), b.role()) == (("primary", 2), ("backup", 2))
    wait_until(lambda: a.heard() and b.heard())
    for site, role, peer, other in ((a, "primary", "backup", b), (b, "backup", "primary", a)):
        status = site.status()
        assert (status["role"], status["peer"]["role"], status["alarms"]) == (role, peer, [])
        assert status["peer"]["site_version"] == "1.0.0"
        assert status["relationship"]["peer"] == other.at
        assert status["relationship"]["own"] == site.at
    assert a.command("become-primary", "--no-sync", "--yes").returncode == 5

    # The peer answers: swapped, with everything that it has.
    make_user(a, "early")
    done(a, "sync-now", "--wait")
    assert "early" in users(b)
    b.stop("worker")
    assert "  behind: 0 files, 0 bytes" in b.command("status").stdout
    b.execute("update failover_syncstate set records_behind = 12")
    assert "  behind: 12 records, 0 files, 0 bytes" in b.command("status").stdout
    assert b.status()["sync"]["records_behind"] == 12
    make_user(a, "late")
    done(b, "become-primary", "--yes")
    assert (a.role(), b.role()) == (("backup", 3), ("primary", 3))
    assert "late" in users(b)
    again = b.command("become-primary")
    assert again.returncode == 5 and "is the primary already" in again.stderr, "nothing is asked that is refused"
    b.start("worker")

    # The primary is gone: without its last data only when told so.
    crash(b)
    refused = a.command("become-primary", "--sync", "--yes")
    assert refused.returncode == 6, refused.stderr
    assert a.role() == ("backup", 3)
    done(a, "become-primary", "--no-sync", "--yes")
    assert a.role() == ("primary", 4)

    # It comes back believing that it is primary, asks first, and is not.
    assert b.role() == ("primary", 3)
    b.execute("update failover_relationship set looked_at = '2026-01-01 00:00:00'")
    b.start("gateway")
    assert b.role() == ("backup", 4)
    assert "failover.stepped-down" in audited(b)
    b.start("worker")

    done(b, "break", "--yes")
    assert (a.role(), b.role()) == (("alone", 4), ("alone", 4))
    for site, other in ((a, b), (b, a)):
        status = site.status()
        assert status["relationship"] is None
        assert status["prefill"] == {"backup": other.at, "reverse": site.at}

    # From the other side this time, with the details that were kept.
    prefill = b.status()["prefill"]
    done(b, "establish", "--backup", prefill["backup"], "--reverse", prefill["reverse"], "--yes")
    assert (a.role(), b.role()) == (("backup", 5), ("primary", 5))
    assert [action for action in audited(a) if action != "failover.sync-asked"] == [
        "failover.key-set",
        "failover.established-as-primary",
        "failover.stepped-down",
        "failover.became-primary",
        "failover.broken",
        "failover.established-as-backup",
    ]


@pytest.mark.req("F11")
@pytest.mark.parametrize("reaches", [True, False], ids=["by its watch", "told by its peer"])
def test_a_returning_primary_whose_gateway_already_runs_steps_down(sites: Pair, reaches: bool) -> None:
    a, b = sites.a, sites.b
    run(a, b)
    one_key(sites)
    sites.establish()
    wait_until(lambda: a.heard() and b.heard())
    a.stop("gateway")
    a.stop("worker")
    if not reaches:
        # As if the name of B were not known on A any more: nothing A asks ever arrives.
        a.execute("update failover_relationship set peer_port = 9")
    done(b, "become-primary", "--no-sync", "--yes")
    a.start("gateway")
    a.start("worker")
    wait_until(lambda: a.role() == ("backup", 3))
    assert b.role() == ("primary", 3)


@pytest.mark.req("F11")
def test_two_primaries_of_one_term_are_an_alarm_that_a_person_ends(sites: Pair) -> None:
    a, b = sites.a, sites.b
    run(a, b)
    one_key(sites)
    sites.establish()
    wait_until(lambda: a.heard() and b.heard())
    # As after both were restored from copies made while they were primary.
    b.execute("update data_siteinstance set role = 'primary'")
    wait_until(lambda: a.alarm() == b.alarm() == "two-primaries")
    [alarm] = a.status()["alarms"]
    assert alarm["code"] == "two-primaries"
    assert alarm["sentence"] in a.command("status").stdout
    done(b, "become-primary", "--no-sync", "--yes")
    assert b.role() == ("primary", 3)
    wait_until(lambda: a.role() == ("backup", 3))
    wait_until(lambda: a.alarm() == b.alarm() == "")


@pytest.mark.req("F11")
def test_a_primary_that_stepped_down_for_a_killed_take_over_takes_back(sites: Pair) -> None:
    a, b = sites.a, sites.b
    run(a, b)
    one_key(sites)
    sites.establish()
    wait_until(lambda: a.heard() and b.heard())
    killed = b.do(
        "import os\n"
        "from staffetta.site.failover import roles\n"
        "roles.promote = lambda *_: os._exit(9)\n"
        "service.become_primary('test', with_sync=False)",
        check=False,
    )
    assert killed.returncode == 9
    assert (a.role(), b.role()) == (("backup", 3), ("backup", 2))
    # Its taking over was noted; so long after, nobody is at it any more.
    b.execute("update failover_relationship set taking_over_at = '2026-01-01 00:00:00'")
    wait_until(lambda: a.role() == ("primary", 4))
    wait_until(lambda: b.role() == ("backup", 4))


@pytest.mark.req("F1")
def test_killed_between_the_two_sides_the_next_try_completes_it(sites: Pair) -> None:
    a, b = sites.a, sites.b
    run(a, b)
    one_key(sites)
    assert a.do(KILLED_BETWEEN, b.at, a.at, check=False).returncode == 9
    assert (a.role(), b.role()) == (("alone", 1), ("backup", 2))
    sites.establish()
    assert (a.role(), b.role()) == (("primary", 3), ("backup", 3))
    wait_until(lambda: a.heard() and b.heard())


@pytest.mark.req("F1")
def test_killed_between_the_two_sides_the_half_that_holds_is_undone(sites: Pair) -> None:
    a, b = sites.a, sites.b
    run(a, b)
    one_key(sites)
    assert a.do(KILLED_BETWEEN, b.at, a.at, check=False).returncode == 9
    assert b.role() == ("backup", 2)
    b.execute("update failover_relationship set established_at = '2026-01-01 00:00:00'")
    wait_until(lambda: b.role() == ("alone", 2))
    assert audited(b)[-1] == "failover.broken"
    sites.establish()
    assert (a.role(), b.role()) == (("primary", 3), ("backup", 3))


@pytest.mark.req("F4")
def test_a_break_that_the_peer_did_not_hear_is_told_there(sites: Pair) -> None:
    a, b = sites.a, sites.b
    run(a, b)
    one_key(sites)
    sites.establish()
    wait_until(lambda: a.heard() and b.heard())
    crash(b)
    broken = a.command("break", "--yes")
    assert broken.returncode == 0
    assert "break it there too" in broken.stdout
    run(b)
    wait_until(lambda: b.alarm() == "peer-left")
    assert b.role() == ("backup", 2)
    # Its primary may establish it again without more: it stays what it is.
    sites.establish()
    assert (a.role(), b.role()) == (("primary", 3), ("backup", 3))


@pytest.mark.req("F1")
def test_somebody_between_is_not_talked_to_afterwards_either(sites: Pair) -> None:
    a, b = sites.a, sites.b
    run(a, b)
    one_key(sites)
    sites.establish()
    wait_until(lambda: a.heard() and b.heard())
    with Between(b.port) as between:
        answer = a.do(
            "import dataclasses\n"
            "from staffetta.site.failover.errors import PeerUnreachable\n"
            "peer = service.peer()\n"
            "direct = peer.get('picture')['role']\n"
            "peer.close()\n"
            "peer.endpoint = dataclasses.replace(peer.endpoint, port=int(arguments[0]))\n"
            "try:\n    say([direct, peer.get('picture')])\n"
            "except PeerUnreachable as error:\n    say([direct, error.message])",
            str(between.port),
        )
        assert answer[0] == "backup"
        assert "something stands between" in answer[1]
        assert between.passed > 0
    # A new certificate of the peer is no reason to stop: it proves itself behind that one.
    b.certify("support.example.com")
    leaf = b.do("from staffetta.site.failover import identity\nsay(identity.shown_leaf()[0].hex())")
    wait_until(lambda: a.rows("select peer_leaf from failover_relationship") == [(leaf,)])
    assert a.alarm() == ""
