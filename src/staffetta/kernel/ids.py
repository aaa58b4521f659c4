"""Random identifiers: 130 bits in 26 lower-case base32 letters, so that two appliances never draw the same one."""

import re
import secrets
from typing import Final

_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"
_LENGTH: Final = 26

ID_PATTERN: Final = re.compile(r"(?:[a-z][a-z0-9]*-)?[a-z2-7]{26}")
"""Matches (with ``fullmatch``) every id that ``new_id`` makes."""


def new_id(prefix: str = "") -> str:
    """Return a fresh random id, after ``prefix-`` when a prefix is given."""
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
    return f"{prefix}-{letters}" if prefix else letters
