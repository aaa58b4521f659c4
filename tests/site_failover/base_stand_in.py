"""What stands in for base behind a site's door: it offers a newer base and site, and installs by restarting the site.

Base itself is proven with its own tests and by the lab's stories; here the pair job meets the contract of its socket.
"""

import http.server
import json
import socketserver
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from site_failover.two_sites import OneSite
from staffetta.control.pairing import SharedState
from staffetta.kernel.clock import format_time, utc_now

NEW = "2.0.0"
ASKED = threading.Lock()


class BaseStandIn:
    """One appliance's. At the shared address the site answers whose stand-in holds it; ``other`` is the other one's."""

    def __init__(self, site: OneSite, shared: SharedState, restart: Callable[[OneSite], None]) -> None:
        self.site = site
        self.other: BaseStandIn | None = None
        self.base = "1.0.0"
        self.shared = shared
        self.term = 0
        self.granted = True
        self.checks: list[str] = []
        self.undo: set[str] = set()
        self.installs: dict[str, dict[str, Any]] = {}
        self.phases: list[str] = []
        self._restart = restart
        stand_in = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(stand_in.get(self.path))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self._answer(stand_in.post(self.path, body))

            def _answer(self, body: dict[str, Any]) -> None:
                raw = json.dumps(body).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: object) -> None:
                pass

            def address_string(self) -> str:
                return "site"

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True

        self._server = Server(str(site.paths.site_door_socket), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def get(self, path: str) -> dict[str, Any]:
        if path == "/v1/status":
            return self._status()
        return self.installs[path.rsplit("/", 1)[1]]

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path.startswith("/v1/shared/"):
            phase = path.rsplit("/", 1)[1]
            self.phases.append(phase)
            self.term = body["term"]
            if phase in ("join", "claim", "turn"):
                self.shared = SharedState.HELD
            elif phase in ("leave", "release"):
                self.shared = SharedState.RELEASED
            return self._shared()
        if path == "/v1/updates/check":
            self.checks.append(body["actor"])
            return {"checked_at": format_time(utc_now()), "offers": self._offers(), "error": None}
        with ASKED:
            job = f"{body['job']}-{body['step']}".lower()
            if job not in self.installs:
                kind = body["target"].split("-")[0]
                self.installs[job] = self._job(job, kind, "stage")
                threading.Thread(target=self._install, args=(job, kind), daemon=True).start()
        return {"job": job}

    def _install(self, job: str, kind: str) -> None:
        if kind in self.undo:
            self.undo.discard(kind)
            self.installs[job] = self._job(job, kind, "undone", "The new release is unhealthy.")
            return
        if kind == "site":
            self.site.version = NEW
            self._restart(self.site)
        else:
            self.base = NEW
        self.installs[job] = self._job(job, kind, "committed")

    def _job(self, job: str, kind: str, state: str, error: str | None = None) -> dict[str, Any]:
        running = state not in ("committed", "undone")
        return {
            "id": job,
            "kind": kind,
            "version": NEW,
            "state": "running" if running else state,
            "step": state,
            "started": format_time(utc_now()),
            "error": error,
        }

    def _shared(self) -> dict[str, Any]:
        holder = self if self.shared is SharedState.HELD or self.other is None else self.other
        port = holder.site.port
        return {"state": self.shared.value, "address": "127.0.0.1", "port": port, "enabled": True, "term": self.term}

    def _status(self) -> dict[str, Any]:
        now = utc_now()
        grant = {
            "granted_by": "admin",
            "granted_at": format_time(now),
            "until": format_time(now + timedelta(hours=1)),
        }
        return {
            "name": self.site.root.name,
            "base_version": self.base,
            "site_version": self.site.version,
            "time": format_time(now),
            "shared": self._shared(),
            "grant": grant if self.granted else None,
            "offers": self._offers(),
        }

    def _offers(self) -> list[dict[str, Any]]:
        """Something is on offer once the update server was asked."""
        if not self.checks:
            return []
        return [self._offer(kind) for kind, has in (("base", self.base), ("site", self.site.version)) if has != NEW]

    def _offer(self, kind: str) -> dict[str, Any]:
        return {
            "target": f"{kind}-{NEW}",
            "kind": kind,
            "version": NEW,
            "size": 1,
            "notes": "",
            "selectable": True,
            "needs": [],
            "installed": False,
            "eula": None,
            "eula_accepted": True,
        }
