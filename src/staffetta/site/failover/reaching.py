"""One TLS connection to the other appliance: who is there is known by proof, never by a certificate authority.

- No proxy and no other setting of the environment is used.
- Three limits: to connect, between two reads, and for a whole answer; a stream has no limit for the whole.
- What a connection shows is its ``leaf``; nothing confidential is sent before its owner has proven it.
"""

import contextlib
import hashlib
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from staffetta.site.failover.errors import PeerUnreachable
from staffetta.wire.errors import FrameError
from staffetta.wire.frames import read_object
from staffetta.wire.pair import Endpoint

PREFIX: Final = "/pair/v1/"
ANSWER_LIMIT: Final = 64 * 1024**2
"""The longest JSON answer that is read."""

_PIECE: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that things may take."""

    connect: float = 4.0
    silence: float = 10.0
    whole: float = 30.0


@dataclass(frozen=True, slots=True)
class Answered:
    """An HTTP answer whose body is a JSON object."""

    status: int
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether it is no refusal."""
        return 200 <= self.status < 300


class Reached:
    """A connection that is set up. Not for two threads at a time."""

    def __init__(self, endpoint: Endpoint, limits: Limits | None = None) -> None:
        """Connect. Raises ``PeerUnreachable``."""
        self.endpoint = endpoint
        self.limits = limits or Limits()
        self.used = False
        """Whether a request was answered on it: then the other side may have closed it since."""
        self._http = http.client.HTTPConnection(endpoint.host, endpoint.port)
        try:
            self._socket = _connected(endpoint, self.limits)
        except OSError as error:
            raise _unreachable(endpoint, error) from None
        self._http.sock = self._socket
        # It would open the next connection by itself, without TLS.
        self._http.auto_open = 0
        self.leaf = hashlib.sha256(self._socket.getpeercert(binary_form=True) or b"").digest()

    @property
    def alive(self) -> bool:
        """Whether another request can go through; the other side may have said that it closes."""
        return self._http.sock is not None

    def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> Answered:
        """One request with a JSON answer. Raises ``PeerUnreachable``, also for an answer that is no JSON object."""
        with self._limited(self.limits.whole):
            answer = self._send(method, path, body, headers)
            raw = answer.read(ANSWER_LIMIT + 1)
            if len(raw) > ANSWER_LIMIT:
                raise _unreachable(self.endpoint, ValueError("its answer is too long"))
        self.used = True
        try:
            parsed = read_object(raw or b"{}")
        except FrameError:
            problem = ValueError(f"it answers {answer.status} with what is no JSON object")
            raise _unreachable(self.endpoint, problem) from None
        return Answered(answer.status, parsed)

    def stream(self, path: str, headers: Mapping[str, str]) -> tuple[int, Iterator[bytes]]:
        """One GET whose body is read in pieces; raises ``PeerUnreachable`` here and while it is read."""
        with self._limited(self.limits.whole):
            answer = self._send("GET", path, None, headers)
        return answer.status, self._pieces(answer)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()
        with contextlib.suppress(OSError):
            self._socket.close()

    def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str] | None
    ) -> http.client.HTTPResponse:
        given = {"Host": str(self.endpoint), "Accept-Encoding": "identity", **(headers or {})}
        raw = None if body is None else json.dumps(body, allow_nan=False).encode()
        if raw is not None:
            given["Content-Type"] = "application/json"
        self._http.request(method, PREFIX + path, raw, given)
        return self._http.getresponse()

    def _pieces(self, answer: http.client.HTTPResponse) -> Iterator[bytes]:
        try:
            while piece := answer.read(_PIECE):
                yield piece
            if answer.length:
                raise http.client.IncompleteRead(b"", answer.length)
        except (OSError, http.client.HTTPException) as error:
            raise _unreachable(self.endpoint, error) from None

    @contextlib.contextmanager
    def _limited(self, seconds: float) -> Iterator[None]:
        """Let what is done here take so long; then the socket is shut under it, however it trickles."""
        with _cut_after(self._socket, seconds) as late:
            try:
                yield
            except (OSError, http.client.HTTPException) as error:
                raise _unreachable(self.endpoint, TimeoutError() if late.is_set() else error) from error


@contextlib.contextmanager
def _cut_after(secured: ssl.SSLSocket, seconds: float) -> Iterator[threading.Event]:
    """Shut the socket after so long; the event says whether it was."""
    late = threading.Event()

    def cut() -> None:
        late.set()
        with contextlib.suppress(OSError):
            # Not the TLS socket's own: that one forgets its TLS while another thread reads.
            socket.socket.shutdown(secured, socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def _connected(endpoint: Endpoint, limits: Limits) -> ssl.SSLSocket:
    plain = socket.create_connection((endpoint.host, endpoint.port), limits.connect)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        secured = _context().wrap_socket(plain, server_hostname=endpoint.host, do_handshake_on_connect=False)
    except BaseException:
        plain.close()
        raise
    with _cut_after(secured, limits.connect) as late:
        try:
            secured.do_handshake()
        except BaseException as error:
            secured.close()
            if late.is_set():
                raise TimeoutError from error
            raise
    secured.settimeout(limits.silence)
    return secured


def _context() -> ssl.SSLContext:
    """TLS without authorities: the leaf is proven by the pair key of whoever answers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _unreachable(endpoint: Endpoint, error: Exception) -> PeerUnreachable:
    match error:
        case TimeoutError():
            why = "it does not answer in time"
        case socket.gaierror():
            why = "its name is not known"
        case ssl.SSLError():
            why = f"no TLS connection comes about ({error.reason or error})"
        case OSError():
            why = error.strerror or str(error) or type(error).__name__
        case _:
            why = str(error) or type(error).__name__
    return PeerUnreachable(f"{endpoint} cannot be reached: {why}.")
