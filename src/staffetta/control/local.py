"""How processes of one appliance speak over a local socket that base holds: values as JSON, a client, refusals.

HTTP with JSON over a unix socket. Fields a newer base adds are ignored by an older reader; a field an older base does
not send takes its default. `control.appliance` and `control.site_door` say what may be asked on which socket.
"""

from __future__ import annotations

import dataclasses
import json
import os
import ssl
import types
import typing
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar, cast

import httpx

from staffetta.kernel.clock import format_time, parse_time
from staffetta.kernel.errors import Damaged, StaffettaError, Unavailable

T = TypeVar("T")

# Long requests (an upload, a check with a slow update server) answer late; connecting to a local socket never does.
ANSWER_SECONDS = 120.0
CONNECT_SECONDS = 5.0

# A local socket carries no TLS; without this, httpx reads every authority of the system for each client (29 ms).
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class ApplianceRefused(StaffettaError):
    """Base refused a request; `code`, the sentence and both statuses are those of the error it met there."""

    # Every other error of ours has these per class; this one stands for an error of another process.
    def __init__(self, code: str, message: str, http_status: int) -> None:
        super().__init__(message)
        self.code = code  # type: ignore[misc]
        self.http_status = http_status  # type: ignore[misc]
        self.exit_status = _EXIT_STATUSES.get(http_status, 1)  # type: ignore[misc]


# The exit statuses of the kernel's error classes, found again from the HTTP status.
_EXIT_STATUSES: Mapping[int, int] = {400: 2, 403: 3, 404: 4, 409: 5, 503: 6, 422: 7, 507: 8}


def to_json(value: object) -> object:
    """A value of this module as plain JSON data: times in ISO 8601 UTC, tuples as lists."""
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, StrEnum):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    return value


def from_json(cls: type[T], data: object) -> T:
    """Plain JSON data as the dataclass `cls`. Damaged if a field is missing or of another type."""
    if not isinstance(data, dict):
        raise Damaged(f"The appliance's answer is not of the form {cls.__name__}.")
    hints = typing.get_type_hints(cls)
    values: dict[str, object] = {}
    for field in dataclasses.fields(cast(Any, cls)):
        if field.name in data:
            values[field.name] = _value(hints[field.name], data[field.name], f"{cls.__name__}.{field.name}")
        elif field.default is dataclasses.MISSING:
            raise Damaged(f"The appliance's answer lacks {cls.__name__}.{field.name}.")
    return cls(**values)


def _value(hint: Any, data: object, where: str) -> object:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if data is None:
            return None
        return _value(next(part for part in typing.get_args(hint) if part is not type(None)), data, where)
    if origin is tuple and isinstance(data, list):
        return tuple(_value(typing.get_args(hint)[0], item, where) for item in data)
    if isinstance(hint, type):
        if dataclasses.is_dataclass(hint):
            return from_json(hint, data)
        if hint is datetime and isinstance(data, str):
            return parse_time(data)
        if issubclass(hint, StrEnum) and data in list(hint):
            return hint(cast(str, data))
        if hint is float and isinstance(data, (int, float)) and not isinstance(data, bool):
            return float(data)
        if type(data) is hint:
            return data
    raise Damaged(f"The appliance's answer has {data!r} as {where}.")


class LocalClient:
    """A client of one socket. Every call raises `ApplianceRefused` with what base said, or `Unavailable` when base
    does not answer (it may be restarting: ask again)."""

    TIMEOUT: ClassVar[httpx.Timeout] = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)

    def __init__(self, socket_path: Path) -> None:
        self._path = socket_path
        self._client = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(socket_path), verify=NO_TLS),
            base_url="http://appliance",
            timeout=self.TIMEOUT,
        )

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _get(self, path: str) -> object:
        return self._request("GET", path)

    def _post(self, path: str, body: Mapping[str, object]) -> object:
        return self._request("POST", path, json=dict(body))

    def _request(self, method: str, path: str, **options: Any) -> object:
        try:
            response = self._client.request(method, path, **options)
        except httpx.TransportError as error:
            raise self._unavailable(error) from error
        if response.status_code >= 400:
            raise refusal(response)
        return parsed(response.text)

    def _job(self, answer: object) -> str:
        job = answer.get("job") if isinstance(answer, dict) else None
        if not isinstance(job, str):
            raise Damaged("The appliance's answer names no job.")
        return job

    def _unavailable(self, error: Exception) -> Unavailable:
        if not os.access(self._path, os.R_OK | os.W_OK):
            return Unavailable(
                f"No appliance that you may steer runs in {self._path.parent.parent}: {self._path} is missing or may "
                "not be opened. Check the folder and that its keeper runs; only root and the socket's group may ask. "
                "`staffetta doctor` says what is wrong."
            )
        return Unavailable(f"The appliance's base does not answer on {self._path} ({error}); try again in a moment.")


def parsed(text: str) -> object:
    try:
        return json.loads(text) if text else None
    except ValueError as error:
        raise Damaged("The appliance's base answered something that is not JSON.") from error


def refusal(response: httpx.Response) -> ApplianceRefused:
    try:
        body = response.json()
    except ValueError:
        body = None
    if isinstance(body, dict) and isinstance(body.get("code"), str) and isinstance(body.get("message"), str):
        return ApplianceRefused(body["code"], body["message"], response.status_code)
    return ApplianceRefused(
        "unexpected", f"The appliance's base answered {response.status_code}.", response.status_code
    )
