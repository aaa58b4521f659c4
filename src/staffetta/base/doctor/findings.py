"""What the doctor says: one finding for each thing it looked at, from fine to error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SHOWN_NAMES: Final = 3


class Level(StrEnum):
    """How a check came out, from good to bad; `UNSEEN` could not be looked at."""

    FINE = "fine"
    UNSEEN = "unseen"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's: which check, how it came out, what was seen, what to do about it."""

    check: str
    level: Level
    seen: str
    todo: str = ""


def worst(findings: Iterable[Finding]) -> Level:
    """The worst level of all; of none it is fine."""
    order = list(Level)
    return max((each.level for each in findings), key=order.index, default=Level.FINE)


def some(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    every = list(names)
    more = len(every) - SHOWN_NAMES
    return ", ".join(every[:SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")
