"""Appliances with a site each, in folders of their own: filled, asked for their state, and worked on by the command."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from staffetta.control.paths import ApplianceDescription, AppliancePaths

SOURCE = Path(__file__).parents[2] / "src"
PASSWORD = "correct horse"
_SET_UP = "import django; django.setup()\n"
_MAIN = "from staffetta.cli.main import main; main()"

FILL = """
import json, os
from staffetta.site.accounts import service as accounts
from staffetta.site.accounts.models import Account
from staffetta.site.accounts.permissions import Allowed
from staffetta.site.data import records
from staffetta.site.data.blobs import BlobWriter
from staffetta.site.data.models import SiteInstance
from staffetta.site.fleet import service as fleet
from staffetta.site.management import files
from staffetta.wire.identity import SigningKey
from django.db import transaction

admin = Account.objects.get(username="admin")
accounts.make_account(admin, "rita", frozenset({Allowed.START_SESSIONS, Allowed.VIEW_REPORTS}))
token = fleet.make_installer_token("admin", 5, 5)
clients = {
    name: fleet.enrol(token.text, SigningKey(os.urandom(32)).public, name, {"system": "Linux"}).id
    for name in ("laptop", "server", "kiosk")
}

def blob(data):
    writer = BlobWriter()
    writer.write(data)
    return writer

for number in range(3):
    files.store("admin", f"small-{number}.txt", blob(f"small {number}".encode()))
files.store("admin", "large.bin", blob(os.urandom(300_000)))
records.append("session.opened", {
    "session": "s1", "kind": "jump-client", "rep_id": admin.id, "rep_name": "admin", "client_id": clients["laptop"],
    "client_name": "laptop", "recorded": True,
})
with transaction.atomic():
    segment = blob(b"a recording's segment" * 100).store()
    records.append("session.segment", {"session": "s1", "sha256": segment.sha256, "size": segment.size})
records.append("session.ended", {"session": "s1", "reason": "done"})
SiteInstance.objects.update(role_term=7)
print(json.dumps(clients))
"""

STATE = """
import json
from pathlib import Path
from django.conf import settings
from staffetta.site.data import documents, identity
from staffetta.site.data.models import Blob, Record
from staffetta.site.data.sync import Sync
from staffetta.site.management.models import AuditEntry
from staffetta.site.support.models import SessionReport, SessionSegment

class Revealed:
    def seal(self, place, secret):
        return secret.reveal().hex()

def state():
  return json.loads(json.dumps({
    # Since when consoles are signed in is set by every restore.
    "documents": {f"{one.type} {one.key}": {k: v for k, v in one.body.items() if k != "consoles_since"}
                  for one in documents.collect(Sync.CONFIG, Revealed())},
    "records": sorted(f"{r.origin} {r.incarnation} {r.sequence} {r.kind} {r.at} {json.dumps(r.body)}"
                      for r in Record.objects.all()),
    "reports": sorted(f"{r.pk} {r.client_name} {r.opened_at} {r.ended_at}" for r in SessionReport.objects.all()),
    "audit": AuditEntry.objects.count(),
    "segments": sorted(SessionSegment.objects.values_list("sha256", flat=True)),
    "blobs": sorted(Blob.objects.values_list("pk", flat=True)),
    "bytes": sorted(path.name for path in (Path(settings.STAFFETTA_SITE_FOLDER) / "blobs").glob("??/*")),
    "origin": identity.origin(), "term": identity.role_term(), "identity": identity.site_identity().public.hex(),
  }, default=str))
"""


@dataclass(frozen=True)
class Appliance:
    """An appliance's folder."""

    paths: AppliancePaths

    @classmethod
    def make(cls, root: Path) -> "Appliance":
        """Lay out an appliance without a site."""
        paths = AppliancePaths(root)
        root.mkdir(exist_ok=True)
        described = ApplianceDescription(
            "a", "localhost", "https://localhost:9443/appliance", "https://localhost:8443", ("localhost:8443",), "none"
        )
        paths.description.write_bytes(described.to_bytes())
        paths.site.mkdir(mode=0o700, exist_ok=True)
        return cls(paths)

    @property
    def site(self) -> Path:
        """The site's data."""
        return self.paths.site

    def names_installed(self, version: str) -> None:
        """Let the appliance name this version of its site as the installed one."""
        current = self.paths.releases("site") / "current"
        current.parent.mkdir(parents=True, exist_ok=True)
        current.unlink(missing_ok=True)
        current.symlink_to(version)

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a process of this site."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("STAFFETTA_")}
        return {
            **kept,
            "STAFFETTA_APPLIANCE": str(self.paths.root),
            "DJANGO_SETTINGS_MODULE": "staffetta.site.web.settings",
            "PYTHONPATH": str(SOURCE),
            **more,
        }

    def run(self, code: str, **more: str) -> str:
        """Run code with the site's Django; returns what it printed."""
        done = self.try_run(code, **more)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def try_run(self, code: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """The same, whatever comes of it."""
        return subprocess.run(
            [sys.executable, "-c", _SET_UP + code],
            env=self.environment(**more),
            capture_output=True,
            text=True,
            timeout=100,
        )

    def command(self, *arguments: str | Path, **more: str) -> "subprocess.CompletedProcess[str]":
        """Run `staffetta backup …` on this appliance."""
        return subprocess.run(
            [sys.executable, "-c", _MAIN, "backup", *map(str, arguments), "--appliance", str(self.paths.root)],
            env=self.environment(**more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
        )

    def done(self, *arguments: str | Path, **more: str) -> str:
        """The same; it must succeed. Returns what it printed."""
        done = self.command(*arguments, **more)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def state(self) -> dict[str, Any]:
        """All that a backup is about."""
        state: dict[str, Any] = json.loads(self.run(STATE + "print(json.dumps(state()))"))
        return state

    def stored(self) -> list[str]:
        """The whole database as text, without starting a process of the site."""
        with contextlib.closing(sqlite3.connect(self.site / "site.sqlite3")) as database:
            return list(database.iterdump())

    def left_overs(self) -> list[Path]:
        """What is in the work folder."""
        return list((self.site / "backup-work").glob("*"))
