"""What `generations` can want done, as values; `children` does it."""

from dataclasses import dataclass

from staffetta.keeper import Refusal


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start the process."""

    generation: str
    process: str


@dataclass(frozen=True, slots=True)
class Tell:
    """Send the process this message; "activate" goes with its sockets, "drain" with the seconds it has."""

    generation: str
    process: str
    do: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Signal:
    """SIGTERM, or SIGKILL, to the process."""

    generation: str
    process: str
    kill: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer the `activate` that came with this ticket."""

    ticket: object
    refusal: Refusal | None


@dataclass(frozen=True, slots=True)
class Note:
    """A line for the log: the generation came to a state, or something about it is worth knowing."""

    generation: str
    text: str


@dataclass(frozen=True, slots=True)
class Retire:
    """The generation's last process is gone: remove its run directory."""

    generation: str


Action = Spawn | Tell | Signal | Answer | Note | Retire
