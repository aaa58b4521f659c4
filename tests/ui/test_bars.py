"""Where parts of a whole and spans of time lie on a bar."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from staffetta.ui.bars import LEAST, Place, parts, span

AT = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.mark.req("C5")
@given(st.lists(st.integers(0, 20_000), max_size=6))
def test_parts_fill_the_bar_one_after_the_other_and_none_that_is_there_is_unseen(counts: list[int]) -> None:
    places = parts(counts)
    assert len(places) == len(counts)
    x = 0.0
    for count, place in zip(counts, places, strict=True):
        assert place.x == pytest.approx(x)
        assert (place.width > LEAST / 2) == (count > 0)
        x += place.width
    assert x == pytest.approx(100 if sum(counts) else 0)


@pytest.mark.req("F7")
@given(st.integers(-50, 300), st.integers(0, 300), st.integers(0, 200))
def test_a_span_stays_on_its_axis_and_is_seen(started: int, lasted: int, whole: int) -> None:
    begun = AT + timedelta(seconds=started)
    place = span(begun, begun + timedelta(seconds=lasted), AT, AT + timedelta(seconds=whole))
    assert place.x >= 0 and place.width >= LEAST and place.x + place.width <= 100 + 1e-9


@pytest.mark.req("F7")
def test_a_span_lies_where_its_times_are() -> None:
    assert span(*(AT + timedelta(seconds=at) for at in (25, 75, 0, 100))) == Place(25, 50)


def test_attributes_have_a_point_in_every_language() -> None:
    with translation.override("it"):
        assert Place(12.3, 0.5).attributes == 'x="12.30%" width="0.50%"'
