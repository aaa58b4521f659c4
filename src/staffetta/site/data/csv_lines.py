"""Values as lines of CSV (RFC 4180, UTF-8), for exports that people open in a spreadsheet."""

import csv
import io
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from staffetta.kernel.clock import format_time

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def line(values: Iterable[object]) -> bytes:
    """Return one line: nothing for None, yes or no, times in RFC 3339 and UTC.

    A text that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    text = io.StringIO()
    csv.writer(text).writerow([_cell(value) for value in values])
    return text.getvalue().encode()


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime():
            return format_time(value)
        case _:
            text = str(value)
            return f"'{text}" if text.startswith(_FORMULA) else text
