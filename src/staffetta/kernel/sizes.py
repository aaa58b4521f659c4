"""Sizes as people read them, in units of 1000 bytes."""

from typing import Final

UNITS: Final = ("B", "KB", "MB", "GB", "TB")


def power_of(size: float) -> int:
    """The place in ``UNITS`` of the one in which a size, as ``in_unit`` writes it, is below 1000; else of the last."""
    return next((power for power in range(len(UNITS) - 1) if float(in_unit(size, power)) < 1000), len(UNITS) - 1)


def in_unit(size: float, power: int) -> str:
    """A size in bytes as a number of a unit: with one decimal, but for bytes."""
    return f"{size / 1000**power:.1f}" if power else f"{size:.0f}"


def spoken_size(size: float) -> str:
    """A size in bytes in the unit that fits it: ``24.1 MB``, ``999 B``."""
    power = power_of(size)
    return f"{in_unit(size, power)} {UNITS[power]}"
