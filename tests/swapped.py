"""What tests of pages share: what is wrong with the parts of a page that are replaced every few seconds."""

from html.parser import HTMLParser
from typing import Final

USABLE: Final = frozenset({"a", "button", "input", "select", "textarea", "summary"})
EMPTY: Final = frozenset({"meta", "link", "input", "img", "br", "hr", "source", "path", "rect"})


class _Swapped(HTMLParser):
    def __init__(self, fragment: bool) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self.parts = int(fragment)
        self._inside: list[bool] = [fragment]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        begins = (given.get("hx-trigger") or "").startswith("every ")
        self.parts += begins
        inside = self._inside[-1] or begins
        if inside:
            self._look(tag, given)
        if tag not in EMPTY:
            self._inside.append(inside)

    def handle_endtag(self, tag: str) -> None:
        if tag not in EMPTY and len(self._inside) > 1:
            self._inside.pop()

    def _look(self, tag: str, given: dict[str, str | None]) -> None:
        usable = (tag in USABLE and given.get("type") != "hidden") or given.get("tabindex") == "0"
        if usable and not given.get("id"):
            self.wrong.append(f"{tag} {given}: the focus on it is lost")
        if given.get("role") in ("alert", "status") or "aria-live" in given:
            self.wrong.append(f"{tag} {given}: it is said again each time")


def wrong_when_swapped(page: str, fragment: bool = False) -> list[str]:
    """What loses the focus, or is announced again, when a part of the page is replaced; the page must have such a part.

    A ``fragment`` is such a part as a whole.
    """
    looked = _Swapped(fragment)
    looked.feed(page)
    looked.close()
    assert looked.parts, "nothing here is replaced"
    return looked.wrong
