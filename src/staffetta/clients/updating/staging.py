"""From a fetched bundle to a release on the disk: the vendor's signature, the floors, unpacked beside, checked.

Run in a process of its own (``run stage``), so that a client's sessions are not slowed by it and an idle client does
not hold the installer in memory. It ends with the process that started it, whose end closes its standard input.
"""

import os
import tempfile
import threading
from datetime import datetime
from pathlib import Path

from staffetta.clients.errors import NotSetUp
from staffetta.clients.installation import ROOT_FILE, TRUST, newest
from staffetta.clients.updating.starting import RELEASES
from staffetta.kernel.errors import Refused
from staffetta.packages import parse_version
from staffetta.releases import ReleaseTree, open_client_bundle


class OlderClient(Refused):
    """The bundle's client is not newer than the one that runs."""

    code = "older-client"


class OtherClient(Refused):
    """The bundle holds another version than the site said."""

    code = "other-client"


def stage(root: Path, bundle_file: Path, version: str, now: datetime) -> None:
    """Put the version that the site named beside the running one; what the vendor did not sign is never unpacked.

    ``now`` is the trusted time that expiry is judged by. Raises what ``releases`` raises, ``OlderClient``,
    ``OtherClient``.
    """
    trusted = root / ROOT_FILE
    if not trusted.is_file():
        raise NotSetUp(f"{trusted}, the vendor's root of trust, is missing; install this client anew.")
    bundle = open_client_bundle(bundle_file, root / TRUST, trusted.read_bytes(), now)
    info = newest(bundle.infos)
    if str(info.version) != version:
        raise OtherClient(f"The site named the client {version}, but its bundle holds {info.version}.")
    tree = ReleaseTree(root / RELEASES)
    current = tree.current()
    if current is not None and info.version <= current:
        raise OlderClient(f"The client {info.version} is not newer than {current}, which runs here.")
    tree.prune({parse_version(version)})
    with tempfile.TemporaryDirectory(prefix=".package-", dir=bundle_file.parent) as folder:
        package = Path(folder) / "client.tar.zst"
        bundle.extract(info, package)
        tree.stage(package, info)
    tree.check(info.version)


def end_with_parent() -> None:
    """End this process when its standard input closes: nobody waits for its work any more."""

    def wait() -> None:
        while os.read(0, 1024):  # not sys.stdin, whose lock may not be held when the interpreter ends
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
