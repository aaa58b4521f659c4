"""How a file grows that arrives somewhere: looked at from outside, so that a stall is seen whatever programs tell."""

from pathlib import Path

from staffetta.lab.measures import gaps


class Growth:
    """The file at ``path``, which is stored beside its name until it is whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = 0
        self._grown_at: list[float] = []

    def look(self, now: float) -> None:
        """Note whether it is longer than at the last look."""
        parts = self._path.parent.glob(f".{self._path.name[:60]}.*")
        length = max(_length(path) for path in (self._path, *parts))
        if length > self._seen:
            self._seen = length
            self._grown_at.append(now)

    def stalls(self, least: float) -> list[tuple[float, float]]:
        """Return the times of ``least`` seconds or more between its first bytes and its last in which it did not grow,
        as (begin, seconds).
        """
        return gaps(self._grown_at, least)


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # not there yet, or it has just got its name
        return 0
