"""What ends, sessions and clients are called: the words that messages, tickets and the programs' own state share."""

from enum import StrEnum
from typing import Final


class EndName(StrEnum):
    """The two ends of a session."""

    CONSOLE = "console"
    JUMP_CLIENT = "jump-client"

    @property
    def peer(self) -> "EndName":
        """The other end."""
        return EndName.JUMP_CLIENT if self is EndName.CONSOLE else EndName.CONSOLE


class SessionKind(StrEnum):
    """What a session is for. Its name is also the capability of who can have one."""

    SHELL = "shell"
    FILES = "files"


class ClientMode(StrEnum):
    """Whether a Jump Client keeps a connection open, or comes now and then (checks in) and leaves again (C4)."""

    ACTIVE = "active"
    PASSIVE = "passive"


class Channel:
    """The channels of a session of kind "shell"; of kind "files" every channel but ``NOTES`` is a transfer's own."""

    NOTES: Final = 0
    SHELL: Final = 1
