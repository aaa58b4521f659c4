"""The last answer of the update server, as it is kept and shown: packages, their agreements, the clock's offset."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from staffetta.base.installs.record import package_fields, read_package_fields
from staffetta.base.updates.agreements import Agreements
from staffetta.control.appliance import Offer, Updates, Waypoint
from staffetta.kernel.clock import format_time, parse_time
from staffetta.kernel.errors import StaffettaError
from staffetta.kernel.files import write_atomically
from staffetta.kernel.log import get_logger
from staffetta.packages import Installed, PackageInfo
from staffetta.packages.selection import offers, path_to_newest

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a check found; `error` is of a later check that failed, `offset_seconds` the server's time minus ours."""

    checked_at: datetime | None = None
    infos: tuple[PackageInfo, ...] = ()
    offset_seconds: float | None = None
    error: str | None = None

    def failed(self, error: str, offset_seconds: float | None) -> Answer:
        """The same packages, and why the newer question was not answered."""
        return replace(self, error=error, offset_seconds=offset_seconds)


class AnswerFile:
    """The last answer in one file. What is damaged counts as never asked: the next check writes it anew."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Answer:
        try:
            fields = json.loads(self._path.read_bytes())
            return Answer(
                checked_at=None if fields["checked_at"] is None else parse_time(fields["checked_at"]),
                infos=tuple(read_package_fields(each) for each in fields["infos"]),
                offset_seconds=fields["offset_seconds"],
                error=fields["error"],
            )
        except FileNotFoundError:
            return Answer()
        except (ValueError, KeyError, TypeError, StaffettaError) as error:
            _log.warning("%s cannot be read (%r); check for updates again", self._path, error)
            return Answer()

    def write(self, answer: Answer) -> None:
        fields = {
            "checked_at": None if answer.checked_at is None else format_time(answer.checked_at),
            "infos": [package_fields(info) for info in answer.infos],
            "offset_seconds": answer.offset_seconds,
            "error": answer.error,
        }
        write_atomically(self._path, json.dumps(fields).encode())


def to_updates(answer: Answer, installed: Installed, agreements: Agreements) -> Updates:
    """The answer as it is shown: what is not newer is left out, what cannot be selected says why, and the way to the
    newest (U2)."""
    listed = offers(installed, answer.infos)
    unmet = {offer.info.target: offer.unmet for offer in listed}
    texts = {each.sha256: each.text for each in agreements.known()}
    return Updates(
        checked_at=answer.checked_at,
        offers=tuple(
            Offer(
                target=offer.info.target,
                kind=offer.info.kind.value,
                version=str(offer.info.version),
                size=offer.info.size,
                notes=offer.info.notes,
                selectable=offer.selectable,
                needs=offer.needs,
                installed=False,
                eula=_text(texts.get, offer.info.eula_sha256),
                eula_accepted=agreements.is_accepted(offer.info.eula_sha256),
            )
            for offer in listed
        ),
        error=answer.error,
        way=tuple(
            Waypoint(info.kind.value, str(info.version), tuple(each.words for each in unmet[info.target]))
            for info in path_to_newest(installed, answer.infos)
        ),
    )


def _text(find: Callable[[str], str | None], sha256: str | None) -> str | None:
    return None if sha256 is None else find(sha256)
