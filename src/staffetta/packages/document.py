"""A JSON object read field by field, so that nothing unchecked gets further in than this.

Unknown fields are ignored: a newer vendor may add some. Missing or wrongly typed ones raise ``DocumentInvalid``
that names the document and the field.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from staffetta.kernel.clock import parse_time
from staffetta.kernel.errors import InvalidInput
from staffetta.packages.errors import DocumentInvalid

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_LARGEST: Final = 1 << 53


class Document:
    """One JSON object with a name for messages, and a typed reader per kind of field."""

    __slots__ = ("fields", "name")

    def __init__(self, name: str, fields: object) -> None:
        if not isinstance(fields, Mapping):
            raise DocumentInvalid(f"{name} is not a JSON object.")
        self.name = name
        self.fields: Mapping[str, Any] = fields

    @classmethod
    def parse(cls, name: str, data: bytes) -> "Document":
        """Read UTF-8 JSON; the same field twice in one object is refused, since readers would disagree on it."""
        try:
            return cls(name, json.loads(data.decode(), object_pairs_hook=_no_doubles, parse_constant=_no_constant))
        except (ValueError, RecursionError) as error:
            raise DocumentInvalid(f"{name} cannot be read as JSON: {error}.") from None

    def has(self, field: str) -> bool:
        """Whether the field is there and not null."""
        return self.fields.get(field) is not None

    def text(self, field: str, longest: int = 65_536) -> str:
        """Return a text of at most ``longest`` characters."""
        value = self.fields.get(field)
        if not isinstance(value, str) or len(value) > longest:
            raise self.wrong(field, f"a text of at most {longest} characters")
        return value

    def number(self, field: str) -> int:
        """Return a whole number from 0 on."""
        value = self.fields.get(field)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LARGEST:
            raise self.wrong(field, "a whole number")
        return value

    def sha256(self, field: str) -> str:
        """Return a SHA-256 in lower-case hex."""
        value = self.fields.get(field)
        if not isinstance(value, str) or not _SHA256.fullmatch(value):
            raise self.wrong(field, "a SHA-256 in lower-case hex")
        return value

    def time(self, field: str) -> datetime:
        """Return a time with a zone, in UTC."""
        try:
            return parse_time(self.text(field, 64))
        except InvalidInput:
            raise self.wrong(field, "a time like 2026-11-24T05:48:15Z") from None

    def texts(self, field: str) -> tuple[str, ...]:
        """Return a list of texts."""
        values = self._list(field)
        if not all(isinstance(value, str) for value in values):
            raise self.wrong(field, "a list of texts")
        return tuple(values)

    def documents(self, field: str) -> tuple["Document", ...]:
        """Return a list of objects."""
        return tuple(Document(f"{self.name}, {field}[{n}]", value) for n, value in enumerate(self._list(field)))

    def document(self, field: str) -> "Document":
        """Return an object."""
        return Document(f"{self.name}, {field}", self.fields.get(field))

    def mapping(self, field: str) -> Mapping[str, Any]:
        """Return an object as it is, for a reader of its own."""
        return self.document(field).fields

    def items(self, field: str) -> tuple[tuple[str, "Document"], ...]:
        """Return the name and the object of every entry of an object of objects."""
        value = self.fields.get(field)
        if not isinstance(value, Mapping):
            raise self.wrong(field, "an object")
        return tuple((key, Document(f"{self.name}, {key}", entry)) for key, entry in value.items())

    def wrong(self, field: str, expected: str) -> DocumentInvalid:
        """Return the error that says what the field should have been."""
        return DocumentInvalid(f"{self.name}: the field {field!r} is not {expected}.")

    def _list(self, field: str) -> Sequence[Any]:
        value = self.fields.get(field)
        if not isinstance(value, list):
            raise self.wrong(field, "a list")
        return value


def canonical_bytes(fields: Mapping[str, Any]) -> bytes:
    """Return the one spelling of a JSON object that is hashed or signed: sorted keys, no spaces, UTF-8."""
    try:
        return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:  # a lone surrogate, or a number that JSON does not have
        raise DocumentInvalid(f"This cannot be written as JSON: {error}.") from None


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field appears twice")
    return fields


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
