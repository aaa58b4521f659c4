"""Asks who answers: base over its control socket, and the update server itself when base does not."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from typing import Any, Final

import httpx
import urllib3

from staffetta.base.doctor.apart import Apart
from staffetta.base.doctor.facts import BaseSeen, CertificateTrouble, ServerSeen, Unseen
from staffetta.base.doctor.looking import job_seen
from staffetta.base.layout import User
from staffetta.control.appliance import ApplianceControl, ApplianceStatus, Certificate, Job, Updates
from staffetta.control.local import CONNECT_SECONDS, ApplianceRefused
from staffetta.control.measures import PairMeasures
from staffetta.control.pairing import SharedAddress
from staffetta.control.paths import ApplianceDescription, AppliancePaths
from staffetta.kernel.clock import parse_time
from staffetta.kernel.errors import StaffettaError
from staffetta.packages.bundle import METADATA_FOLDER
from staffetta.releases.server import cause_of

SERVER_SECONDS: Final = 5.0
"""For a connection, and for each piece of an answer."""

BASE_SECONDS: Final = 150.0
"""For all that base is asked, a check of the update server included."""

ANSWER_SECONDS: Final = 15.0
"""For the whole of an answer."""

LARGEST_LIST: Final = 1 << 20


class _Asking(ApplianceControl):
    """Waits for a check of the update server, but not for ever for a base that hangs."""

    TIMEOUT = httpx.Timeout(45.0, connect=CONNECT_SECONDS)


@dataclass(frozen=True, slots=True)
class _Told:
    """What of base's answers is judged, in the form in which a child hands it on."""

    status: ApplianceStatus
    updates: Updates
    jobs: tuple[Job, ...]
    certificates: tuple[Certificate, ...]
    troubles: tuple[CertificateTrouble, ...]
    pair: PairMeasures | None
    no_pair: str | None
    shared: SharedAddress | None


def ask_base(paths: AppliancePaths, actor: str, apart: Apart, *, online: bool) -> BaseSeen | Unseen:
    """Everything that base tells; ``online`` has it ask the update server first.

    Asked apart, with the rights of whoever asks: an answer without end must not become the doctor's.
    """
    me = User(os.geteuid(), os.getegid())
    told = apart.look("What base answers", me, _Told, lambda: _ask(paths, actor, online=online))
    if isinstance(told, Unseen):
        return told
    pair = told.pair if told.no_pair is None else Unseen(told.no_pair)
    return BaseSeen(told.status, told.updates, told.jobs, (*told.certificates, *told.troubles), pair, told.shared)


def _ask(paths: AppliancePaths, actor: str, *, online: bool) -> _Told | Unseen:
    try:
        with _Asking(paths.control_socket) as control:
            status = control.status()
            updates = control.check_updates(actor) if online else control.updates()
            jobs = job_seen(control.jobs())
            certificates, pair, shared = _certificates(control), _pair(control, status), _shared(control)
    except StaffettaError as error:
        return Unseen(error.message)
    return _Told(
        status=status,
        updates=replace(updates, offers=(), way=()),
        jobs=tuple(job for job in (jobs.under_way, jobs.last) if job is not None),
        certificates=tuple(one for one in certificates if isinstance(one, Certificate)),
        troubles=tuple(one for one in certificates if isinstance(one, CertificateTrouble)),
        pair=None if isinstance(pair, Unseen) else pair,
        no_pair=pair.why if isinstance(pair, Unseen) else None,
        shared=shared,
    )


def _certificates(control: ApplianceControl) -> tuple[Certificate | CertificateTrouble, ...]:
    try:
        return control.certificates()
    except ApplianceRefused as error:
        return (CertificateTrouble("site", error.message),)


def _pair(control: ApplianceControl, status: ApplianceStatus) -> PairMeasures | Unseen | None:
    if status.site_version is None:
        return None
    try:
        site = control.measures()
    except ApplianceRefused as error:
        if error.http_status != 404:
            return Unseen(error.message)
        site = None  # a base that is older than the question
    return Unseen("The site does not tell whether it is in a pair.") if site is None else site.pair


def _shared(control: ApplianceControl) -> SharedAddress | None:
    try:
        return control.shared_address()
    except ApplianceRefused:
        return None  # its file is damaged, which shows on the disk


def ask_server(description: ApplianceDescription) -> ServerSeen:
    """Fetch the signed list's time stamp. It is not verified here: that is base's, which has the root of trust.

    Not by `releases.server`: that signs as the device, with a key that only base is to use."""
    url = f"{description.update_server.rstrip('/')}/{METADATA_FOLDER}timestamp.json"
    pool = urllib3.PoolManager(timeout=urllib3.Timeout(SERVER_SECONDS), retries=False)
    try:
        response = pool.request("GET", url, preload_content=False)
        try:
            body = response.read(LARGEST_LIST)
        finally:
            response.close()
        if response.status != 200:
            return ServerSeen(description.update_server, f"It answers with the status {response.status}.", None)
        said: Any = json.loads(body)
        return ServerSeen(description.update_server, None, parse_time(said["signed"]["expires"]))
    except urllib3.exceptions.HTTPError as error:
        return ServerSeen(description.update_server, f"It does not answer ({cause_of(error)}).", None)
    except (ValueError, KeyError, TypeError, StaffettaError):
        return ServerSeen(description.update_server, "What it answers is no list of packages.", None)
