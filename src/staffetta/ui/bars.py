"""Where parts of a whole, and spans of time, lie on a bar that may be drawn at any width; pure.

The policy of the pages forbids inline styles: a place is written as the attributes of an SVG shape.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.utils.html import format_html
from django.utils.safestring import SafeString

LEAST: Final = 1.0
"""What is there at all is drawn so wide, in per cent."""


@dataclass(frozen=True, slots=True)
class Place:
    """A piece of a bar: from ``x`` on, ``width`` wide, both in per cent."""

    x: float
    width: float

    @property
    def attributes(self) -> SafeString:
        """The place as attributes of a ``rect``, with a point in every language."""
        return format_html('x="{}%" width="{}%"', f"{self.x:.2f}", f"{self.width:.2f}")


def parts(counts: Sequence[int]) -> tuple[Place, ...]:
    """Return where each part of the whole lies, one after the other; few are still seen, none are not."""
    whole = sum(counts)
    wide = [max(LEAST, 100 * count / whole) if count else 0.0 for count in counts]
    shrink = 100 / sum(wide) if whole else 0.0
    places, x = list[Place](), 0.0
    for one in wide:
        places.append(Place(x, one * shrink))
        x += one * shrink
    return tuple(places)


def span(started: datetime, ended: datetime, first: datetime, last: datetime) -> Place:
    """Return where a span of time lies on an axis from ``first`` to ``last``; what is short is still seen.

    Clocks of two appliances differ: what lies beside the axis is drawn at its edge.
    """
    whole = max((last - first).total_seconds(), 0.001)
    x = min(max(100 * (started - first).total_seconds() / whole, 0.0), 100 - LEAST)
    width = 100 * (ended - started).total_seconds() / whole
    return Place(x, min(max(width, LEAST), 100 - x))
