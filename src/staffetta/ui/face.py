"""What a face tells the common pages about itself: its names, its version, and where its navigation leads."""

from collections.abc import Callable
from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise

Text = str | Promise
"""A plain or a lazily translated text."""

PRODUCT = "Staffetta"


@dataclass(frozen=True, slots=True)
class Item:
    """A page in the navigation: shown to who holds `permission` (if any), current on it and on the pages below it.

    `everywhere` is False for a page that makes no sense where configuration is not edited (a backup, F2).
    """

    label: Text
    url_name: str
    permission: str | None = None
    everywhere: bool = True


@dataclass(frozen=True, slots=True)
class Section:
    """A group of pages under one heading, in the order of the guide (S5)."""

    label: Text
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Face:
    """A web face: `title` says which one, `place` whose (an appliance's name, a site's host), `version` how new."""

    title: Text
    place: str
    version: str
    navigation: tuple[Section, ...]
    edits: Callable[[], bool] = lambda: True
    """Whether configuration is edited here at the moment."""
    appliance: str = ""
    """Which appliance it is on, where `place` does not say it: a site's host leads to either appliance of a pair."""


@dataclass(frozen=True, slots=True)
class ShownItem:
    """An item as a page shows it."""

    label: Text
    url_name: str
    current: bool


@dataclass(frozen=True, slots=True)
class ShownSection:
    """A section as a page shows it; never empty."""

    label: Text
    items: tuple[ShownItem, ...]


def navigation_for(face: Face, request: HttpRequest) -> tuple[ShownSection, ...]:
    """The sections and items this person may see, with the present page marked. Nothing before sign-in."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated or getattr(user, "must_change_password", False):
        return ()
    edits = face.edits()
    sections = (
        ShownSection(
            section.label,
            tuple(
                ShownItem(item.label, item.url_name, _leads_to(item, request.path))
                for item in section.items
                if (item.permission is None or user.has_perm(item.permission)) and (item.everywhere or edits)
            ),
        )
        for section in face.navigation
    )
    return tuple(section for section in sections if section.items)


def _leads_to(item: Item, path: str) -> bool:
    own = reverse(item.url_name)
    return path == own or path.startswith(f"{own}/")
