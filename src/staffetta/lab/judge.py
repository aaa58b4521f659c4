"""What the lab concludes from what it saw: keystrokes lost or doubled, pauses, gaps. Pure: facts in, verdict out."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Difference:
    """Keystrokes (bytes) that were sent and never arrived, and that arrived without having been sent again."""

    lost: int
    doubled: int

    def __or__(self, other: "Difference") -> "Difference":
        """Return the worse of two views of the same keystrokes (what the program wrote, what the terminal showed)."""
        return Difference(max(self.lost, other.lost), max(self.doubled, other.doubled))


def compare(sent: bytes, arrived: bytes) -> Difference:
    """Compare what was typed with what arrived, exactly once and in order being right."""
    if sent == arrived:
        return Difference(0, 0)
    start = 0
    shortest = min(len(sent), len(arrived))
    while start < shortest and sent[start] == arrived[start]:
        start += 1
    end = 0
    while end < shortest - start and sent[-1 - end] == arrived[-1 - end]:
        end += 1
    middle_sent, middle_arrived = sent[start : len(sent) - end], arrived[start : len(arrived) - end]
    matcher = SequenceMatcher(None, middle_sent, middle_arrived, autojunk=False)
    same = sum(block.size for block in matcher.get_matching_blocks())
    return Difference(len(middle_sent) - same, len(middle_arrived) - same)


def longest_pause(sent_at: Sequence[float], echoed_at: Sequence[float], end: float) -> float:
    """Return the longest time in seconds between typing a token and seeing it again.

    ``echoed_at`` may be shorter (tokens never seen): those count from their typing to ``end``.
    """
    seen = [echo - typed for typed, echo in zip(sent_at, echoed_at, strict=False)]
    unseen = [end - typed for typed in sent_at[len(echoed_at) :]]
    return max([*seen, *unseen], default=0.0)


def most_at_once(spans: Sequence[tuple[float, float]]) -> int:
    """Return how many of these spans of time lay over each other at most; one that ends as another begins does not."""
    turns = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    most = now = 0
    for _, step in turns:
        now += step
        most = max(most, now)
    return most


def longest_gap(succeeded_at: Sequence[float]) -> float:
    """Return the longest time in seconds between two requests that succeeded one after the other."""
    return max((later - earlier for earlier, later in pairwise(succeeded_at)), default=0.0)
