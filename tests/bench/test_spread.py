"""Medians, percentiles and pauses are what their names say."""

import pytest
from bench.spread import Echo, Spread, Window, outside, pause_within, percentile
from hypothesis import given
from hypothesis import strategies as st

from staffetta.kernel.errors import InvalidInput

NUMBERS = st.lists(st.floats(0, 1e6), min_size=1, max_size=200)


def test_a_spread_has_median_least_and_greatest() -> None:
    assert Spread.of([30, 10, 50, 20]) == Spread(25, 10, 50)
    assert Spread.of([7]) == Spread(7, 7, 7)


def test_a_spread_is_written_with_its_unit_and_precision() -> None:
    assert Spread(1234.56, 0.4, 99999).text(1, "ms") == "1,234.6 ms (0.4 to 99,999.0)"
    assert Spread(0, 0, 0).text() == "0 (0 to 0)"


def test_nothing_measured_is_an_error_not_a_zero() -> None:
    for measure in (Spread.of, lambda values: percentile(values, 50)):
        with pytest.raises(InvalidInput):
            measure([])
    with pytest.raises(InvalidInput):
        pause_within([Echo(1, 2)], Window(5, 6))


def test_a_percentile_is_the_nearest_rank() -> None:
    values = [float(number) for number in range(1, 201)]
    assert [percentile(values, percent) for percent in (50, 99, 100)] == [100, 198, 200]
    assert percentile([5.0], 99) == 5


@given(NUMBERS, st.floats(0.1, 100))
def test_so_many_values_do_not_exceed_a_percentile(values: list[float], percent: float) -> None:
    found = percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) >= len(values) * percent / 100 - 1e-6


@given(NUMBERS)
def test_the_median_lies_within_its_spread(values: list[float]) -> None:
    spread = Spread.of(values)
    assert spread.least <= spread.median <= spread.greatest


def test_a_pause_is_the_longest_wait_of_a_token_under_way_in_the_window() -> None:
    echoes = [Echo(0, 5), Echo(9.9, 10.1), Echo(10.5, 11.25), Echo(12, 12.01), Echo(20, 29)]
    assert pause_within(echoes, Window(10, 12)) == pytest.approx(0.75)
    assert pause_within(echoes, Window(4, 12)) == 5, "typed before the window, seen in it"
    assert pause_within(echoes, Window(22, 23)) == 9, "typed before the window, seen after it"


def test_outside_leaves_out_every_token_that_touches_a_window() -> None:
    echoes = [Echo(0, 1), Echo(2, 4), Echo(5, 5.5), Echo(8, 9)]
    assert outside(echoes, [Window(3, 3.5), Window(8.5, 10)]) == [1, 0.5]
