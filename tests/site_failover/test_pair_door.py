"""The door of the peer, and the real client: who is let in, what is bounded, streams in ranges, a connection reused."""

import asyncio
import dataclasses
import http.client
import json
import secrets
import shutil
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from site_failover.tls_between import Between
from staffetta.front.certificates import CertificateStore, make_self_signed
from staffetta.front.door import Door
from staffetta.kernel.clock import utc_now
from staffetta.site.data import identity as instance
from staffetta.site.failover import identity, reaching, telling
from staffetta.site.failover.answers import ANSWERS, Asked
from staffetta.site.failover.errors import PeerRefused, PeerUnreachable
from staffetta.site.failover.link import KeptPeer
from staffetta.site.failover.models import Relationship
from staffetta.site.failover.peer import HttpsPeer
from staffetta.site.failover.reaching import Limits, Reached
from staffetta.site.gateway.peer import BODY_LIMIT, OPEN_BODY_LIMIT, PairDoor
from staffetta.site.processes import tasks
from staffetta.wire import pair
from staffetta.wire.identity import SigningKey
from staffetta.wire.pair import Endpoint

if TYPE_CHECKING:
    from pytest_django.plugin import DjangoDbBlocker

pytestmark = pytest.mark.req("F1")

ASKER = SigningKey(b"7" * 32)
STRANGER = SigningKey(b"8" * 32)


@dataclasses.dataclass
class Served:
    """A door with the table of answers behind it, in a loop of its own."""

    folder: Path
    port: int = 0
    connections: int = 0
    attempts: int = 100

    def __post_init__(self) -> None:
        self.pem = self.folder / "site.pem"
        self.certify()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(20)

    async def _start(self) -> None:
        certificates = CertificateStore(self.pem)
        app = web.Application(client_max_size=64 * 1024)
        PairDoor(certificates.sha256, self.attempts).add_to(app)
        self.certificates = certificates
        self._door = Door(app, certificates)
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        opened = self._door.opened

        def count(connection: Any) -> None:
            self.connections += 1
            opened(connection)

        self._door.opened = count  # type: ignore[method-assign]
        await self._door.set_sockets([listener])

    def certify(self) -> None:
        self.pem.write_bytes(make_self_signed(["support.example.com"], ["127.0.0.1"], 10))

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._door.close(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)

    def peer(self, key: SigningKey = ASKER, origin: str = "asker", port: int = 0, **limits: float) -> HttpsPeer:
        return HttpsPeer(
            Endpoint("127.0.0.1", port or self.port),
            instance.origin(),
            identity.pair_key().public,
            origin,
            key,
            Limits(**limits) if limits else None,
        )


@pytest.fixture(scope="module", autouse=True)
def database(django_db_blocker: "DjangoDbBlocker") -> Iterator[None]:
    """The site's own database, not a test's: the door's threads have connections of their own."""
    with django_db_blocker.unblock():
        tasks.migrate()
        yield
        Relationship.objects.all().delete()


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="pd-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def served(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A door that knows ``ASKER`` as its peer, with three answers more."""
    Relationship.objects.update_or_create(
        only=True,
        defaults={
            "peer_origin": "asker",
            "peer_key": ASKER.public,
            "peer_host": "192.0.2.1",
            "peer_port": 443,
            "own_host": "192.0.2.2",
            "own_port": 443,
            "peer_leaf": "00" * 32,
            "established_at": utc_now(),
            "broken_at": None,
        },
    )
    large = folder / "large"
    large.write_bytes(secrets.token_bytes(3_000_000))

    def echo(asked: Asked) -> dict[str, Any]:
        return {"origin": asked.origin, "parameters": dict(asked.parameters), "size": len(str(asked.body))}

    def file(asked: Asked) -> Path:
        return folder / asked.rest

    monkeypatch.setitem(ANSWERS, ("POST", "echo"), echo)
    monkeypatch.setitem(ANSWERS, ("GET", "echo"), echo)
    monkeypatch.setitem(ANSWERS, ("GET", "files/"), file)
    made = Served(folder)
    yield made
    made.close()


def test_the_peer_is_let_in_and_its_connection_is_used_again(served: Served) -> None:
    with served.peer() as peer:
        assert peer.get("echo", {"kind": "a b&c"}) == {
            "origin": "asker",
            "parameters": {"kind": "a b&c"},
            "size": 2,
        }
        assert peer.post("echo", {"text": "x" * 2_000_000})["size"] > 2_000_000
        assert served.connections == 1


