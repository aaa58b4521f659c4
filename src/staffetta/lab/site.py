"""The site of a lab's appliance as its people use it: the administrator at `/login`, technicians, remote computers."""

import json
import math
import re
import shutil
import signal
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from staffetta.lab.appliance import FIRST_PASSWORD, Appliance, new_password
from staffetta.lab.pages import Browser
from staffetta.lab.world import LabFailure, Program, World, wait_until

TOKEN: Final = re.compile(r"stf1\.[A-Za-z0-9_-]+")
UPGRADE_ENDS: Final = ("update: proven", "update: back", "update: failed", "update: waiting for sessions to end")
"""What a Jump Client logs when it no longer counts among those that upgrade at the time."""
ENDED_SECONDS: Final = 450.0
"""A session ends at once in its report; one whose gateway was killed as it ended, when the site has seen neither end
for six minutes."""
TECHNICIAN: Final = ("start_sessions", "view_reports", "manage_files")
"""What a technician's account may do."""


class SiteAdministrator:
    """The person who looks after the site in a browser at `/login`."""

    def __init__(self, appliance: Appliance, url: str = "") -> None:
        """``url`` is where to sign in; by default the appliance's own address."""
        self.appliance = appliance
        self.browser = Browser(url or appliance.site_url, appliance.site_certificate)

    def first_sign_in(self) -> None:
        """Sign in as admin for the first time and change the password."""
        self.browser.sign_in("/login/", "admin", FIRST_PASSWORD)
        self.browser.change_first_password(FIRST_PASSWORD, self.appliance.site_password)

    def sign_in(self) -> None:
        """Sign in as admin."""
        self.browser.sign_in("/login/", "admin", self.appliance.site_password)

    def make_technician(self, name: str) -> str:
        """Make a technician's account and sign in once with its one-time password; return the lasting password."""
        self.browser.open("/login/users/new")
        page = self.browser.submit(
            "form:has(input[name=permissions])",
            {"username": name, "permissions": TECHNICIAN},
        )
        found = self.browser.select("[data-one-time-password]")
        if not found:
            raise LabFailure(f"The page does not show a one-time password: {page[:300]}")
        once, lasting = str(found[0]["data-one-time-password"]), new_password()
        own = Browser(self.browser.url, self.appliance.site_certificate)
        own.sign_in("/login/", name, once)
        own.change_first_password(once, lasting)
        return lasting

    def installer_token(self, uses: int) -> str:
        """Make an installer token on Jump > Jump Clients and return its text."""
        self.browser.open("/login/jump-clients/installers")
        page = self.browser.submit("form#new-token", {"uses": str(uses)})
        found = TOKEN.search(page)
        if not found:
            raise LabFailure("Jump > Jump Clients shows no installer token after it was made.")
        return found.group()

    def limit_upgrades(self, simultaneous: int) -> None:
        """Set *Maximum simultaneous Jump Client upgrades* on Jump > Jump Clients."""
        self.browser.open("/login/jump-clients")
        self.browser.submit("form#upgrades", {"simultaneous": str(simultaneous)})

    def fleet(self) -> dict[str, Any]:
        """Return Jump > Jump Clients as the page gives it to programs."""
        found: dict[str, Any] = self.browser.get_json("/login/jump-clients.json")
        return found

    def information(self) -> str:
        """Return the page Status > Information."""
        return self.browser.open("/login/status/information")

    def identity(self) -> str:
        """Return the fingerprint of the site's identity, as Status > Information shows it."""
        self.information()
        return str(self.browser.select("#site-identity")[0].get_text(strip=True))

    def sessions(self) -> list[dict[str, Any]]:
        """Return Reports > Sessions as the page gives it to programs."""
        answer = self.browser.get_json("/login/reports/sessions.json")
        found: list[dict[str, Any]] = answer["sessions"]
        return found

    def recording(self, session: str) -> list[Any]:
        """Download a session's recording; return its header and events (asciicast v2)."""
        text = self.browser.get_bytes(f"/login/reports/sessions/{session}/recording.cast").decode()
        return [json.loads(line) for line in text.splitlines()]


@dataclass(frozen=True, slots=True)
class PassiveHabits:
    """How often a passive Jump Client of the lab checks in, and where it listens: on one machine each needs a port of
    its own.
    """

    seconds: float
    port: int
    linger: float = 3.0

    def settings(self) -> str:
        """Return the client's settings file."""
        return (
            f"[clients]\ncheck_in_hours = {self.seconds / 3600:.6f}\nlinger_seconds = {self.linger}\n"
            f"wake_port = {self.port}\n"
        )


