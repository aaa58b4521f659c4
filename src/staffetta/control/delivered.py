"""What the operating system's package gives to an appliance: its folder, root of trust, first base, update server.

Lies below the environment that the command runs from, and belongs to root. In a checkout there is nothing of it.
"""

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from staffetta.kernel.errors import InvalidInput

BASE_ACCOUNT: Final = "staffetta-base"
SITE_ACCOUNT: Final = "staffetta-site"
"""The system accounts that the package makes, and that base and the site run under."""
START: Final = "systemctl start staffetta-keeper"
APPLIANCE: Final = Path("/var/lib/staffetta")
_FOLDER: Final = Path("share/staffetta")
_NAME: Final = "delivered.json"


class BadDelivery(InvalidInput):
    """What the operating system's package brought along cannot be read."""

    code = "bad-delivery"


@dataclass(frozen=True, slots=True)
class Delivered:
    """Where the things are. ``update_server`` is a URL."""

    root: Path
    bundle: Path
    update_server: str

    @classmethod
    def is_here(cls) -> bool:
        """Whether this process runs from the operating system's package."""
        return (Path(sys.prefix) / _FOLDER).is_dir()

    @classmethod
    def read(cls, prefix: Path | None = None) -> "Delivered | None":
        """What came with the environment at ``prefix`` (this process's own by default), None if nothing did.

        Raises ``BadDelivery``.
        """
        folder = (prefix or Path(sys.prefix)) / _FOLDER
        try:
            said = json.loads((folder / _NAME).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise BadDelivery(f"{folder / _NAME} cannot be read ({error}): install the package again.") from None
        server = said.get("update_server") if isinstance(said, dict) else None
        if not isinstance(server, str):
            raise BadDelivery(f"{folder / _NAME} names no update server: install the package again.")
        return cls(folder / "root.json", folder / "base.bundle", server)

    @classmethod
    def write(cls, prefix: Path, root: Path, bundle: Path, update_server: str) -> None:
        """Put the things below an environment that is being built."""
        folder = prefix / _FOLDER
        folder.mkdir(parents=True)
        shutil.copyfile(root, folder / "root.json")
        shutil.copyfile(bundle, folder / "base.bundle")
        (folder / _NAME).write_text(json.dumps({"update_server": update_server}) + "\n")
