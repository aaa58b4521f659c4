"""What tests of languages share: the Italian catalogue with every message in brackets, and what of a page has none."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from typing import Final

from django.utils.translation import trans_real

from staffetta.ui import sentences

SAID: Final = frozenset({
    "title", "alt", "placeholder", "aria-label", "data-busy", "data-copied", "data-name", "data-upload-trouble",
    "data-label", "data-play", "data-loading", "data-empty", "data-trouble",
})  # fmt: skip
"""Attributes that a reader sees or hears."""
VALUE: Final = re.compile(r"%\(\w+\)[sd]|%[sd]|\{\w+\}")
SKIPPED: Final = frozenset({"script", "style", "code", "time"})
EMPTY: Final = frozenset({"meta", "link", "input", "img", "br", "hr", "source"})
ALIKE: Final = frozenset(
    {"Staffetta", "UTC", "SHA", "CSV", "JSON", "Esc", "Tab", "Ctrl", "KB", "MB", "GB", "asciinema"}
)
"""Words that are the same in every language."""


@contextmanager
def bracketed() -> Iterator[None]:
    """Inside, all that is said in Italian stands in ⟦ and ⟧; what has none comes from no catalogue."""
    catalogs = trans_real.translation("it")._catalog._catalogs
    before = [dict(one) for one in catalogs]
    for catalog in catalogs:
        for key, said in list(catalog.items()):
            source = key if isinstance(key, str) else key[0]
            if source and not source.startswith("format of a"):
                catalog[key] = VALUE.sub(r"⟧\g<0>⟦", f"⟦{said}⟧")  # its values are not the catalogue's
    _forget()
    try:
        yield
    finally:
        for catalog, kept in zip(catalogs, before, strict=True):
            catalog.clear()
            catalog.update(kept)
        _forget()


def _forget() -> None:
    for cached in (sentences._said, sentences._templates):
        cached.cache_clear()


class _Visible(HTMLParser):
    """Gathers the texts of a page that are not data by their element."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._silent: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.texts += [value for name, value in attrs if name in SAID and value]
        silent = tag in SKIPPED or (tag != "html" and "lang" in given) or "hash" in (given.get("class") or "").split()
        if tag not in EMPTY and (self._silent or silent):
            self._silent.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._silent:
            self._silent.pop()

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.texts.append(data)


def unsaid(page: str, data: Iterable[str] = ()) -> list[str]:
    """The lines of a page with words outside brackets, but for what the test names as its own data."""
    visible = _Visible()
    visible.feed(page)
    text = re.sub(r"\b(?:[a-z2-7]{26}|[0-9a-f]{64})\b|\{\w+\}", "", "\n".join(visible.texts))  # ids, hashes, places
    for one in sorted(data, key=len, reverse=True):
        text = text.replace(one, "")
    while (fewer := re.sub(r"⟦[^⟦⟧]*⟧", "", text)) != text:
        text = fewer
    return [line.strip() for line in text.splitlines() if set(re.findall(r"[^\W\d_]{2,}", line)) - ALIKE]
