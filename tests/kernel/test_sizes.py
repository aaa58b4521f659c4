"""Sizes in the unit that fits them, also where they are rounded up to the next."""

import pytest

from staffetta.kernel.sizes import spoken_size


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (0, "0 B"),
        (999.4, "999 B"),
        (999.6, "1.0 KB"),
        (1_000, "1.0 KB"),
        (999_949, "999.9 KB"),
        (999_950, "1.0 MB"),
        (24_100_000, "24.1 MB"),
        (999_999_999, "1.0 GB"),
        (3 * 10**15, "3000.0 TB"),
    ],
)
def test_a_size_is_below_a_thousand_of_its_unit(size: float, said: str) -> None:
    assert spoken_size(size) == said
