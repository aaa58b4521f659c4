"""How numbers, days and moments are written in the reader's language: `24,1`, `24/11/2026 05:48:15` in Italian.

English pages write days as ISO 8601 does, which sorts and which everybody reads alike.
"""

from datetime import datetime

from django.utils.formats import date_format, number_format
from django.utils.translation import pgettext


def decimal(value: float, places: int = 1) -> str:
    """A number with so many decimals."""
    return number_format(f"{value:.{places}f}")


def day(value: datetime) -> str:
    """The day of a point in time."""
    return date_format(value, pgettext("format of a day, as of Django's date filter", "Y-m-d"))


def moment(value: datetime) -> str:
    """A point in time to the second, without its zone."""
    return date_format(value, pgettext("format of a moment, as of Django's date filter", "Y-m-d H:i:s"))
