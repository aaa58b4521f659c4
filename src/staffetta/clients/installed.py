"""A Jump Client on its computer: who it is, which site it belongs to, which of its releases runs.

<state>/client.key    32 secret bytes (Ed25519), mode 0600
<state>/client.json   id, name, the site's identity key, addresses and newest statement
<state>/releases/     <version>/ … and current ->
<state>/mode.json     whether it is active or passive, as the site said last
<state>/update.json   the last answer to the update question
<state>/settings.toml optional, section [clients]
"""

import dataclasses
import importlib.metadata
import platform
import sys
from pathlib import Path
from typing import Any, Final

from staffetta.clients.errors import NotSetUp, UnreadableAnswer
from staffetta.clients.settings import ClientSettings
from staffetta.clients.state_directory import StateDirectory
from staffetta.kernel.settings import load_section
from staffetta.wire.addresses import AddressBook
from staffetta.wire.fields import from_base64url, to_base64url
from staffetta.wire.identity import SigningKey
from staffetta.wire.vocabulary import ClientMode

KEY_FILE: Final = "client.key"
CLIENT_FILE: Final = "client.json"
MODE_FILE: Final = "mode.json"
UPDATE_FILE: Final = "update.json"
SETTINGS_FILE: Final = "settings.toml"
RELEASES: Final = "releases"
MANIFEST_FILE: Final = "manifest.json"


@dataclasses.dataclass(frozen=True, slots=True)
class SiteFacts:
    """What is stored of the site: its identity key (32 bytes), the first addresses, the newest statement."""

    key: bytes
    addresses: tuple[str, ...]
    statement: str | None

    def book(self) -> AddressBook:
        """Return the address book that starts from these."""
        return AddressBook(self.key, self.addresses, self.statement)

    def to_json(self) -> dict[str, Any]:
        """Return the stored form."""
        return {"key": to_base64url(self.key), "addresses": list(self.addresses), "statement": self.statement}

    @classmethod
    def from_json(cls, value: object, path: Path) -> "SiteFacts":
        """Read the stored form; ``path`` names the file in the error."""
        try:
            assert isinstance(value, dict)
            key, addresses, statement = value["key"], value["addresses"], value["statement"]
            return cls(from_base64url(key), tuple(str(address) for address in addresses), statement)
        except (AssertionError, KeyError, TypeError, ValueError, AttributeError):
            raise UnreadableAnswer(f"{path} is damaged; restore it, or set this client up anew.") from None


@dataclasses.dataclass(frozen=True, slots=True)
class InstalledClient:
    """An enrolled Jump Client."""

    state: StateDirectory
    id: str
    name: str
    key: SigningKey
    site: SiteFacts
    settings: ClientSettings
    mode: ClientMode = ClientMode.ACTIVE

    def remember_mode(self, mode: ClientMode) -> None:
        """Store the mode for the next start. In a file of its own: a release that knows no modes leaves it alone."""
        store_mode(self.state, mode)

    def remember(self, statement: str) -> None:
        """Store a newer statement of the site for the next start."""
        site = dataclasses.replace(self.site, statement=statement)
        self.state.write(CLIENT_FILE, _client_file(self.id, self.name, site))


def load(root: Path) -> InstalledClient:
    """Return the client enrolled in a folder. Raises NotSetUp, or UnsafeFile if others could read its key."""
    state = StateDirectory(root)
    if not state.exists(CLIENT_FILE):
        raise NotSetUp(f"{root} holds no enrolled Jump Client; run: staffetta jump-client enrol --state {root} …")
    stored = state.read(CLIENT_FILE)
    path = root / CLIENT_FILE
    identity, name = stored.get("id"), stored.get("name")
    if not isinstance(identity, str) or not isinstance(name, str):
        raise UnreadableAnswer(f"{path} is damaged; restore it, or set this client up anew.")
    site = SiteFacts.from_json(stored.get("site"), path)
    settings = load_section(ClientSettings, root / SETTINGS_FILE, "clients")
    mode = ClientMode.ACTIVE
    if state.exists(MODE_FILE) and state.read(MODE_FILE).get("mode") == ClientMode.PASSIVE:
        mode = ClientMode.PASSIVE
    return InstalledClient(state, identity, name, state.key(KEY_FILE), site, settings, mode)


def store(state: StateDirectory, identity: str, name: str, site: SiteFacts) -> None:
    """Write down who the site says this client is."""
    state.write(CLIENT_FILE, _client_file(identity, name, site))


def store_mode(state: StateDirectory, mode: ClientMode) -> None:
    """Write down which mode the site says this client is in."""
    state.write(MODE_FILE, {"format": 1, "mode": mode.value})


def running_version() -> str:
    """Return the version of the release this program runs from; outside a release the distribution's."""
    release = Path(sys.prefix).resolve()
    if (release / MANIFEST_FILE).is_file():
        return release.name
    return importlib.metadata.version("staffetta")


def platform_facts() -> dict[str, str]:
    """Return what the site is told about this computer."""
    return {"system": platform.system(), "release": platform.release(), "machine": platform.machine()}


def _client_file(identity: str, name: str, site: SiteFacts) -> dict[str, Any]:
    return {"format": 1, "id": identity, "name": name, "site": site.to_json()}
