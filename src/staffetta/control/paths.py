"""Where things lie on an appliance, what it is, and what keeper tells a process about itself."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from staffetta.kernel.errors import InvalidInput, NotFound
from staffetta.kernel.hosts import canonical_host, canonical_place

_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_OPTIONAL = frozenset({"shared_address", "shared_interface"})
_HOSTS = frozenset({"hostname", "shared_address"})
_URLS = frozenset({"appliance_url", "site_url"})


class NotAnAppliance(NotFound):
    """There is no appliance at the place that was named."""

    code = "not-an-appliance"


class BadDescription(InvalidInput):
    """`appliance.json`, or the environment of a process, is not what it must be."""

    code = "bad-description"


@dataclass(frozen=True, slots=True)
class AppliancePaths:
    """The places of one appliance, all below its root."""

    root: Path

    def run(self, generation: str) -> Path:
        """The run directory of a generation: its sockets, open to its program's user and group."""
        return self.root / "run" / generation

    def private_socket(self, generation: str) -> Path:
        """Where a generation proves itself, before any public socket is given to it."""
        return self.run(generation) / "private.sock"

    @property
    def control_socket(self) -> Path:
        """Base's own local door, held by keeper."""
        return self.root / "run" / "control.sock"

    @property
    def site_door_socket(self) -> Path:
        """Base's local door for the site's pair job, held by keeper."""
        return self.root / "run" / "site-door.sock"

    def releases(self, program: str) -> Path:
        """The release directories of `base` or `site`, and `current`."""
        return self.root / "releases" / program

    def data(self, program: str) -> Path:
        """The data of `base` or `site`."""
        return self.root / program

    @property
    def base(self) -> Path:
        """Base's data; the site's user cannot read it."""
        return self.root / "base"

    @property
    def site(self) -> Path:
        """The site's data."""
        return self.root / "site"

    @property
    def certificates(self) -> Path:
        """Keys and chains: `appliance.pem`, `site.pem`."""
        return self.root / "certificates"

    @property
    def settings(self) -> Path:
        """What the machine's administrator set; need not exist."""
        return self.root / "settings.toml"

    @property
    def trust_root(self) -> Path:
        """The root of trust for packages that the appliance was delivered with."""
        return self.root / "root.json"

    @property
    def description(self) -> Path:
        """`appliance.json`, see `read_description`."""
        return self.root / "appliance.json"

    @property
    def keeper(self) -> Path:
        """Keeper's configuration and memory; root's only."""
        return self.root / "keeper"

    @property
    def logs(self) -> Path:
        """A file for each process: what it wrote to standard output and error."""
        return self.root / "logs"


@dataclass(frozen=True, slots=True)
class ApplianceDescription:
    """What an appliance is: fixed when it is made, readable by all its programs.

    `shared_address` follows the primary of a pair; base puts it on `shared_interface`, or leaves that to others. The
    last of `addresses` (host and port) is the appliance's own.
    """

    name: str
    hostname: str
    appliance_url: str
    site_url: str
    addresses: tuple[str, ...]
    update_server: str
    shared_address: str | None = None
    shared_interface: str | None = None

    @property
    def own_site_url(self) -> str:
        """Where this appliance's own site answers, whoever has the shared name; without the standard port."""
        return f"https://{self.addresses[-1].removesuffix(':443')}" if self.addresses else self.site_url

    def to_bytes(self) -> bytes:
        """The content of `appliance.json`; what is not set is not there."""
        body = {one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name) is not None}
        return json.dumps(body, indent=2).encode() + b"\n"


def read_description(paths: AppliancePaths) -> ApplianceDescription:
    """Read `appliance.json`, its IP addresses in canonical form. Raises NotAnAppliance and BadDescription."""
    try:
        raw = json.loads(paths.description.read_bytes())
    except FileNotFoundError:
        raise NotAnAppliance(f"{paths.root} holds no appliance; make one with `staffetta appliance init`.") from None
    except ValueError as error:
        raise BadDescription(f"{paths.description} is damaged: {error}") from error
    known = {one.name: raw.get(one.name) if isinstance(raw, dict) else None for one in fields(ApplianceDescription)}
    addresses = known.pop("addresses")
    texts = {name: value for name, value in known.items() if value is not None or name not in _OPTIONAL}
    wrong = [name for name, value in texts.items() if not isinstance(value, str) or not value]
    if not isinstance(addresses, list) or not all(isinstance(one, str) for one in addresses):
        wrong.append("addresses")
    if wrong:
        raise BadDescription(f"{paths.description}: {', '.join(wrong)} missing or not text.")
    assert isinstance(addresses, list)
    spelled = {name: _spelled(name, str(value)) for name, value in texts.items()}
    return ApplianceDescription(addresses=tuple(canonical_place(one) for one in addresses), **spelled)


def _spelled(name: str, text: str) -> str:
    """Older versions wrote an IP address as it was typed."""
    if name in _HOSTS:
        return canonical_host(text)
    return canonical_place(text) if name in _URLS else text


@dataclass(frozen=True, slots=True)
class ProcessEnvironment:
    """What keeper tells each process, and each one-shot task, by its environment."""

    generation: str
    program: str
    process: str
    version: str
    release: Path
    paths: AppliancePaths
    run: Path

    @classmethod
    def read(cls, environment: Mapping[str, str] | None = None) -> "ProcessEnvironment":
        """Read it from the environment given, by default this process's. Raises BadDescription when not keeper's."""
        given = os.environ if environment is None else environment
        names = ("GENERATION", "PROGRAM", "PROCESS", "VERSION", "RELEASE", "APPLIANCE", "RUN")
        values = {name: given.get(f"STAFFETTA_{name}", "") for name in names}
        missing = [f"STAFFETTA_{name}" for name, value in values.items() if not value]
        if missing:
            raise BadDescription(f"{', '.join(missing)} not set: this program is started by keeper.")
        if not _NAME.fullmatch(values["PROGRAM"]) or not _NAME.fullmatch(values["PROCESS"]):
            raise BadDescription("STAFFETTA_PROGRAM and STAFFETTA_PROCESS must be lower-case names.")
        return cls(
            generation=values["GENERATION"],
            program=values["PROGRAM"],
            process=values["PROCESS"],
            version=values["VERSION"],
            release=Path(values["RELEASE"]),
            paths=AppliancePaths(Path(values["APPLIANCE"])),
            run=Path(values["RUN"]),
        )