@dataclass
class RemoteComputer:
    """A computer with a Jump Client on it."""

    name: str
    state: Path
    program: Program

    def site_capabilities(self) -> list[str]:
        """Return what the site last said it can do, from the Jump Client's own log."""
        told = [line["capabilities"] for line in self._logged() if "capabilities" in line]
        return list(told[-1]) if told else []

    def check_ins(self) -> int:
        """Return how often it has checked in, from its own log; 0 for an active one."""
        return sum(line["message"] == "checking in" for line in self._logged())

    def upgrade_spans(self) -> list[tuple[float, float]]:
        """Return when it was told to update, and when it had arrived, gone back or begun to wait for its sessions'
        end; seconds since 1970, from its own log. What has not ended ends never.
        """
        spans: list[tuple[float, float]] = []
        begun: float | None = None
        for line in self._logged():
            moment = datetime.fromisoformat(line["at"]).timestamp()
            if line.get("action") == "update":
                begun = begun or moment
            elif begun is not None and line["message"] in UPGRADE_ENDS:
                spans.append((begun, moment))
                begun = None
        return spans if begun is None else [*spans, (begun, math.inf)]

    def _logged(self) -> list[dict[str, Any]]:
        lines = self.program.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    @classmethod
    def install(
        cls, world: World, name: str, token: str, root: Path, passive: PassiveHabits | None = None
    ) -> "RemoteComputer":
        """Install the Jump Client that the site gives out, as its page says, and start it."""
        state = world.folder / "computers" / name
        state.parent.mkdir(exist_ok=True)
        world.run(
            "jump-client", "install", "--token", "-", "--state", str(state), "--root", str(root), "--name", name,
            *(["--passive"] if passive else []), given=f"{token}\n", older=True,
        )  # fmt: skip
        if passive:
            (state / "settings.toml").write_text(passive.settings())
        run = state / "releases" / "current" / "bin" / "run"
        program = world.start(name, [str(run), "jump-client", "--state", str(state)], env={"SHELL": "/bin/bash"})
        return cls(name, state, program)


class Technician:
    """A representative with a console in a terminal of their own."""

    def __init__(self, appliance: Appliance, name: str, password: str, identity: str) -> None:
        self.appliance = appliance
        self.name = name
        self.password = password
        self.identity = identity
        self.world = appliance.world
        self.state = self.world.folder / "technicians" / name
        self.sittings = 0

    @property
    def console(self) -> list[str]:
        """The public console command; it is installed before the upgrade, so it is the older release's."""
        return [*self.world.older.staffetta, "console"]

    def sign_in(self) -> None:
        """Sign the console in."""
        self.state.mkdir(parents=True)
        secret = self.state / "password"
        secret.write_text(self.password)
        secret.chmod(0o600)
        self.world.run(
            "console", "sign-in", "--site", self.appliance.common_url, "--identity", self.identity,
            "--user", self.name, "--password-file", str(secret), "--state", str(self.state),
            older=True,
        )  # fmt: skip
        secret.unlink()

    def sees_online(self, computer: str) -> bool:
        """Whether the console's list shows a computer online."""
        listed = json.loads(self.world.run("console", "list", "--json", "--state", str(self.state), older=True))
        return any(one["name"] == computer and one["online"] for one in listed)

    def work_on(self, computer: str, broken: str = "", times: Path | None = None) -> "Work":
        """Open a shell session on a computer and type in it until told to stop.

        At its end ``times`` holds when each token was typed and seen again, in monotonic seconds.
        """
        wait_until(f"{computer} to be online", lambda: self.sees_online(computer), 30, every=0.5)
        echo = self.world.folder / "computers" / "echo.py"
        if not echo.exists():
            shutil.copyfile(Path(__file__).with_name("users") / "echo.py", echo)
        self.sittings += 1
        events = self.state / f"{computer}-{self.sittings}.jsonl"
        written = self.world.folder / "computers" / f"{computer}-written-{self.sittings}"
        program = self.world.start(
            f"typist-{computer}",
            [
                self.world.python, "-m", "staffetta.lab.users.typist", "--file", str(written), "--echo", str(echo),
                "--break", broken, *(("--times", str(times)) if times else ()), "--",
                *self.console, "connect", computer, "--state", str(self.state), "--events", str(events),
            ],
            pipe=True,
        )  # fmt: skip
        assert program.process.stdout is not None
        first = program.process.stdout.readline().decode().strip()
        if first != "typing":
            raise LabFailure(f"The technician could not begin to type. The terminal:\n{program.tail()}")
        return Work(self, computer, program, events)

    def carry(self, computer: str, megabytes: int, limit: float = 8.0, *, again: float = 0.0) -> "Carriage":
        """Move a file of that size to a computer and back, over and over, until told to stop.

        ``limit``: megabytes a second on the way there (none on the way back), so that a file is under way for
        ``megabytes / limit`` seconds; 0 for as fast as it goes. ``again``: so many seconds the next file is tried again
        if no session begins, or nobody answers before the first.
        """

        def online() -> bool:
            try:
                return self.sees_online(computer)
            except LabFailure:
                if not again:
                    raise
                return False

        wait_until(f"{computer} to be online", online, 30 + again, every=0.5)
        self.sittings += 1
        folder = self.world.folder / "technicians" / f"files-{self.sittings}"
        folder.mkdir()
        events = self.state / f"{computer}-{self.sittings}.jsonl"
        far = self.world.folder / "computers" / f"{computer}-carried-{self.sittings}"
        program = self.world.start(
            f"carrier-{computer}",
            [
                self.world.python, "-m", "staffetta.lab.users.carrier", "--computer", computer,
                "--megabytes", str(megabytes), "--limit", str(limit), "--again", str(again),
                "--far", str(far), "--folder", str(folder),
                "--state", str(self.state), "--events", str(events), "--", *self.console,
            ],
            pipe=True,
        )  # fmt: skip
        assert program.process.stdout is not None
        first = program.process.stdout.readline().decode().strip()
        if first != "moving":
            raise LabFailure(f"The technician could not move a file ({first}). The log:\n{program.tail()}")
        patience = 60.0 + again + (megabytes / limit if limit else megabytes / 2)
        return Carriage(self, computer, program, events, patience)


