"""What the lab measures in what its users saw: keystrokes lost or doubled, pauses, gaps. Pure: times in seconds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import accumulate, pairwise


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


def longest_gap(succeeded_at: Sequence[float]) -> float:
    """Return the longest time in seconds between two requests that succeeded one after the other."""
    return max((later - earlier for earlier, later in pairwise(succeeded_at)), default=0.0)


def pauses(sent_at: Sequence[float], echoed_at: Sequence[float], end: float, least: float) -> list[tuple[float, float]]:
    """Return the waits of ``least`` seconds or more for an echo, as (begin, seconds).

    Keys typed while another wait goes on wait for the same thing: of those the longest wait counts.
    """
    echoes = [*echoed_at, *[end] * (len(sent_at) - len(echoed_at))]
    found: list[tuple[float, float]] = []
    for typed, echo in zip(sent_at, echoes, strict=False):
        wait = echo - typed
        if wait < least:
            continue
        if found and typed <= sum(found[-1]):
            found[-1] = max(found[-1], (typed, wait), key=lambda one: one[1])
        else:
            found.append((typed, wait))
    return found


def gaps(succeeded_at: Sequence[float], least: float) -> list[tuple[float, float]]:
    """Return the times without a success of ``least`` seconds or more, as (begin, seconds)."""
    return [(earlier, later - earlier) for earlier, later in pairwise(succeeded_at) if later - earlier >= least]


def most_at_once(spans: Iterable[tuple[float, float]]) -> int:
    """Return how many of these spans of time lay over each other at most; one that ends as another begins does not."""
    turns = sorted(turn for begin, end in spans for turn in ((begin, 1), (end, -1)))
    return max(accumulate((step for _, step in turns), initial=0))
