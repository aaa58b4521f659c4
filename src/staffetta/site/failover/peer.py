"""The other appliance: what data-sync and the pair job need of it, and the real one over HTTPS."""

import secrets
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol, Self
from urllib.parse import urlencode

from staffetta.kernel.clock import utc_now
from staffetta.site.failover.errors import PeerRefused, PeerUnreachable
from staffetta.site.failover.reaching import Answered, Limits, Reached
from staffetta.wire import fields as wire_fields
from staffetta.wire.errors import WireError
from staffetta.wire.frames import read_object
from staffetta.wire.identity import NONCE_BYTES, SigningKey
from staffetta.wire.pair import Endpoint, Hello, check_hello, make_pair_token

_PARTIAL: Final = 206
_BEYOND: Final = 416


class Peer(Protocol):
    """The other appliance, proven. Every call raises ``PeerUnreachable`` or ``PeerRefused``.

    Paths are below ``/pair/v1/``, without a leading slash.
    """

    @property
    def origin(self) -> str:
        """The peer's origin: the id under which it writes records."""
        ...

    def get(self, path: str, parameters: Mapping[str, str] | None = None) -> dict[str, Any]:
        """GET; the answer is a JSON object."""
        ...

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST a JSON object; the answer is a JSON object."""
        ...

    def stream(self, path: str, start: int) -> Iterator[bytes]:
        """The bytes of a resource from offset ``start`` on."""
        ...


def say_hello(reached: Reached, key: bytes, origin: str) -> None:
    """Return if the appliance ``origin`` with this pair key is at the other end of the connection.

    Raises ``PeerUnreachable`` when another one is, or none.
    """
    nonce = secrets.token_bytes(NONCE_BYTES)
    answer = reached.ask("GET", f"hello?nonce={wire_fields.to_base64url(nonce)}")
    try:
        if not answer.ok:
            raise PeerUnreachable(f"{reached.endpoint} answers, but is no appliance of this kind.")
        check_hello(wire_fields.read(Hello, answer.body), key, origin, nonce, reached.leaf)
    except WireError:
        raise PeerUnreachable(
            f"What answers at {reached.endpoint} is not the other appliance, or something stands between."
        ) from None


class HttpsPeer:
    """The real one. Each connection is proven by ``hello`` before anything else is sent, unless its leaf was before.

    May be used by several threads; a connection is kept between requests, streams have one of their own.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        origin: str,
        key: bytes,
        own_origin: str,
        own_key: SigningKey,
        limits: Limits | None = None,
    ) -> None:
        """``key`` is the peer's public pair key, ``own_key`` signs the tokens."""
        self.endpoint = endpoint
        self._origin = origin
        self._key = key
        self._own_origin = own_origin
        self._own_key = own_key
        self._limits = limits or Limits()
        self._proven: bytes | None = None
        self._kept: Reached | None = None
        self._turn = threading.RLock()

    @property
    def origin(self) -> str:
        """The peer's origin."""
        return self._origin

    @property
    def leaf(self) -> bytes | None:
        """SHA-256 of the certificate behind which the peer proved itself last."""
        return self._proven

    def get(self, path: str, parameters: Mapping[str, str] | None = None) -> dict[str, Any]:
        """GET; the answer is a JSON object."""
        return self._ask("GET", f"{path}?{urlencode(parameters)}" if parameters else path, None)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST a JSON object; the answer is a JSON object. It may arrive twice when a connection breaks."""
        return self._ask("POST", path, body)

    def stream(self, path: str, start: int) -> Iterator[bytes]:
        """The bytes of a resource from offset ``start`` on; none when it ends there."""
        reached = self._connect()
        try:
            status, pieces = reached.stream(path, {**self._proof(reached), "Range": f"bytes={start}-"})
            if status == _BEYOND:
                return
            if status != _PARTIAL:
                raw = b"".join(pieces)[:65_536]
                raise _refused(status, raw)
            yield from pieces
        finally:
            reached.close()

    def close(self) -> None:
        """Let go of the connection."""
        with self._turn:
            if self._kept is not None:
                self._kept.close()
                self._kept = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        with self._turn:
            while True:
                reached, self._kept = self._kept or self._connect(), None
                try:
                    answer = reached.ask(method, path, body, self._proof(reached))
                except PeerUnreachable as error:
                    used = reached.used and isinstance(error.__cause__, ConnectionError)
                    reached.close()
                    if not used:
                        raise
                    # A kept connection that the other side has closed meanwhile: once more on a new one.
                    continue
                if reached.alive:
                    self._kept = reached
                else:
                    reached.close()
                break
        if not answer.ok:
            raise _refused_with(answer)
        return answer.body

    def _connect(self) -> Reached:
        reached = Reached(self.endpoint, self._limits)
        if reached.leaf != self._proven:
            try:
                say_hello(reached, self._key, self._origin)
            except BaseException:
                reached.close()
                raise
            reached.used = False
            self._proven = reached.leaf
        return reached

    def _proof(self, reached: Reached) -> dict[str, str]:
        token = make_pair_token(self._own_origin, self._origin, reached.leaf, utc_now(), self._own_key)
        return {"Authorization": f"Bearer {token}"}


def _refused(status: int, raw: bytes) -> PeerRefused:
    try:
        return _refused_with(Answered(status, read_object(raw)))
    except WireError:
        return _refused_with(Answered(status))


def _refused_with(answer: Answered) -> PeerRefused:
    code, message = answer.body.get("code"), answer.body.get("message")
    if not isinstance(code, str) or not isinstance(message, str):
        return PeerRefused(f"The other appliance answers with status {answer.status}.", "")
    return PeerRefused(message[:1000], code[:100])
