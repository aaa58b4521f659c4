"""N1: requests that fail while site and base are updated under 24 looping clients; reference: stopped and started."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.document import Section, Table
from bench.spread import Spread
from bench.stage import Account, Stage, Update
from staffetta.lab.world import LabFailure, Program

SITE_NEW, SITE_KEPT, BASE_NEW, BASE_KEPT = 9, 5, 4, 4
"""Clients that ask for pages; with one upload and one stream of live progress they are 24."""
INTERVAL_SECONDS: Final = 0.05
UPLOAD_SECONDS: Final = 30
SETTLE_SECONDS: Final = 4.0
"""Given to the clients before and after an event, so that all are at their work."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event under the clients: what they tell, and how many seconds the update or the outage took."""

    account: Account
    seconds: float


class Uploads:
    """One client who uploads a file for 30 s, and then the next, until told that the last one may end."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.enough = threading.Event()
        self._given_up = False
        self._program: Program | None = None
        self._accounts: list[Account] = []
        self._thread = threading.Thread(target=self._loop, name="uploads", daemon=True)
        self._thread.start()

    def _loop(self) -> None:
        story = self._stage.story
        while not self.enough.is_set():
            self._program = program = self._stage.user(
                "uploader", story.appliance.site_url, "--page", "/login/files", "--certificate",
                story.appliance.site_certificate, "--user", story.technician.name, "--seconds", UPLOAD_SECONDS,
                password=story.technician.password,
            )  # fmt: skip
            program.process.wait()
            if self._given_up:
                return
            try:
                self._accounts.append(self._stage.account(program))
            except LabFailure:  # it could not even sign in, so it had nothing to tell
                self._accounts.append(Account(1, 1, ("the upload's user could not sign in",)))
                self.enough.wait(INTERVAL_SECONDS)

    def finish(self) -> Account:
        """Let the present upload come to its end and return the account of all."""
        self.enough.set()
        self._thread.join(4 * UPLOAD_SECONDS)
        if self._thread.is_alive():
            raise LabFailure(f"An upload of {UPLOAD_SECONDS} s did not end in {4 * UPLOAD_SECONDS} s.")
        return Account.total(self._accounts)

    def give_up(self) -> Account:
        """Stop the present upload, which began after the event, and return the account of those before it."""
        self._given_up = True
        self.enough.set()
        while self._thread.is_alive():
            if self._program:
                self._stage.world.stop(self._program)
            self._thread.join(0.5)
        return Account.total(self._accounts)


class Clients:
    """The looping clients of one event, from the start of this object to ``finish``."""

    def __init__(self, stage: Stage, *, streams: int) -> None:
        self._stage = stage
        appliance = stage.story.appliance
        site = (f"{appliance.site_url}/login/", appliance.site_certificate)
        base = (f"{appliance.appliance_url}/appliance/", appliance.appliance_certificate)
        groups = [
            (*site, SITE_NEW, False),
            (*site, SITE_KEPT, True),
            (*base, BASE_NEW, False),
            (*base, BASE_KEPT + 1 - streams, True),  # where no job's stream is open, one more asks for pages
        ]
        self._pollers = [
            stage.user(
                "poller", url, "--certificate", certificate, "--clients", clients, "--interval", INTERVAL_SECONDS,
                *(("--keep-alive",) if kept else ()),
            )
            for url, certificate, clients, kept in groups
        ]  # fmt: skip
        self._uploads = Uploads(stage)
        time.sleep(SETTLE_SECONDS)

    def __enter__(self) -> "Clients":
        return self

    def __exit__(self, *_: object) -> None:
        self._uploads.enough.set()

    def finish(self, update: Update | None) -> Account:
        """Let everybody see the event through, then stop; return the account of all.

        An update is over when the present upload has come to its end and the replaced generation has left.
        """
        if update:
            uploads = self._uploads.finish()
            self._stage.wait_gone(update)
            time.sleep(SETTLE_SECONDS)
        else:
            time.sleep(SETTLE_SECONDS)
            uploads = self._uploads.give_up()
        accounts = [uploads, *(self._stage.account(poller) for poller in self._pollers)]
        return Account.total([*accounts, update.watched] if update else accounts)


def measure(stage: Stage, rounds: int) -> Section:
    """Update the site and base and stop and start the appliance in two ways, ``rounds`` times each, in turn."""
    events: dict[str, list[Event]] = {"site": [], "base": [], "restart": [], "install": []}
    for version in stage.publish(("site", "base"), rounds):
        for kind in ("site", "base"):
            with Clients(stage, streams=1) as clients:
                update = stage.update(kind, version)
                events[kind].append(Event(clients.finish(update), update.seconds))
            _tell(stage, f"{kind} {version}", events[kind][-1])
        for way, stopped in (("restart", 0.0), ("install", events["site"][-1].seconds)):
            with Clients(stage, streams=0) as clients:
                seconds = stage.stop_start(stopped)
                events[way].append(Event(clients.finish(None), seconds))
            _tell(stage, f"stopped for {stopped:.1f} s and started", events[way][-1])
    return section(events["site"], events["base"], events["restart"], events["install"])


def _tell(stage: Stage, name: str, event: Event) -> None:
    told = event.account
    stage.world.say(f"  N1 {name}: {told.failed} of {told.requests} requests failed; {event.seconds:.1f} s")
    for failure in told.failures[:3]:
        stage.world.say(f"     {failure}")


def section(
    site: Sequence[Event], base: Sequence[Event], restart: Sequence[Event], install: Sequence[Event]
) -> Section:
    """Return the section of docs/performance.md; a reference in which nothing failed raises ``LabFailure``."""
    reference = Spread.of(event.account.failed for event in install).median
    at_once = Spread.of(event.account.failed for event in restart).median
    if not reference or not at_once:
        raise LabFailure("No request failed while the appliance was stopped: the clients do not see what they should.")
    rows = []
    for name, events in (
        ("site update", site),
        ("base update", base),
        ("reference: stop, install, start", install),
        ("stop, start at once", restart),
    ):
        failed = Spread.of(event.account.failed for event in events)
        rows.append(
            [
                name,
                str(len(events)),
                f"{sum(event.account.requests for event in events):,}",
                failed.text(),
                f"{failed.median / reference:.4g}",
                Spread.of(event.account.longest_gap_ms for event in events).text(unit="ms"),
                Spread.of(event.seconds for event in events).text(1, "s"),
            ]
        )
    failures = sum(event.account.failed for event in (*site, *base))
    updates = len(site) + len(base)
    verdict = (
        f"{failures} requests failed in {updates} updates (to reach: 0, aim: 0: "
        f"{'reached' if not failures else 'missed'}); stopping the same appliance, installing and starting it "
        f"fails {reference:,.0f}, stopping and starting it at once {at_once:,.0f}."
    )
    head = ("event", "events", "requests", "failed per event", "ratio", "longest time without a success", "duration")
    return Section(
        "N1",
        "Requests failed while site and base are updated under 24 looping clients",
        verdict,
        [("", Table(head, rows))],
        [
            f"The 24: on the site {SITE_NEW} clients ask for the page of sign-in on a new connection each time and "
            f"{SITE_KEPT} on one kept alive, on base {BASE_NEW} and {BASE_KEPT} likewise, each every "
            f"{INTERVAL_SECONDS * 1000:.0f} ms or as fast as it is answered; one uploads a file for {UPLOAD_SECONDS} s "
            "and then the next, and compares what came back; one watches the live progress of the job. In the "
            "reference there is no job to watch, so one more asks for pages of base.",
            "Failed is what was refused, reset, timed out or answered with an error status. Nobody tries again.",
            "The reference is an update without handover: keeper, and so site and base, is stopped, stays stopped for "
            "as long as the site update of the same round took, and is started. Ratio is the median of failed requests "
            "by that of the reference.",
            "A stop and start at once is the least that a restart costs here. Few requests fail, since keeper opens "
            "its sockets long before the programs behind them are ready, and whoever connects then waits; whoever was "
            "connected is cut.",
            "Longest time without a success: of all clients of a kind on one face. Duration: of an update, from "
            "install to committed, the download over loopback included; of a stop and start, until both faces answer.",
        ],
    )
