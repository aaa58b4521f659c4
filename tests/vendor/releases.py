"""A vendor of appliances, for tests of the Debian package: releases signed and published, and staffetta.deb."""

from pathlib import Path

from vendor.test_build import Built, copy_of_the_source, succeed


class Vendor(Built):
    """Releases of client, base and site from a copy of this source tree, whose packages are published in turn."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, copy_of_the_source(folder / "source"))
        self.repository = folder / "repository"
        self.keys = folder / "keys"
        self._with_keys = ("--repository", self.repository, "--keys", self.keys)
        succeed("vendor", "init", *self._with_keys)
        (folder / "eula.txt").write_text("Be kind.\n")

    @property
    def deb(self) -> Path:
        """The Debian package."""
        return self.folder / "staffetta.deb"

    def release(self, version: str, *of_the_site: object) -> None:
        """Build, sign and publish client, base and site of one version; the site brings that client."""
        self.build("client", version)
        self._publish(f"client-{version}")
        self.build("base", version)
        eula = ("--eula", self.folder / "eula.txt")
        self.build("site", version, "--client-bundle", self.bundle(f"client/{version}"), *eula, *of_the_site)
        self._publish(f"base-{version}", f"site-{version}")

    def _publish(self, *names: str) -> None:
        succeed("vendor", "publish", *self._with_keys, *map(self.package, names))

    def bundle(self, what: str) -> Path:
        """A bundle of one published package, named like ``site/1.0``."""
        place = self.folder / f"{what.partition('/')[0]}.bundle"
        succeed("vendor", "bundle", "--repository", self.repository, what, "--output", place)
        return place

    def make_deb(self, version: str, update_server: str) -> None:
        """Build the Debian package with the base of that version in it."""
        succeed(
            "vendor", "deb", "--version", version, "--source", self.source, "--bundle", self.bundle(f"base/{version}"),
            "--root", self.repository / "metadata/1.root.json", "--update-server", update_server,
            "--maintainer", "A Vendor <vendor@example.com>", "--output", self.deb, "--cache", self.folder / "cache",
        )  # fmt: skip
