"""The vendor's part of the story: an older and a newer release of base and of site, signed, published and served.

The older release is the source tree; the newer is the same tree with a small overlay that adds what makes upgrades
hard: a migration, a wire capability, a visible change. An *unhealthy* newer site crashes, hangs, or answers but fails
its probe.
"""

import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from staffetta.lab.overlay import write_overlay
from staffetta.lab.world import Program, World, wait_until

OLD: Final = "1.0.0"
NEW: Final = "1.1.0"
UPDATE_PORT: Final = 8470


@dataclass(frozen=True, slots=True)
class Published:
    """What the vendor offers: its root of trust, the bundle a new appliance starts from, its update server."""

    root: Path
    base_bundle: Path
    url: str
    server: Program


def target(kind: str, version: str) -> str:
    """Return the name under which a package is published."""
    return f"{kind}/{kind}-{version}.tar.zst"


class Publisher:
    """Builds, signs, publishes and serves, by the public `staffetta vendor` commands."""

    def __init__(self, world: World, cache: Path) -> None:
        self._world = world
        self._cache = cache
        self.repository = world.folder / "vendor" / "repository"
        self._keys = world.folder / "vendor" / "keys"
        self._packages = world.folder / "vendor" / "packages"
        self._packages.mkdir(parents=True)

    def _build(self, kind: str, version: str, *more: str) -> Path:
        output = self._packages / f"{kind}-{version}.tar.zst"
        if kind != "client":
            more = ("--eula", str(self._world.source / "EULA.txt"), *more)
        self._world.run(
            "vendor", "build", "--kind", kind, "--version", version, "--source", str(self._world.source),
            "--output", str(output), "--cache", str(self._cache), "--level", "3", *more,
        )  # fmt: skip
        return output

    def _bundle(self, kind: str, version: str) -> Path:
        output = self._packages / f"{kind}-{version}.bundle"
        self._world.run(
            "vendor", "bundle", "--repository", str(self.repository), f"{kind}/{version}", "--output", str(output)
        )
        return output

    def publish_older(self) -> Published:
        """Build, sign and serve the older release alone: for worlds in which nothing is upgraded."""
        self._world.run("vendor", "init", "--repository", str(self.repository), "--keys", str(self._keys))
        with ThreadPoolExecutor(2) as pool:
            self._publish(*pool.map(lambda kind: self._build(kind, OLD), ("client", "base")))
        self._publish(self._build("site", OLD, "--client-bundle", str(self._bundle("client", OLD))))
        return self._serve(self._bundle("base", OLD))

    def publish(self, unhealthy: str = "") -> Published:
        """Build the four releases and the clients inside the sites, sign them and start the update server.

        ``unhealthy`` is ``crash``, ``hang`` or ``probe`` and spoils the newer site in that way.
        """
        self._world.run("vendor", "init", "--repository", str(self.repository), "--keys", str(self._keys))
        folder = self._world.folder
        newer = ("--overlay", str(write_overlay(self._world.source, folder / "overlay")))
        site = (
            ("--overlay", str(write_overlay(self._world.source, folder / "unhealthy", unhealthy=unhealthy)))
            if unhealthy
            else newer
        )
        with ThreadPoolExecutor(2) as pool:
            packages = list(
                pool.map(
                    lambda order: self._build(*order),
                    [("client", OLD), ("base", OLD), ("client", NEW, *newer), ("base", NEW, *newer)],
                )
            )
        self._publish(*packages)
        clients = {version: self._bundle("client", version) for version in (OLD, NEW)}
        with ThreadPoolExecutor(2) as pool:
            sites = list(
                pool.map(
                    lambda order: self._build(*order),
                    [
                        ("site", OLD, "--client-bundle", str(clients[OLD])),
                        (
                            "site", NEW, "--client-bundle", str(clients[NEW]),
                            "--require", f"base>={NEW}", "--notes", "The baton goes on.", *site,
                        ),
                    ],
                )
            )  # fmt: skip
        self._publish(*sites)
        return self._serve(self._bundle("base", OLD))

    def publish_more(self, kind: str, version: str, *, unhealthy: str = "") -> None:
        """Publish one more release of ``kind`` with the newer release's overlay, or an unhealthy one of the site."""
        folder = self._world.folder
        overlay = folder / "overlay"
        if unhealthy:
            overlay = write_overlay(self._world.source, folder / f"overlay-{version}", unhealthy=unhealthy)
        more = ["--overlay", str(overlay)]
        if kind == "site":
            more += ["--client-bundle", str(self._packages / f"client-{NEW}.bundle")]
        self._publish(self._build(kind, version, *more))

    def _publish(self, *packages: Path) -> None:
        self._world.run(
            "vendor", "publish", "--repository", str(self.repository), "--keys", str(self._keys), *map(str, packages)
        )

    def _serve(self, base_bundle: Path) -> Published:
        listen = f"{self._world.address(8)}:{UPDATE_PORT}"
        server = self._world.start(
            "update-server",
            [*self._world.staffetta, "vendor", "serve", "--repository", str(self.repository),
             "--keys", str(self._keys), "--listen", listen],
        )  # fmt: skip
        url = f"http://{listen}"
        wait_until("the update server", lambda: _answers(listen) or not server.running, 20)
        return Published(self.repository / "metadata" / "1.root.json", base_bundle, url, server)


def _answers(listen: str) -> bool:
    host, port = listen.split(":")
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, int(port))) == 0
