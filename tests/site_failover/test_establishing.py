"""Each failed check is named, by two real sites: nothing has changed on either side afterwards (F1)."""

import json
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from site_failover.conftest import Pair
from site_failover.tls_between import Between
from site_failover.two_sites import SHARED, made_from, wait_until

pytestmark = [pytest.mark.live, pytest.mark.timeout(500), pytest.mark.req("F1")]

KEY = "abcd-efgh-ijkl-mnop-qrst-uvwx-yz23"
TRY = """
from datetime import timedelta
from staffetta.kernel.clock import utc_now
from staffetta.site.failover import handshake
from staffetta.site.failover.errors import NotEstablished
from staffetta.wire.pair import parse_endpoint
try:
    handshake.establish(
        parse_endpoint(arguments[0]), parse_endpoint(arguments[1]), "test",
        clock=lambda: utc_now() + timedelta(seconds=float(arguments[2])),
    )
    say([])
except NotEstablished as error:
    say([[check.name, check.ok, check.detail] for check in error.checks])
"""


@pytest.fixture(scope="module")
def pair(templates: tuple[Path, Path]) -> Iterator[Pair]:
    """Two sites with one key, their gateways running; each test leaves them as they were."""
    root = Path(tempfile.mkdtemp(prefix="fo-", dir="/tmp"))
    pair = Pair(made_from(templates[0], root / "a"), made_from(templates[1], root / "b"))
    try:
        for site in (pair.a, pair.b):
            site.set_key(KEY)
            site.start("gateway")
        yield pair
    finally:
        pair.a.close()
        pair.b.close()
        shutil.rmtree(root)


@pytest.fixture(autouse=True)
def _nothing_holds(pair: Pair) -> Iterator[None]:
    yield
    assert (pair.a.role(), pair.b.role()) == (("alone", 1), ("alone", 1))
    for site in (pair.a, pair.b):
        assert site.rows("select count(*) from failover_relationship") == [(0,)]


def failed(pair: Pair, backup: str = "", reverse: str = "", ahead: float = 0.0) -> dict[str, str]:
    """Try to establish from a; what failed, with its sentence."""
    checks: list[list[Any]] = pair.a.do(TRY, backup or pair.b.at, reverse or pair.a.at, str(ahead))
    return {name: detail for name, ok, detail in checks if not ok}


def test_another_key(pair: Pair) -> None:
    pair.b.set_key(KEY[::-1])
    try:
        assert list(failed(pair)) == ["same-key"]
    finally:
        pair.b.set_key(KEY)


def test_no_key_on_either_side(pair: Pair) -> None:
    for site in (pair.a, pair.b):
        site.execute("update failover_pairidentity set preshared_key = null")
        try:
            assert list(failed(pair)) == ["key-set"]
            for option in ("--show", "--fingerprint"):
                without = site.command("key", option)
                assert (without.returncode, without.stdout) == (4, ""), "two without a key are not the same key"
        finally:
            site.set_key(KEY)


def test_the_shared_host_name_in_a_field(pair: Pair) -> None:
    named = failed(pair, backup=f"{SHARED.upper()}.:443")
    assert list(named) == ["not-the-shared-name"]
    assert SHARED in named["not-the-shared-name"]
    assert list(failed(pair, reverse=f"{SHARED}:443")) == ["not-the-shared-name"]


def test_its_own_address(pair: Pair) -> None:
    for reverse in ("127.0.0.1:9", pair.b.at):
        assert "as when the two are exchanged" in failed(pair, backup=pair.a.at, reverse=reverse)["not-itself"]


@pytest.mark.parametrize("ahead", [-9.0, 9.0])
def test_clocks_apart(pair: Pair, ahead: float) -> None:
    named = failed(pair, ahead=ahead)
    assert list(named) == ["clocks"]


def test_a_backup_without_the_certificate_of_the_shared_name(pair: Pair) -> None:
    pair.b.certify("b.example.com")
    try:
        wait_until(lambda: list(failed(pair)) == ["certificate"])
    finally:
        pair.b.certify(SHARED)


def test_another_version(pair: Pair) -> None:
    pair.a.version = "1.0.1"
    try:
        named = failed(pair)
    finally:
        pair.a.version = "1.0.0"
    assert list(named) == ["same-version"]
    assert "1.0.1" in named["same-version"]
    assert "1.0.0" in named["same-version"]


def test_a_reverse_address_where_nobody_or_another_is(pair: Pair) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = taken.getsockname()[1]
    assert list(failed(pair, reverse=f"127.0.0.1:{closed}")) == ["reverse-connection"]
    # Where the new backup itself answers, under another spelling of its address.
    assert list(failed(pair, reverse=f"localhost:{pair.b.port}")) == ["reverse-connection"]


def test_a_reverse_address_that_takes_connections_and_says_nothing(pair: Pair) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        named = failed(pair, reverse=f"127.0.0.1:{silent.getsockname()[1]}")
    assert list(named) == ["reverse-connection"]
    assert "in time" in named["reverse-connection"]


def test_a_backup_where_nobody_is(pair: Pair) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = taken.getsockname()[1]
    assert list(failed(pair, backup=f"127.0.0.1:{closed}")) == ["backup-reached"]


def test_somebody_between_who_shows_another_certificate(pair: Pair) -> None:
    with Between(pair.b.port) as between:
        assert list(failed(pair, backup=f"127.0.0.1:{between.port}")) == ["nobody-between"]
        assert between.passed > 0
    with Between(pair.a.port) as between:
        assert list(failed(pair, reverse=f"127.0.0.1:{between.port}")) == ["reverse-connection"]
        assert between.passed > 0


def test_the_command_prints_each_check_and_leaves_with_the_class_of_the_error(pair: Pair) -> None:
    done = pair.a.command("establish", "--backup", pair.b.at, "--reverse", f"{SHARED}:443", "--yes")
    assert done.returncode == 5
    assert "FAILED  not-the-shared-name:" in done.stderr
    assert "ok      key-set:" in done.stderr
    assert "-       clocks: not looked at. The clocks" in done.stderr
    ((body,),) = pair.a.rows("select body from data_record where kind = 'audit' order by id desc limit 1")
    noted = json.loads(body)
    assert (noted["action"], noted["subject"]) == ("failover.not-established", pair.b.at)
    assert SHARED in noted["detail"]["why"]
    assert pair.a.command("establish", "--backup", "b:0", "--reverse", pair.a.at, "--yes").returncode == 2
    unasked = pair.a.command("establish", "--backup", pair.b.at, "--reverse", pair.a.at, typed="n\n")
    assert unasked.returncode == 1 and f"replaces that of {pair.b.at}" in unasked.stdout + unasked.stderr
    assert pair.a.role()[0] == "alone"
    assert pair.a.command("break", "--yes").returncode == 4
    assert pair.a.command("become-primary").returncode == 4, "nothing is asked that is refused anyway"
    shown, alone = pair.a.command("key", "--show"), pair.b.command("key", "--fingerprint")
    assert shown.stdout.strip() == KEY, "for a script the key is alone"
    assert shown.stderr.strip() == f"Fingerprint: {alone.stdout.strip()}", "with one key it is the same on both"
    assert KEY[:4] not in alone.stdout + alone.stderr
    assert pair.a.command("key", "--show", "--fingerprint").returncode == 2
    weak = pair.a.command("key", "--file", "-", typed="password")
    assert weak.returncode == 2
    assert "generated" in weak.stderr
