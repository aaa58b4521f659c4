"""The stories there are, by name."""

from typing import Final

from staffetta.kernel.errors import NotFound
from staffetta.lab.asynchronous import Asynchronous
from staffetta.lab.single import Single
from staffetta.lab.story import Story

STORIES: Final[dict[str, type[Story]]] = {story.name: story for story in (Asynchronous, Single)}
DEFAULT: Final = "asynchronous"


def story_named(name: str) -> type[Story]:
    """Return a story; raises ``NotFound`` that lists what there is."""
    try:
        return STORIES[name]
    except KeyError:
        raise NotFound(f"There is no story {name!r}; there are: {', '.join(STORIES)}.") from None
