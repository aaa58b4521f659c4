"""The timeline as a picture: spans to one SVG, a row per lane. Pure; colours are the page's (CSS classes by kind)."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from staffetta.lab.report import Span

WIDTH: Final = 1080
LABEL: Final = 225
"""Width of the lanes' names."""
ROW: Final = 34
BAR: Final = 20
TOP: Final = 12
AXIS: Final = 34
LEAST: Final = 2.0
"""What is too short to be seen is drawn this wide."""
LETTER: Final = 6.6
"""Width of a letter: of a text that does not fit, only what stands before its colon is in the bar, or nothing."""
STEPS: Final = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
ABOVE: Final = ("pause", "gap", "failure", "swing")
"""Kinds drawn over the others of their lane."""
WITH_TEXT: Final = ("version", "step", "traffic")


def picture(spans: Sequence[Span], lanes: Sequence[str], begin: float, end: float, name: str) -> str:
    """Return the SVG of what happened between two times; ``name`` prefixes the ids of its title and description."""
    height = TOP + ROW * len(lanes) + AXIS
    shown = [span for span in spans if span.lane in lanes and span.began <= end and span.began + span.seconds >= begin]
    shown.sort(key=lambda span: (span.kind in ABOVE, span.began))
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="{name}-title {name}-words" class="timeline">',
        f'<title id="{name}-title">Timeline of {end - begin:.0f} seconds in {len(lanes)} lanes</title>',
        f'<desc id="{name}-words">Everything shown here stands as text in the table below the picture.</desc>',
        *_axis(begin, end, height),
        *_lanes(lanes),
        *(_span(span, lanes.index(span.lane), begin, end) for span in shown),
        *_swings(shown, begin, end, height),
        "</svg>",
    ]
    return "\n".join(parts)


def _x(moment: float, begin: float, end: float) -> float:
    inside = min(max(moment, begin), end)
    return LABEL + (inside - begin) / (end - begin) * (WIDTH - LABEL - 4)


def _axis(begin: float, end: float, height: int) -> Iterator[str]:
    step = next((step for step in STEPS if (end - begin) / step <= 12), STEPS[-1])
    bottom = height - AXIS
    for number in range(int((end - begin) / step) + 1):
        x = _x(begin + number * step, begin, end)
        yield f'<line class="tick" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}"/>'
        anchor = "end" if x > WIDTH - 20 else "middle"
        yield f'<text class="axis" x="{x:.1f}" y="{bottom + 20}" text-anchor="{anchor}">{number * step:g} s</text>'


def _lanes(lanes: Sequence[str]) -> Iterator[str]:
    for number, lane in enumerate(lanes):
        y = TOP + ROW * number
        yield f'<line class="lane" x1="0" y1="{y + ROW}" x2="{WIDTH}" y2="{y + ROW}"/>'
        yield f'<text class="name" x="0" y="{y + ROW / 2 + 5:.0f}">{escape(lane)}</text>'


def _span(span: Span, row: int, begin: float, end: float) -> str:
    left, right = _x(span.began, begin, end), _x(span.began + span.seconds, begin, end)
    width = max(right - left, LEAST)
    y = TOP + ROW * row + (ROW - BAR) / 2
    title = f"<title>{escape(span.text)}</title>"
    bar = (
        f'<rect class="{span.kind}" x="{left:.1f}" y="{y:.0f}" width="{width:.1f}" height="{BAR}" rx="2">{title}</rect>'
    )
    said = next((text for text in (span.text, span.text.partition(":")[0]) if len(text) * LETTER < width - 8), "")
    if span.kind in WITH_TEXT and said:
        bar += f'<text class="on-{span.kind}" x="{left + 5:.1f}" y="{y + BAR - 6:.0f}">{escape(said)}</text>'
    return bar


def _swings(spans: Sequence[Span], begin: float, end: float, height: int) -> Iterator[str]:
    for span in spans:
        if span.kind == "swing":
            x = _x(span.began, begin, end)
            yield f'<line class="swing-line" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{height - AXIS}"/>'
