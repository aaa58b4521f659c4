"""What this appliance trusts and is trusted by: its device key, the root of trust, and the floor of its time.

The time floor is the latest moment that somebody trusted has signed: a statement of the update server, or the
publication of a release that was installed. Time judged by this appliance is never behind it (U6, U14).
"""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from staffetta.base.errors import BaseError
from staffetta.kernel.clock import format_time, parse_time, trusted_now
from staffetta.kernel.errors import Damaged, StaffettaError
from staffetta.kernel.files import sync_directory, write_atomically
from staffetta.kernel.ids import new_id

TOLERANCE_SECONDS: Final = 60.0
"""A clock that differs by less from the update server's is right."""

LARGEST_STEP: Final = timedelta(days=7)
"""How far ahead of this appliance's clock a statement about the time may take the floor: one wrong statement must not
make everything that is signed look expired for good."""


class TrustDamaged(BaseError, Damaged):
    """A file of base's own trust cannot be read."""

    code = "trust-damaged"


class TimeFloor:
    """The durable floor in one file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> datetime | None:
        """The floor; None on an appliance that has heard of no trusted time yet."""
        try:
            fields = json.loads(self._path.read_bytes())
            return parse_time(fields["floor"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, StaffettaError):
            raise TrustDamaged(f"{self._path} is damaged; restore it or remove it and check for updates.") from None

    def raise_to(self, moment: datetime) -> None:
        """Remember a trusted moment, durably; an earlier one than is known changes nothing."""
        known = self.read()
        if known is None or moment > known:
            write_atomically(self._path, json.dumps({"floor": format_time(moment)}).encode())

    def raise_by_statement(self, moment: datetime, system: datetime) -> None:
        """Remember what the update server said the time is, at most `LARGEST_STEP` ahead of the system's clock."""
        self.raise_to(min(moment, system + LARGEST_STEP))

    def now(self, system: datetime) -> datetime:
        """The time to judge by."""
        floor = self.read()
        return system if floor is None else trusted_now(system, floor)


def device_key(path: Path) -> Ed25519PrivateKey:
    """The key by which the vendor knows this appliance, made at the first call."""
    if not path.exists():
        pem = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        # Linked, not renamed: of two that make one at the same time, one wins and both use it.
        beside = path.with_name(f".{path.name}.{new_id()}")
        write_atomically(beside, pem)
        try:
            os.link(beside, path)
        except FileExistsError:
            pass  # the other process's key is the key
        finally:
            beside.unlink()
        sync_directory(path.parent)
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError):
        raise TrustDamaged(f"{path} is damaged; remove it to become a new device for the update server.") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise TrustDamaged(f"{path} is not an Ed25519 key.")
    return key


def clock_problem(offset_seconds: float | None) -> str | None:
    """What is wrong with the clock and where to mend it; None when it is right or nobody knows (U6).

    `offset_seconds`: the update server's time minus this clock's.
    """
    if offset_seconds is None or abs(offset_seconds) < TOLERANCE_SECONDS:
        return None
    direction = "behind" if offset_seconds > 0 else "ahead of"
    return (
        f"This appliance's clock is {_duration(abs(offset_seconds))} {direction} the update server's time. "
        "Mend it under Networking > IP configuration (NTP server), then check for updates again."
    )


def _duration(seconds: float) -> str:
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            count = round(seconds / size)
            return f"1 {unit}" if count == 1 else f"{count} {unit}s"
    return f"{seconds:.0f} seconds"