def test_a_kept_connection_that_was_closed_is_opened_anew(served: Served) -> None:
    with served.peer() as peer:
        peer.get("echo")
        assert peer._kept is not None
        peer._kept._socket.shutdown(socket.SHUT_RDWR)
        assert peer.get("echo")["origin"] == "asker"
        assert served.connections == 2


def test_a_link_is_kept_for_as_long_as_the_relationship_is_the_same(served: Served) -> None:
    # This appliance as its own peer: what proves itself is real at both ends.
    here = {"peer_origin": instance.origin(), "peer_key": identity.pair_key().public}
    Relationship.objects.update(**here, peer_host="127.0.0.1", peer_port=served.port)
    kept = KeptPeer(Limits(connect=5.0, silence=5.0))
    try:
        first = kept.of(Relationship.objects.get())
        assert first.get("echo")["origin"] == instance.origin()
        assert kept.of(Relationship.objects.get()) is first
        first.get("echo")
        assert served.connections == 1
        Relationship.objects.update(established_at=utc_now() + timedelta(seconds=1))
        second = kept.of(Relationship.objects.get())
        assert second is not first
        assert first._kept is None, "the connection of the former relationship is closed"
        second.get("echo")
        assert served.connections == 2
        Relationship.objects.update(peer_host="localhost")
        moved = kept.of(Relationship.objects.get())
        assert (moved.endpoint.host, second._kept) == ("localhost", None)
        moved.get("echo")
        kept.close()
        assert moved._kept is None
        assert kept.of(Relationship.objects.get()) is not moved
    finally:
        kept.close()


@pytest.mark.parametrize("start", [0, 1, 1_500_000, 2_999_999, 3_000_000])
def test_a_file_is_streamed_from_an_offset(served: Served, start: int) -> None:
    with served.peer() as peer:
        assert b"".join(peer.stream("files/large", start)) == (served.folder / "large").read_bytes()[start:]


def test_bytes_that_are_not_there_are_a_refusal(served: Served) -> None:
    with served.peer() as peer, pytest.raises(PeerRefused) as refused:
        b"".join(peer.stream("files/none", 0))
    assert refused.value.reason == "not-found"
    with served.peer() as peer, pytest.raises(PeerRefused) as refused:
        peer.get("of-a-later-release")
    assert refused.value.reason == "no-such-question"


@pytest.mark.parametrize(("key", "origin"), [(STRANGER, "asker"), (ASKER, "somebody")])
def test_a_stranger_is_refused(served: Served, key: SigningKey, origin: str) -> None:
    with served.peer(key, origin) as peer, pytest.raises(PeerRefused) as refused:
        peer.get("echo")
    assert refused.value.reason == "peer-not-proven"


def test_without_a_relationship_everybody_is_refused_in_the_same_words(served: Served) -> None:
    Relationship.objects.update(broken_at=utc_now())
    for key in (ASKER, STRANGER):
        with served.peer(key) as peer, pytest.raises(PeerRefused) as refused:
            peer.get("echo")
        assert refused.value.reason == "no-relationship"


