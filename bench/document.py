"""docs/performance.md: one section for each number, each with where and when it was measured. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

HEAD: Final = """# Performance

`make bench` measures and writes this file; do not edit it. Each number is measured against its reference **in the same
run**, on the same machine, by real programs in a world of their own on loopback addresses: times depend on the
machine, ratios much less. Where something was measured several times, the table has the median and, in brackets, the
least and the greatest. A section says when, on what and from which commit it was measured; a run that is told with
`--only` to measure some numbers leaves the other sections as they are.
"""
_SECTION: Final = re.compile(r"^## (N\d+(?:-[a-z]+)?) ", re.MULTILINE)
"""A number, or a part of one: N2, N2-move."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """When, where and from what a number was measured."""

    at: datetime
    commit: str
    kernel: str
    cpus: int
    python: str
    command: str

    def text(self) -> str:
        """Return it as one line of Markdown."""
        return (
            f"Measured {self.at:%Y-%m-%d %H:%M} UTC at commit {self.commit}, {self.cpus} CPUs, {self.kernel}, "
            f"Python {self.python}, by `{self.command}`."
        )


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its head and its rows, all of one width."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """Return it in Markdown."""
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@dataclass(frozen=True, slots=True)
class Section:
    """What was found out about one number: its tables, each with a sentence before it or none, and how to read them."""

    number: str
    title: str
    verdict: str
    tables: Sequence[tuple[str, Table]]
    reading: Sequence[str]

    def text(self, circumstances: Circumstances) -> str:
        """Return the section in Markdown."""
        parts = [f"## {self.number} {self.title}", circumstances.text(), f"**{self.verdict}**"]
        for sentence, table in self.tables:
            parts += [sentence, table.text()] if sentence else [table.text()]
        parts.append("How to read it:\n\n" + "\n".join(f"* {line}" for line in self.reading))
        return "\n\n".join(parts) + "\n"


def _place(number: str) -> tuple[int, str]:
    whole, _, part = number[1:].partition("-")
    return int(whole), part


def renew(document: str, sections: Mapping[str, str]) -> str:
    """Return the document with the given sections (number to text) in place of the old ones, in order of number."""
    heads = list(_SECTION.finditer(document))
    ends = [*(head.start() for head in heads), len(document)][1:]
    kept = {head.group(1): document[head.start() : end] for head, end in zip(heads, ends, strict=True)}
    both = kept | dict(sections)
    ordered = sorted(both, key=_place)
    return "\n".join([HEAD, *(both[number].strip() + "\n" for number in ordered)])
