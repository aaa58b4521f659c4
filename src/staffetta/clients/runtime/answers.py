"""Reading what the site answers to a request: a statement, or an error that a person can act on."""

import json
from typing import Any

from staffetta.clients.errors import (
    AccessRevoked,
    ClientError,
    ClockWrong,
    Elsewhere,
    PasswordChangeNeeded,
    SiteRefused,
    UnreadableAnswer,
)

MAX_MESSAGE = 400


def object_in(body: bytes) -> dict[str, Any]:
    """Return the JSON object in an answer. Raises UnreadableAnswer."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise UnreadableAnswer("The site's answer is not a JSON object; is this the address of a Staffetta site?")
    return value


def text_in(body: bytes, name: str) -> str:
    """Return a text field of the JSON object in an answer. Raises UnreadableAnswer."""
    value = object_in(body).get(name)
    if not isinstance(value, str):
        raise UnreadableAnswer(f"The site's answer has no {name}; is this the address of a Staffetta site?")
    return value


def refusal_in(body: bytes, status: int) -> ClientError:
    """Return the error that an answer with this HTTP status means."""
    try:
        fields = object_in(body)
    except UnreadableAnswer:
        fields = {}
    code, said = str(fields.get("code", "")), str(fields.get("message", ""))[:MAX_MESSAGE]
    said = said or f"It answered {status}."
    match code:
        case "password-change-needed":
            return PasswordChangeNeeded(said)
        case "token-expired":
            return SiteRefused(code, f"{said} Ask for a new installer token.")
        case "client-revoked" | "client-unknown":
            return AccessRevoked(said)
        case "clock-wrong":
            return ClockWrong(said)
        case "elsewhere":
            return Elsewhere(said, str(fields.get("statement", "")))
        case _:
            return SiteRefused(code or f"http-{status}", f"The site refuses: {said}")
