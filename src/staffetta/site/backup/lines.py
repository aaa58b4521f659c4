"""The JSON lines of a backup: configuration documents and records, engine-neutral, one object in each line."""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO, Final

from staffetta.kernel.clock import format_time, parse_time
from staffetta.kernel.errors import InvalidInput
from staffetta.site.backup.errors import BackupDamaged
from staffetta.site.backup.manifest import Content
from staffetta.site.data.documents import Document
from staffetta.site.data.models import Record
from staffetta.site.data.records import RecordText
from staffetta.site.data.secrets import Secret

LONGEST_LINE: Final = 16 * 1024**2


def write_lines(file: BinaryIO, objects: Iterable[Mapping[str, Any]]) -> Content:
    """Write an object a line; returns what the manifest says of them. ``file`` stands at its beginning afterwards."""
    digest, count, size = hashlib.sha256(), 0, 0
    for one in objects:
        line = json.dumps(one, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        digest.update(line)
        file.write(line)
        count += 1
        size += len(line)
    file.flush()
    file.seek(0)
    return Content(count, size, digest.hexdigest())


def document_line(document: Document) -> dict[str, Any]:
    """Return the object of a document."""
    return {"type": document.type, "key": document.key, "body": document.body}


def record_line(record: Record) -> dict[str, Any]:
    """Return the object of a record."""
    return {
        "origin": record.origin,
        "incarnation": record.incarnation,
        "sequence": record.sequence,
        "kind": record.kind,
        "at": format_time(record.at),
        "body": record.body,
    }


def read_documents(file: BinaryIO) -> Iterator[Document]:
    """Read documents from the beginning of a file. Raises ``BackupDamaged``."""
    for number, one in _objects(file, "document"):
        if not (isinstance(one.get("type"), str) and isinstance(one.get("key"), str) and _is_object(one.get("body"))):
            raise BackupDamaged(f"Document {number} of the backup is none.")
        yield Document(one["type"], one["key"], one["body"])


def read_records(file: BinaryIO) -> Iterator[RecordText]:
    """Read records from the beginning of a file. Raises ``BackupDamaged``."""
    for number, one in _objects(file, "record"):
        texts = [one.get(name) for name in ("origin", "incarnation", "kind", "at")]
        sequence, body = one.get("sequence"), one.get("body")
        if not all(isinstance(text, str) for text in texts) or type(sequence) is not int or not _is_object(body):
            raise BackupDamaged(f"Record {number} of the backup is none.")
        try:
            at = parse_time(one["at"])
        except InvalidInput as error:
            raise BackupDamaged(f"Record {number} of the backup has no time: {error.message}") from None
        yield RecordText(one["origin"], one["incarnation"], sequence, one["kind"], at, one["body"])


class InTheClear:
    """Secrets as a backup holds them: readable, so that any appliance can take it; age around it keeps them."""

    def seal(self, place: str, secret: Secret) -> str:
        """Return a secret in base64."""
        return base64.b64encode(secret.reveal()).decode("ascii")

    def unseal(self, place: str, text: str) -> Secret:
        """Read one. Raises ``BackupDamaged``."""
        try:
            return Secret(base64.b64decode(text, validate=True))
        except (TypeError, binascii.Error, ValueError):
            raise BackupDamaged(f"The secret {place} in the backup cannot be read.") from None


def _objects(file: BinaryIO, what: str) -> Iterator[tuple[int, dict[str, Any]]]:
    file.seek(0)
    number = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        try:
            one = json.loads(line)
        except (ValueError, RecursionError):
            one = None
        if not isinstance(one, dict) or not line.endswith(b"\n"):
            raise BackupDamaged(f"Line {number} of the backup's {what}s cannot be read.")
        yield number, one


def _is_object(value: object) -> bool:
    return isinstance(value, dict)
