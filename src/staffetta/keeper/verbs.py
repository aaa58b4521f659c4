"""What may be asked of keeper: the closed list of verbs, and what a message from a child must look like.

Keeper is never updated by itself, so the list is complete from the start. Every argument is checked here, against a
strict pattern, before anything acts on it; a verb or an argument that is not in the list is refused.
`staffetta.control.verbs` is the callers' side, and a test compares the two.
"""

import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from staffetta.keeper import Refusal
from staffetta.keeper.config import NAME, VERSION, flag, match, number
from staffetta.keeper.processes import MESSAGE_BYTES

GENERATION = re.compile(r"[a-z][a-z0-9-]{0,31}-[a-z2-7]{26}")
INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
WORDS = frozenset({"ready", "failed", "activated", "deactivated", "drained"})
REASON_CHARACTERS = 300
# The clock is only ever set by a person or by a verified statement: between this product's time and a far future.
CLOCK = (1_767_225_600, 4_102_444_800)  # 2026-01-01, 2100-01-01
SOCKET_OPTIONS = frozenset({"freebind", "reuse_port", "mode", "group"})


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a verb: what it must be, and whether it may be left out."""

    check: Callable[[object], Any]
    required: bool = True


def _matching(pattern: re.Pattern[str], what: str) -> Argument:
    return Argument(lambda value: match(pattern, value, what))


def _address(value: object) -> str:
    try:
        return str(ipaddress.ip_address(match(re.compile(r"[0-9a-fA-F:.]{2,45}"), value, "address")))
    except ValueError:
        raise Refusal("invalid", f"{value!r} is not an IP address.") from None


def _address_with_prefix(value: object) -> str:
    try:
        return str(ipaddress.ip_interface(match(re.compile(r"[0-9a-fA-F:.]{2,45}/\d{1,3}"), value, "address")))
    except ValueError:
        raise Refusal("invalid", f"{value!r} is not an IP address with its prefix.") from None


def _text(value: object) -> str:
    return match(re.compile(r"[^\x00-\x1f]{1,255}"), value, "text")


def _port(value: object) -> int | None:
    return None if value is None else int(number(value, "port", 1, 65535))


def _options(value: object) -> dict[str, object]:
    if not isinstance(value, dict) or set(value) - SOCKET_OPTIONS:
        raise Refusal("invalid", f"options are some of {', '.join(sorted(SOCKET_OPTIONS))}.")
    return {name: option for name, option in value.items() if option is not None}


def _share(value: object) -> int:
    return int(number(value, "share", 0, 100))


def _time(value: object) -> float:
    return number(value, "seconds", *CLOCK)


_PROGRAM = _matching(NAME, "program")
_OF_GENERATION = {"program": _PROGRAM, "generation": _matching(GENERATION, "generation")}
_OF_VERSION = {"program": _PROGRAM, "version": _matching(VERSION, "version")}
_INTERFACE = _matching(INTERFACE, "interface")

VERBS: Mapping[str, Mapping[str, Argument]] = MappingProxyType(
    {
        "status": {},
        "start": _OF_VERSION,
        "activate": _OF_GENERATION,
        "confirm": _OF_GENERATION,
        "go_back": {"program": _PROGRAM},
        "stop": _OF_GENERATION,
        "task": {**_OF_VERSION, "task": _matching(NAME, "task")},
        "listen": {
            "name": _matching(NAME, "name"),
            "program": _PROGRAM,
            "process": _matching(NAME, "process"),
            "address": Argument(_text),
            "port": Argument(_port, required=False),
            "persist": Argument(lambda value: flag(value, "persist"), required=False),
            "options": Argument(_options, required=False),
        },
        "unlisten": {"name": _matching(NAME, "name")},
        "steer": {"name": _matching(NAME, "name"), "share": Argument(_share)},
        "claim_address": {"interface": _INTERFACE, "address": Argument(_address_with_prefix)},
        "release_address": {"interface": _INTERFACE, "address": Argument(_address)},
        "set_clock": {"seconds": Argument(_time)},
        "shutdown": {},
        "erase": {"confirmation": Argument(_text)},
    }
)


@dataclass(frozen=True, slots=True)
class Said:
    """A process speaks of itself."""

    word: str
    reason: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A process asks for a verb; the arguments are not checked yet."""

    id: int
    verb: object
    args: object


def parse_message(data: bytes) -> Said | Asked | None:
    """What a child's message means; None when it is malformed, and the child therefore has lost its mind."""
    if len(data) > MESSAGE_BYTES:
        return None
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict):
        return None
    word, reason, number_ = message.get("say"), message.get("reason", ""), message.get("id")
    if isinstance(word, str) and word in WORDS and isinstance(reason, str):
        return Said(word, reason[:REASON_CHARACTERS])
    if isinstance(number_, int) and not isinstance(number_, bool) and 0 <= number_ < 2**53 and "verb" in message:
        return Asked(number_, message["verb"], message.get("args", {}))
    return None


def check_arguments(verb: object, args: object) -> tuple[str, dict[str, Any]]:
    """The verb and its checked arguments. Raises Refusal("unknown-verb" or "invalid")."""
    if not isinstance(verb, str) or verb not in VERBS:
        raise Refusal("unknown-verb", f"{verb!r:.80} is not one of keeper's verbs.")
    wanted = VERBS[verb]
    if not isinstance(args, dict) or set(args) - set(wanted):
        raise Refusal("invalid", f"{verb} takes {', '.join(wanted) or 'no arguments'}.")
    missing = [name for name, argument in wanted.items() if argument.required and name not in args]
    if missing:
        raise Refusal("invalid", f"{verb} needs {', '.join(missing)}.")
    return verb, {name: wanted[name].check(value) for name, value in args.items()}
