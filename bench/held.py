"""A bare TLS connection that its user holds through an event: when it was cut, and when a new one was accepted."""

import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Final

from staffetta.kernel.errors import Unavailable
from staffetta.lab.users.acting import trusting

ATTEMPT_SECONDS: Final = 5.0
BETWEEN_SECONDS: Final = 0.01


class HeldConnection:
    """Holds one connection, sends nothing, notes its end, then tries at once and again until a new one is accepted."""

    def __init__(self, address: str, port: int, certificate: Path) -> None:
        self._place = (address, port)
        self._context = trusting(certificate)
        self._closed = threading.Event()
        self._connection = self._connect()
        self.opened = time.monotonic()
        self.ended: float | None = None
        self.accepted: float | None = None
        self._thread = threading.Thread(target=self._hold, name="held-connection", daemon=True)
        self._thread.start()

    def __enter__(self) -> "HeldConnection":
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join(2 * ATTEMPT_SECONDS)

    def _connect(self) -> ssl.SSLSocket:
        """Connect and shake hands: a connection that only waits in a queue is not accepted yet."""
        bare = socket.create_connection(self._place, timeout=ATTEMPT_SECONDS)
        try:
            return self._context.wrap_socket(bare)
        except OSError:
            bare.close()
            raise

    def _hold(self) -> None:
        with self._connection as connection:
            connection.settimeout(0.2)
            while not self._closed.is_set():
                try:
                    if not connection.recv(1):
                        break
                except TimeoutError:
                    continue
                except OSError:
                    break
            else:
                return
        self.ended = time.monotonic()
        while not self._closed.is_set():
            try:
                self._connect().close()
            except OSError:
                self._closed.wait(BETWEEN_SECONDS)
                continue
            self.accepted = time.monotonic()
            return

    @property
    def cut(self) -> bool:
        """Whether it was cut by now."""
        return self.ended is not None

    def wait(self, seconds: float) -> tuple[float, float]:
        """Return when the connection ended and when a new one was accepted; ``Unavailable`` if not in time."""
        self._thread.join(seconds)
        if self.ended is None or self.accepted is None:
            raise Unavailable(
                f"The bare connection to port {self._place[1]} was not cut and renewed in {seconds:.0f} s."
            )
        return self.ended, self.accepted
