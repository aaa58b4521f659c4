"""Putting a Jump Client on a computer: the site's bundle, the vendor's signature, a release on the disk, enrolment.

Whether the bundle may run is decided by the signatures alone, from the root of trust given. A root that came from the
vendor, or was compared with the vendor's, keeps a site that was broken into from making its own release run here. A
root taken from the site and compared with nothing is only as good as the site was when it was taken.
"""

import dataclasses
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from staffetta.clients import enrolment, installed
from staffetta.clients.errors import NotSetUp
from staffetta.clients.state_directory import StateDirectory
from staffetta.kernel.files import write_atomically
from staffetta.packages import PackageInfo
from staffetta.releases import ReleaseTree, open_client_bundle
from staffetta.wire.enrolment import InstallerToken
from staffetta.wire.vocabulary import ClientMode

BUNDLE_PATH = "/client/bundle"
TRUST = "trust"
ROOT_FILE = "root.json"


@dataclasses.dataclass(frozen=True, slots=True)
class Installed:
    """What was put there: the client's id and mode, the release's version, and the command that runs it."""

    client: str
    mode: ClientMode
    version: str
    command: tuple[str, ...]


async def install(
    state: StateDirectory,
    text: str,
    token: InstallerToken,
    name: str,
    root: bytes,
    now: datetime,
    tell: Callable[[str], None],
    mode: ClientMode | None = None,
) -> Installed:
    """Fetch, verify, stage and flip the release that the site hands out, then enrol.

    ``root`` is the vendor's root of trust, ``now`` the trusted time that expiry is judged by, ``tell`` gets a sentence
    for each step, ``mode`` None lets the token decide. Raises what ``releases`` raises for a bundle that is not the
    vendor's.
    """
    with tempfile.TemporaryDirectory(prefix=".installing-", dir=state.root) as folder:
        bundle_file = Path(folder) / "clients.bundle"
        network, _ = enrolment.network_for(token)
        async with network:
            peer = await network.trusted_peer()
            tell(f"Site found at {peer.address}; fetching its client.")
            await network.download(BUNDLE_PATH, peer, bundle_file)
        bundle = open_client_bundle(bundle_file, state.root / TRUST, root, now)
        info = newest(bundle.infos)
        tell(f"Client {info.version} is signed by the vendor; unpacking.")
        package = Path(folder) / "client.tar.zst"
        bundle.extract(info, package)
        tree = ReleaseTree(state.root / installed.RELEASES)
        tree.stage(package, info)
    tree.check(info.version)
    tree.flip(info.version)
    write_atomically(state.root / ROOT_FILE, root, 0o644)
    enrolled = await enrolment.enrol(state, text, token, name, mode)
    run = state.root.resolve() / installed.RELEASES / "current" / "bin" / "run"
    command = (str(run), "jump-client", "--state", str(state.root.resolve()))
    return Installed(enrolled.client, enrolled.mode, str(info.version), command)


def newest(infos: tuple[PackageInfo, ...]) -> PackageInfo:
    """Return the newest client in a bundle. Raises NotSetUp if it holds none."""
    if not infos:
        raise NotSetUp("The site hands out no client that the vendor has signed; its release lacks one.")
    return max(infos, key=lambda info: info.version)
