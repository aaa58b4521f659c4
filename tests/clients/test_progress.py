"""What a rep reads while a file is moved."""

import io

import pytest

from staffetta.clients.console import progress
from staffetta.clients.console.events import EventFile


class Terminal(io.StringIO):
    """Text that takes itself for a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.req("S1")
@pytest.mark.parametrize(
    ("moved", "size", "amount"),
    [
        (0, 0, "0 of 0 B (100 %)"),
        (12, 999, "12 of 999 B (1 %)"),
        (500, 2_500, "0.5 of 2.5 KB (20 %)"),
        (24_000_000, 200_000_000, "24.0 of 200.0 MB (12 %)"),
        (1_000_000_000, 4_000_000_000, "1.0 of 4.0 GB (25 %)"),
        (0, None, "waiting"),
    ],
)
def test_an_amount_has_a_unit_that_fits_it(moved: int, size: int | None, amount: str) -> None:
    terminal = Terminal()
    progress.Progress("notes.txt", terminal, EventFile(None)).look(moved, size, False)
    assert terminal.getvalue() == f"\rnotes.txt: {amount}, 0 B/s"
