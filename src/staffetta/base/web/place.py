"""Where base's pages keep their things: paths, secret key, and under which names they may be asked.

With no appliance in the environment (type checker, tests of single pages) a folder that goes with the process
stands in, so that the settings can be imported anywhere.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from django.core.management.utils import get_random_secret_key

from staffetta.control.paths import ApplianceDescription, AppliancePaths, read_description
from staffetta.kernel.files import sync_directory
from staffetta.kernel.ids import new_id
from staffetta.kernel.settings import load_section

_ALWAYS: Final = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True)
class PagesSettings:
    """`[appliance_pages]` of settings.toml.

    `names`: further host names and addresses under which `/appliance` may be asked, such as one of a NAT in front.
    """

    names: tuple[str, ...] = ()


def appliance_paths() -> AppliancePaths:
    """The paths of the appliance that the environment names, or of a folder that is removed with this process."""
    named = os.environ.get("STAFFETTA_APPLIANCE")
    if named:
        return AppliancePaths(Path(named))
    folder = Path(tempfile.mkdtemp(prefix="staffetta-pages-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "base").mkdir(mode=0o700)
    return AppliancePaths(folder)


def description(paths: AppliancePaths) -> ApplianceDescription | None:
    """What the appliance is called and where it listens; None where there is no appliance."""
    return read_description(paths) if paths.description.exists() else None


def hosts(paths: AppliancePaths, described: ApplianceDescription | None) -> list[str]:
    """The names and addresses under which the pages answer; others are refused (DNS rebinding)."""
    extra = load_section(PagesSettings, paths.settings, "appliance_pages").names
    if described is None:
        return [*_ALWAYS, *extra]
    known = (
        described.hostname,
        urlsplit(described.appliance_url).hostname or "",
        urlsplit(described.site_url).hostname or "",
        *(_host_of(address) for address in described.addresses),
    )
    return list(dict.fromkeys(bracketed(name) for name in _filled((*_ALWAYS, *known, *extra))))


def spool(paths: AppliancePaths) -> Path:
    """Where uploads are kept while they come in: on the disk of the packages, never in a small /tmp."""
    folder = paths.base / "spool"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def secret_key(path: Path) -> str:
    """The key that signs cookies and forms, kept in `path` (0600) and made at the first start.

    Two processes that start at once agree: whoever links the file first has made it, the other reads it.
    """
    if not path.exists():
        beside = path.with_name(f".{path.name}.{new_id()}")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(get_random_secret_key())
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(beside, path)
        except FileExistsError:
            pass  # the other process's key is the key
        finally:
            beside.unlink()
        sync_directory(path.parent)
    return path.read_text("ascii")


def bracketed(host: str) -> str:
    """An IPv6 address as it stands in a Host header; anything else unchanged."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _host_of(address: str) -> str:
    """The host of `host:port`."""
    return urlsplit(f"//{address}").hostname or ""


def _filled(names: Iterable[str]) -> list[str]:
    return [name for name in names if name]