def read_notes(events: Path) -> list[dict[str, Any]]:
    """Return what a console has noted so far."""
    if not events.exists():
        return []
    return [json.loads(line) for line in events.read_text().splitlines(keepends=True) if line.endswith("\n")]


def places_in(notes: list[dict[str, Any]]) -> tuple[list[str], int]:
    """Return the generations that served the sessions of a console, in order, and how often it was resumed."""
    placed = [note for note in notes if note["event"] in ("attached", "moved", "resumed")]
    generations = list(dict.fromkeys(str(note["generation"]) for note in placed))
    return generations, sum(note["event"] != "attached" for note in placed)


@dataclass
class Work:
    """A session under way: the typing user and what the console notes of it."""

    technician: Technician
    computer: str
    program: Program
    events: Path

    def noted(self) -> list[dict[str, Any]]:
        """Return the console's own notes of the session so far."""
        return read_notes(self.events)

    def finish(self, admin: SiteAdministrator) -> dict[str, Any]:
        """Stop typing, end the session, return its account with generations, resumes and its recording judged."""
        account = self.leave()
        typed = account.pop("typed")
        return {**account, "recording": self.recording(admin, typed)}

    def leave(self) -> dict[str, Any]:
        """Stop typing and end the session; return its account with what was ``typed``, its recording not judged yet."""
        account = self.technician.world.account(self.program)
        generations, resumed = places_in(self.noted())
        return {
            **account,
            "sha256_ok": None,
            "computer": self.computer,
            "resumed": resumed,
            "generations": generations,
        }

    def recording(self, admin: SiteAdministrator, typed: str) -> str:
        """Return ``complete`` if the recording shows every keystroke exactly once, else what is wrong with it."""

        def report() -> dict[str, Any] | None:
            of_computer = [
                one for one in admin.sessions() if one["client"]["name"] == self.computer and one["kind"] == "shell"
            ]
            newest = max(of_computer, key=lambda one: str(one["opened"]), default=None)
            return newest if newest and newest["ended"] else None

        session = wait_until("the session's report to be complete", report, ENDED_SECONDS, every=0.5)
        _header, *events = admin.recording(session["id"])
        shown = "".join(text for _, kind, text in events if kind == "o")
        times = [moment for moment, *_ in events]
        if times != sorted(times):
            return "not in the order of time"
        begin = shown.find("READY")
        body = shown[begin + len("READY") :].partition("DONE")[0]
        return "complete" if begin >= 0 and body == typed else f"incomplete ({len(body)} of {len(typed)} keystrokes)"


@dataclass
class Carriage:
    """Files under way: the carrying user and what the console notes of it."""

    technician: Technician
    computer: str
    program: Program
    events: Path
    patience: float

    def noted(self) -> list[dict[str, Any]]:
        """Return the console's own notes of the sessions so far."""
        return read_notes(self.events)

    def begin_no_more(self) -> None:
        """Let the file under way be the last."""
        self.program.process.send_signal(signal.SIGTERM)

    def finish(self, admin: SiteAdministrator) -> dict[str, Any]:
        """Let the file under way come to its end; return the account, with generations, resumes and what was noted."""
        account = self.technician.world.account(self.program, self.patience)
        generations, resumed = places_in(self.noted())
        return {
            **account,
            "computer": self.computer,
            "resumed": resumed,
            "generations": generations,
            "recording": self._report(admin, account["files"]),
        }

    def _report(self, admin: SiteAdministrator, files: int) -> str | None:
        """Return None if the site's reports list every file and hold no byte of any, else what is wrong with them."""

        def reports() -> list[dict[str, Any]] | None:
            found = [
                one for one in admin.sessions() if one["client"]["name"] == self.computer and one["kind"] == "files"
            ]
            return found if all(one["ended"] for one in found) else None

        found = wait_until("the reports of moved files to be complete", reports, ENDED_SECONDS, every=0.5)
        if any(one["recorded_bytes"] for one in found):
            return "there, of a file's bytes"
        stored = [told for one in found for told in one["transfers"] if told["outcome"] == "stored"]
        untold = [told for told in stored if told["disputed"] or not told["sha256"]]
        if len(stored) < files or untold:
            return f"none, but the story tells of {len(stored)} of {files} files, {len(untold)} of them in doubt"
        return None
