"""Asks who answers: base over its control socket, and the update server itself when base does not."""

from __future__ import annotations

import json
from typing import Any, Final

import httpx
import urllib3

from staffetta.base.doctor.facts import BaseSeen, CertificateTrouble, ServerSeen, Unseen
from staffetta.control.appliance import ApplianceControl, ApplianceStatus, Certificate
from staffetta.control.local import CONNECT_SECONDS, ApplianceRefused
from staffetta.control.measures import PairMeasures
from staffetta.control.paths import ApplianceDescription, AppliancePaths
from staffetta.kernel.clock import parse_time
from staffetta.kernel.errors import StaffettaError
from staffetta.packages.bundle import METADATA_FOLDER
from staffetta.releases.server import cause_of

SERVER_SECONDS: Final = 5.0
"""For a connection, and for each piece of an answer."""

ANSWER_SECONDS: Final = 15.0
"""For the whole of an answer."""

LARGEST_LIST: Final = 1 << 20


class _Asking(ApplianceControl):
    """Waits for a check of the update server, but not for ever for a base that hangs."""

    TIMEOUT = httpx.Timeout(45.0, connect=CONNECT_SECONDS)


def ask_base(paths: AppliancePaths, actor: str, *, online: bool) -> BaseSeen | Unseen:
    """Everything that base tells; ``online`` has it ask the update server first."""
    try:
        with _Asking(paths.control_socket) as control:
            status = control.status()
            updates = control.check_updates(actor) if online else control.updates()
            return BaseSeen(status, updates, control.jobs(), _certificates(control), _pair(control, status))
    except StaffettaError as error:
        return Unseen(error.message)


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