def raw(
    served: Served, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> tuple[int, dict[str, Any]]:
    """A request without the client."""
    context = ssl._create_unverified_context()
    connection = http.client.HTTPSConnection("127.0.0.1", served.port, context=context, timeout=10)
    try:
        connection.request(method, f"/pair/v1/{path}", body or None, headers or {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def token(served: Served, **changed: Any) -> dict[str, str]:
    leaf = bytes.fromhex(served.certificates.sha256())
    values = {"origin": "asker", "to": instance.origin(), "leaf": leaf, "now": utc_now(), "key": ASKER} | changed
    return {"Authorization": f"Bearer {pair.make_pair_token(**values)}"}


def test_a_token_is_for_this_appliance_this_leaf_and_this_moment(served: Served) -> None:
    assert raw(served, "GET", "echo", token(served))[0] == 200
    for changed, code in (
        ({"to": "asker"}, "peer-not-proven"),
        ({"leaf": bytes(32)}, "peer-not-proven"),
        ({"now": utc_now() - timedelta(seconds=90)}, "clocks-apart"),
        ({"now": utc_now() + timedelta(seconds=90)}, "clocks-apart"),
    ):
        status, answer = raw(served, "GET", "echo", token(served, **changed))
        assert (status, answer["code"]) == (403, code), changed
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Basic eA=="}, {"Authorization": "Bearer"}):
        status, answer = raw(served, "GET", "echo", headers)
        assert (status, answer["code"]) == (403, "peer-not-proven"), headers


def test_bodies_are_bounded(served: Served) -> None:
    """Before anything is proven little is read, and of a stranger's body nothing."""
    status, answer = raw(served, "POST", "establish/begin", body=b" " * (OPEN_BODY_LIMIT + 1))
    assert (status, answer["code"]) == (413, "too-long")
    headers = {**token(served), "Content-Length": str(BODY_LIMIT + 1)}
    status, answer = raw(served, "POST", "echo", headers)
    assert (status, answer["code"]) == (413, "too-long")
    status, answer = raw(served, "POST", "echo", {"Content-Length": str(BODY_LIMIT + 1)})
    assert (status, answer["code"]) == (403, "peer-not-proven")
    for body in (b"[]", b'{"a": NaN}', b"\xff"):
        status, answer = raw(served, "POST", "echo", token(served), body)
        assert (status, answer["code"]) == (400, "bad-frame")


@pytest.mark.parametrize("said", [b"[" * 100_000, b'{"a": NaN}', b'{"a": 1, "a": 2}', b"[]"])
def test_an_answer_that_is_no_strict_object_is_as_none(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever answers before anything is proven cannot stop the asker with it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(said))
        threading.Thread(target=theirs.sendall, args=(said,), daemon=True).start()
        monkeypatch.setattr(ours.__class__, "getpeercert", lambda *_, **__: b"", raising=False)
        monkeypatch.setattr(reaching, "_connected", lambda *_: ours)
        reached = reaching.Reached(Endpoint("peer", 443))
        with pytest.raises(PeerUnreachable, match="no JSON object"):
            reached.ask("GET", "hello")


def test_establishing_is_answered_only_so_often(folder: Path, served: Served) -> None:
    (folder / "few").mkdir()
    few = Served(folder / "few", attempts=3)
    try:
        codes = [raw(few, "POST", "establish/begin", body=b"{}")[1]["code"] for _ in range(5)]
        assert codes == ["bad-frame"] * 3 + ["too-often"] * 2
        assert raw(few, "POST", "establish/finish", body=b"{}")[0] == 429
        with few.peer() as peer:
            assert peer.get("echo")["origin"] == "asker"
    finally:
        few.close()


def test_a_new_certificate_is_proven_anew_and_somebody_between_never_is(served: Served) -> None:
    with served.peer() as peer:
        peer.get("echo")
        before = peer.leaf
        served.certify()
        assert served.certificates.reload()
        peer.close()
        peer.get("echo")
        assert peer.leaf not in (None, before)
    with Between(served.port) as between, served.peer(port=between.port) as peer:
        with pytest.raises(PeerUnreachable, match="something stands between"):
            peer.post("echo", {"secret": "x"})
        with pytest.raises(PeerUnreachable, match="something stands between"):
            b"".join(peer.stream("files/large", 0))


def test_a_peer_that_says_nothing_or_trickles_is_given_up(folder: Path, served: Served) -> None:
    """The whole answer has a limit, not only the pause between two bytes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(served.pem)
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def trickle() -> None:
            accepted, _ = listener.accept()
            with context.wrap_socket(accepted, server_side=True) as secured:
                secured.recv(65536)
                while not stop.wait(0.05):
                    try:
                        secured.sendall(b"H")
                    except OSError:
                        return

        thread = threading.Thread(target=trickle, daemon=True)
        thread.start()
        reached = Reached(Endpoint("127.0.0.1", listener.getsockname()[1]), Limits(silence=30.0, whole=0.5))
        with pytest.raises(PeerUnreachable, match="in time"):
            reached.ask("GET", "hello?nonce=x")
        reached.close()
        stop.set()
        thread.join(10)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(PeerUnreachable, match="in time"):
        Reached(Endpoint("127.0.0.1", silent.getsockname()[1]), Limits(connect=0.3))


def test_no_proxy_of_the_environment_is_asked(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with served.peer() as peer:
        assert peer.get("echo")["origin"] == "asker"


def test_gateways_are_told_and_one_that_is_gone_is_no_error(folder: Path, settings: Any) -> None:
    from staffetta.control.paths import AppliancePaths

    settings.STAFFETTA_PATHS = AppliancePaths(folder)
    heard: list[bytes] = []
    for name in ("site-aaaa", "site-dead"):
        (folder / "run" / name).mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(folder / "run" / "site-dead" / "private.sock"))
    with socket.socket(socket.AF_UNIX) as living:
        living.bind(str(folder / "run" / "site-aaaa" / "private.sock"))
        living.listen()

        def answer() -> None:
            accepted, _ = living.accept()
            with accepted, accepted.makefile("rb") as request:
                head = b"".join(iter(request.readline, b"\r\n"))
                heard.append(head + request.read(len(b"{}")))
                accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        assert telling.tell_gateways() == 1
        thread.join(10)
    assert heard[0].startswith(b"POST /v1/role HTTP/1.1")
