"""The update server as an appliance asks it: which targets are offered to this device, and what time it is."""

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import urllib3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from staffetta.packages import Installed
from staffetta.packages.offers import OfferStatement, read_statement, sign_request
from staffetta.releases.errors import ServerUnreachable

LARGEST_ANSWER: Final = 1 << 20

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checked:
    """A verified answer: the targets on offer, the server's trusted time, and how far this clock is behind it."""

    targets: tuple[str, ...]
    time: datetime
    offset_seconds: float  # server minus own clock; negative when the own clock is ahead (U6)


class UpdateServer:
    """The vendor's service at one address, asked in the name of one device.

    ``statement_keys`` are those of the trusted root (``TrustedRepository.root.statement_keys``).
    """

    def __init__(
        self, url: str, device_key: Ed25519PrivateKey, statement_keys: tuple[bytes, ...], seconds: float = 30.0
    ) -> None:
        self._url = f"{url.rstrip('/')}/v1/offers"
        self._device_key = device_key
        self._statement_keys = statement_keys
        self._pool = urllib3.PoolManager(timeout=urllib3.Timeout(seconds), retries=urllib3.Retry(2, backoff_factor=0.2))

    def check(self, installed: Installed, nonce: bytes, now: datetime) -> Checked:
        """Ask what is on offer. ``nonce``: 32 fresh random bytes; ``now``: this machine's clock, right or wrong.

        Raises ``ServerUnreachable`` when there is no answer or a refusal (with the server's reason), ``NotTrusted``
        when the answer is not signed by a key the root names or was played again.
        """
        body = sign_request(self._device_key, nonce, installed)
        try:
            response = self._pool.request(
                "POST", self._url, body=body, headers={"Content-Type": "application/json"}, preload_content=False
            )
            try:
                answer = response.read(LARGEST_ANSWER + 1)
            finally:
                response.close()
        except urllib3.exceptions.HTTPError as error:
            raise ServerUnreachable(
                f"The update server at {self._url} does not answer ({cause_of(error)}). "
                "Check the network settings and try again."
            ) from None
        if response.status != 200:
            raise ServerUnreachable(
                f"The update server at {self._url} refused the question (status {response.status}): {_reason(answer)}"
            )
        if len(answer) > LARGEST_ANSWER:
            raise ServerUnreachable(f"The update server at {self._url} answers with more than {LARGEST_ANSWER} bytes.")
        statement: OfferStatement = read_statement(answer, self._statement_keys, nonce)
        _log.info("update server answered", extra={"targets": len(statement.targets)})
        return Checked(statement.targets, statement.time, (statement.time - now).total_seconds())


def _reason(answer: bytes) -> str:
    return answer[:500].decode(errors="replace").strip() or "it gave no reason"


def cause_of(error: Exception) -> str:
    """What went wrong at the bottom of an error of urllib3, which wraps it several times."""
    while True:
        inner = getattr(error, "reason", None) or error.__cause__
        if not isinstance(inner, Exception):
            return getattr(error, "strerror", None) or str(error)
        error = inner
