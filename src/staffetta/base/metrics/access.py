"""Who may read the metrics: whoever shows the one bearer token, of which only the SHA-256 is kept; nobody without one.

The token is 256 random bits, so that a plain hash is enough and guessing is hopeless.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from staffetta.base.errors import MetricsAccessDamaged
from staffetta.control.appliance import MetricsAccess
from staffetta.kernel.clock import format_time, parse_time
from staffetta.kernel.errors import StaffettaError
from staffetta.kernel.files import sync_directory, write_atomically

PREFIX: Final = "stm_"
"""So that a token that was published by mistake is found and known by its beginning."""

_BYTES: Final = 32
_HASH: Final = re.compile("[0-9a-f]{64}")


class MetricsTokens:
    """The token in one file; ``url`` is where the metrics are."""

    def __init__(self, path: Path, url: str) -> None:
        self._path = path
        self._url = url
        self._seen: tuple[tuple[int, int, int], str] | None = None

    def access(self) -> MetricsAccess:
        """Whether metrics can be read, and who has permitted it. Raises MetricsAccessDamaged."""
        fields = self._read()
        if fields is None:
            return MetricsAccess(self._url, False)
        return MetricsAccess(self._url, True, fields["made_by"], parse_time(fields["made_at"]))

    def make(self, actor: str, now: datetime) -> str:
        """Draw a new token and return it, the only time that it can be seen; the one before counts no more."""
        token = PREFIX + secrets.token_urlsafe(_BYTES)
        fields = {"sha256": _hash(token), "made_by": actor, "made_at": format_time(now)}
        write_atomically(self._path, json.dumps(fields).encode())
        return token

    def withdraw(self) -> None:
        """Permit nobody any more."""
        self._path.unlink(missing_ok=True)
        sync_directory(self._path.parent)

    def permits(self, shown: str) -> bool | None:
        """Whether this is the token, in a time that does not tell how much of it is right; None where there is none.

        Whoever reaches the port may ask: the file is read again only when it has changed. Raises MetricsAccessDamaged.
        """
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        state = (found.st_ino, found.st_mtime_ns, found.st_size)
        if self._seen is None or self._seen[0] != state:
            fields = self._read()
            if fields is None:
                return None
            self._seen = state, fields["sha256"]
        return hmac.compare_digest(_hash(shown), self._seen[1])

    def _read(self) -> dict[str, str] | None:
        try:
            fields: Any = json.loads(self._path.read_bytes())
            parse_time(fields["made_at"])
            if not _HASH.fullmatch(fields["sha256"]):
                raise ValueError(fields["sha256"])
            return {name: str(fields[name]) for name in ("sha256", "made_by", "made_at")}
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, StaffettaError):
            raise MetricsAccessDamaged(
                f"{self._path} is damaged; make a new token with `staffetta appliance metrics enable`."
            ) from None


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
