"""The closed list of what the owner of a pair job may ask of an appliance, its own or the peer; values only.

- ``AT_ONCE``: done while the asker waits (milliseconds).
- ``WORK``: taken down, then done by the appliance's own worker; the owner sees the answer among the facts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from staffetta.site.failover.job_errors import BadPairJob
from staffetta.site.failover.job_facts import Answered


class Verb(StrEnum):
    """What can be asked."""

    FACTS = "facts"
    BACKUP = "backup"
    SYNC = "sync"
    FINAL_SYNC = "final-sync"
    PROBE = "probe"
    BEGIN_INSTALL = "begin-install"
    SUSPEND = "suspend"
    RESUME = "resume"
    FREEZE = "freeze"
    THAW = "thaw"
    STEP_DOWN = "step-down"
    TAKE_PRIMARY = "take-primary"
    HOLD_CLIENTS = "hold-clients"
    RELEASE_CLIENTS = "release-clients"
    SHARED_HOLD = "shared-hold"
    SHARED_JOIN = "shared-join"
    SHARED_TURN = "shared-turn"
    SHARED_LEAVE = "shared-leave"
    SHARED_SETTLE = "shared-settle"
    SHARED_CLAIM = "shared-claim"
    SHARED_RELEASE = "shared-release"
    SWING_CHECK = "swing-check"


WORK: Final = frozenset({Verb.BACKUP, Verb.SYNC, Verb.FINAL_SYNC, Verb.PROBE, Verb.SWING_CHECK})
AT_ONCE: Final = frozenset(Verb) - WORK


@dataclass(frozen=True, slots=True)
class Command:
    """One command: ``(job, step, verb)`` names it, ``(term, owner)`` is the asker's rank."""

    job: str
    step: str
    term: int
    owner: str
    verb: Verb
    arguments: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def rank(self) -> tuple[int, str]:
        """What fences it."""
        return self.term, self.owner

    def number(self, name: str) -> int:
        """An argument that is a whole number. Raises ``BadPairJob``."""
        value = self.arguments.get(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise BadPairJob(f"{self.verb} needs a whole number as {name}.")
        return value

    def text(self, name: str) -> str:
        """An argument that is text. Raises ``BadPairJob``."""
        value = self.arguments.get(name)
        if not isinstance(value, str) or not value:
            raise BadPairJob(f"{self.verb} needs text as {name}.")
        return value


@dataclass(frozen=True, slots=True)
class UnderWay:
    """The command is being executed: ask again, or look at the facts."""


Reply = Answered | UnderWay


def to_document(command: Command) -> dict[str, Any]:
    """The command as it goes to the peer."""
    return {
        "job": command.job,
        "step": command.step,
        "term": command.term,
        "verb": command.verb.value,
        "args": dict(command.arguments),
    }


def from_document(raw: Mapping[str, Any], owner: str) -> Command:
    """Read what the peer, whose origin is ``owner``, asks. Raises ``BadPairJob``, for an unknown verb too."""
    try:
        arguments = dict(raw.get("args") or {})
        verb = Verb(raw["verb"])
        job, step, term = raw["job"], raw["step"], raw["term"]
    except (KeyError, TypeError, ValueError) as error:
        raise BadPairJob(f"The command cannot be understood: {error!r}.") from None
    good = isinstance(job, str) and isinstance(step, str) and isinstance(term, int) and not isinstance(term, bool)
    if not good or not job or len(job) > 40 or not 0 < len(step) <= 40:
        raise BadPairJob("A command names its job, step and job term.")
    return Command(job, step, term, owner, verb, arguments)


def reply_document(reply: Reply) -> dict[str, Any]:
    """A reply as it goes to the asker."""
    if isinstance(reply, UnderWay):
        return {"state": "under-way"}
    return {"state": "done", "ok": reply.ok, "sentence": reply.sentence, "value": reply.value}


def reply_from(raw: Mapping[str, Any], command: Command) -> Reply:
    """Read a reply. Raises ``BadPairJob``."""
    if raw.get("state") == "under-way":
        return UnderWay()
    if raw.get("state") != "done" or not isinstance(raw.get("ok"), bool):
        raise BadPairJob("The reply to a command cannot be understood.")
    sentence, value = str(raw.get("sentence", "")), str(raw.get("value", ""))
    return Answered(command.step, command.verb.value, raw["ok"], sentence, value)
