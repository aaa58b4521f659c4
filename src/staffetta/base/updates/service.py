"""Packages as base gets them: from the update server or an uploaded bundle, and what may be installed (U2, U4, U8).

Every method reads and writes files or the network and is meant for a thread; one at a time holds the trust folder,
none while it downloads a package.
Nothing a page says is believed: selection, licence agreement and signatures are judged again when a job verifies.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

from staffetta.base.errors import ClockWrong, EulaNotAccepted, InstallRefused, UnknownName
from staffetta.base.installs.record import JobRecord
from staffetta.base.installs.service import Progress, Wanted
from staffetta.base.trust import TimeFloor, clock_problem, device_key
from staffetta.base.updates.agreements import Agreements
from staffetta.base.updates.answer import Answer, AnswerFile, to_updates
from staffetta.control.appliance import Updates
from staffetta.kernel.clock import trusted_now, utc_now
from staffetta.kernel.errors import StaffettaError
from staffetta.kernel.log import get_logger
from staffetta.packages import Installed, Kind, PackageInfo
from staffetta.packages.errors import Expired, NotTrusted
from staffetta.packages.offers import NONCE_BYTES, device_id
from staffetta.packages.selection import offers, path_to_newest, require_installable
from staffetta.releases import Checked, TrustedRepository, UpdateServer, open_bundle, open_repository

_log = get_logger(__name__)

UPLOAD_SUFFIX: Final = ".bundle"


class UpdateService:
    """What this appliance knows of packages. `base` is base's own folder, `root` the root of trust it came with."""

    def __init__(
        self,
        base: Path,
        root: bytes,
        update_server: str,
        installed: Callable[[], Installed],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._trust = base / "trust"
        self._downloads = base / "packages"
        self._uploads = base / "packages" / "uploads"
        self._root = root
        self._url = update_server
        self._installed = installed
        self._clock = clock
        self._device_key = device_key(base / "device.key")
        self._answers = AnswerFile(base / "updates.json")
        self._lock = threading.Lock()
        self._opened: tuple[str, TrustedRepository, tuple[PackageInfo, ...]] | None = None
        self.floor = TimeFloor(self._trust / "time.json")
        self.agreements = Agreements(base / "agreements.json")

    @property
    def device(self) -> str:
        """The name by which the update server knows this appliance."""
        return device_id(self._device_key.public_key().public_bytes_raw())

    @property
    def clock_offset(self) -> float | None:
        """The update server's time minus this clock's, at the last check."""
        return self._answers.read().offset_seconds

    def updates(self) -> Updates:
        """The last answer as it is shown, judged by what is installed now."""
        return to_updates(self._answers.read(), self._installed(), self.agreements)

    def check(self) -> Updates:
        """Ask the update server. What went wrong is in `error`; the packages of the last good answer stay."""
        with self._lock:
            offset: float | None = None
            try:
                repository = self._server_repository()
                checked = self._ask(repository)
                offset = checked.offset_seconds
                # Judged by the statement's time, which is remembered only if what the vendor signed is good by it.
                verified = self._refresh(repository, offset, checked.time)
                self.floor.raise_by_statement(checked.time, self._clock())
                infos = [info for info in verified if info.target in checked.targets]
                for info in infos:
                    self._note_agreement(repository, info)
                answer = Answer(self._clock(), tuple(infos), offset)
            except StaffettaError as error:
                _log.warning("checking for updates failed: %s", error.message, extra={"code": error.code})
                answer = self._answers.read().failed(error.message, offset)
            self._answers.write(answer)
        return self.updates()

    def want(self, target: str, actor: str) -> Wanted:
        """A package of the last answer, as something that may be installed now.

        Raises UnknownName, PrerequisiteUnmet, OlderPackage or EulaNotAccepted.
        """
        for info in self._answers.read().infos:
            if info.target == target:
                return self._wanted(info, actor, None)
        raise UnknownName(f"{target} is not among the packages on offer. Check for updates and choose from the list.")

    def want_from_bundle(self, bundle: str, actor: str) -> Wanted:
        """The first package to install of an uploaded bundle, on the way to the newest it holds."""
        with self._lock:
            repository = self._bundle_repository(bundle)
            infos = self._refresh(repository, None)
            for info in infos:
                self._note_agreement(repository, info)
        return self._wanted(choose(self._installed(), infos), actor, bundle)

    def verify(self, job: JobRecord) -> PackageInfo:
        """Redo every check for a job, from freshly verified metadata; returns what the vendor signed about it."""
        with self._lock:
            info = _find(job, self._open(job)[1])
        self._require(info)
        self.floor.raise_to(info.published)
        return info

    def fetch(self, job: JobRecord, destination: Path, progress: Progress) -> None:
        """Bring a job's package file to `destination`, whole and verified."""
        with self._lock:
            repository, infos = self._opened[1:] if self._opened and self._opened[0] == job.id else self._open(job)
        # Without the lock: a download takes minutes, touches nothing of the trust folder, and whoever waits for the
        # lock keeps a thread.
        repository.download(_find(job, infos), destination, progress)

    def download_path(self, job: JobRecord) -> Path:
        """Where a job's package file is, or will be."""
        return self._downloads / f"{job.program}-{job.version}.tar.zst"

    def upload_path(self, bundle: str) -> Path:
        """Where an uploaded bundle is."""
        return self._uploads / bundle

    def forget_uploads(self, keep: str | None) -> None:
        """Remove uploaded bundles, whole or broken off, but the one to keep."""
        for path in self._uploads.glob("*"):
            if path.name != keep:
                path.unlink(missing_ok=True)

    def _wanted(self, info: PackageInfo, actor: str, bundle: str | None) -> Wanted:
        self._require(info)
        installed = self._installed()
        previous = installed.base if info.kind is Kind.BASE else installed.site
        return Wanted(info.kind, info.target, info.version, previous, actor, bundle)

    def _require(self, info: PackageInfo) -> None:
        require_installable(self._installed(), info)
        if not self.agreements.is_accepted(info.eula_sha256):
            raise EulaNotAccepted(
                f"The licence agreement of {info.kind} {info.version} is not accepted yet. Read and accept it on "
                "/appliance > Updates, or with `staffetta appliance eula accept`; then install again."
            )

    def _ask(self, repository: TrustedRepository) -> Checked:
        """The server's statement. One that is signed by a key of a newer root is asked for again once that is known."""
        try:
            return self._server(repository).check(self._installed(), secrets.token_bytes(NONCE_BYTES), self._clock())
        except NotTrusted:
            self._refresh(repository, None)
            return self._server(repository).check(self._installed(), secrets.token_bytes(NONCE_BYTES), self._clock())

    def _server(self, repository: TrustedRepository) -> UpdateServer:
        return UpdateServer(self._url, self._device_key, repository.root.statement_keys)

    def _refresh(
        self, repository: TrustedRepository, offset: float | None, stated: datetime | None = None
    ) -> tuple[PackageInfo, ...]:
        """Verified metadata, good by the trusted time and by the one just stated; expired because of a wrong clock is
        said as that (U6)."""
        now = self.floor.now(self._clock())
        try:
            return repository.refresh(now if stated is None else trusted_now(now, stated))
        except Expired as error:
            problem = clock_problem(self.clock_offset if offset is None else offset)
            if problem is None:
                raise
            raise ClockWrong(f"{problem} Because of it the signed list of packages seems out of date.") from error

    def _open(self, job: JobRecord) -> tuple[TrustedRepository, tuple[PackageInfo, ...]]:
        repository = self._server_repository() if job.bundle is None else self._bundle_repository(job.bundle)
        infos = self._refresh(repository, None)
        self._opened = (job.id, repository, infos)
        return repository, infos

    def _note_agreement(self, repository: TrustedRepository, info: PackageInfo) -> None:
        if info.eula_sha256 is not None and self.agreements.find(info.eula_sha256) is None:
            text = repository.eula(info)
            if text is not None:
                self.agreements.note(info.eula_sha256, text)

    def _server_repository(self) -> TrustedRepository:
        return open_repository(self._url, self._trust, self._root)

    def _bundle_repository(self, bundle: str) -> TrustedRepository:
        path = self.upload_path(bundle)
        if not path.is_file():
            raise UnknownName("The uploaded file is no longer here. Upload it again.")
        return open_bundle(path, self._trust, self._root)


def _find(job: JobRecord, infos: Iterable[PackageInfo]) -> PackageInfo:
    for info in infos:
        if info.target == job.target:
            return info
    raise UnknownName(f"{job.label} is no longer on offer. Check for updates again.")


def choose(installed: Installed, infos: tuple[PackageInfo, ...]) -> PackageInfo:
    """The package of a bundle to install next; raises the reason why there is none."""
    way = path_to_newest(installed, infos)
    if way:
        return way[0]
    listed = offers(installed, infos)
    if listed:
        selectable = [offer.info for offer in listed if offer.selectable]
        if selectable:
            return selectable[0]
        require_installable(installed, listed[0].info)
    for info in infos:
        require_installable(installed, info)
    raise InstallRefused("The uploaded bundle holds no package for this appliance.")
