"""Builds the Debian package of an appliance: keeper with its unit, the command, and what a vendor gives along.

What it installs belongs to root and never updates itself: the environment in ``/usr/lib/staffetta``, and in its
``share`` the vendor's root of trust, the first base and where updates come from (``control.delivered`` reads them).
Layout and scripts after the Debian Policy Manual, chapters 5 (control), 6 (maintainer scripts) and 9.3 (services).
"""

import re
import shutil
import string
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from staffetta.control.delivered import Delivered
from staffetta.kernel.files import appearing_whole
from staffetta.packages import Version
from staffetta.vendor.environment import dependencies, run
from staffetta.vendor.errors import BuildFailed
from staffetta.vendor.interpreter import Interpreter, find_interpreter
from staffetta.vendor.own_part import COMMAND, copy_source, put_own_part, start_of

HOME: Final = "usr/lib/staffetta"
_PARTS: Final = Path(__file__).with_name("debian")
_UNIT: Final = "staffetta-keeper.service"
_STARTS: Final = {"keeper": start_of("staffetta.keeper"), "staffetta": COMMAND}
_COMPLETIONS: Final[dict[str, type[ShellComplete]]] = {
    "usr/share/bash-completion/completions/staffetta": BashComplete,
    "usr/share/zsh/vendor-completions/_staffetta": ZshComplete,
    "usr/share/fish/vendor_completions.d/staffetta.fish": FishComplete,
}
_PRE_RELEASE: Final = re.compile(r"(a|b|rc|\.dev)(?=\d)")


@dataclass(frozen=True, slots=True)
class DebOrder:
    """What to build. ``bundle`` holds the first base, ``root`` is the root of trust; ``maintainer``: name, address."""

    version: Version
    source: Path
    output: Path
    bundle: Path
    root: Path
    update_server: str
    maintainer: str
    python: Path | None = None
    cache: Path | None = None


def build_deb(order: DebOrder) -> None:
    """Write the package file ``order.output``; raises ``BuildFailed``, and leaves nothing half written."""
    version = debian_version(order.version)
    if shutil.which("dpkg-deb") is None:
        raise BuildFailed("A Debian package is built by dpkg-deb: do this on Debian, or install the package dpkg.")
    if re.fullmatch(r"[^<>\n]+ <[^<>@\s]+@[^<>@\s]+>", order.maintainer) is None:
        raise BuildFailed(f"{order.maintainer!r} is no maintainer: write it as `Name <name@example.com>`.")
    for given in (order.bundle, order.root):
        if not given.is_file():
            raise BuildFailed(f"There is no file {given}.")
    interpreter = find_interpreter(order.python)
    if interpreter.path.parent != Path("/usr/bin"):
        raise BuildFailed(f"{interpreter.path} belongs to no Debian package: name one of /usr/bin with --python.")
    with tempfile.TemporaryDirectory(prefix="staffetta-deb-") as scratch:
        work = Path(scratch)
        tree = work / "tree"
        _fill_home(order, interpreter, work, tree / HOME)
        _fill_system(tree)
        _write_control(order, version, interpreter, tree)
        whole = work / "whole.deb"
        run(
            ["dpkg-deb", "-Zzstd", "-z9", "--root-owner-group", "--build", tree, whole],
            "put the Debian package together",
        )
        with appearing_whole(order.output, 0o644) as package, whole.open("rb") as built:
            shutil.copyfileobj(built, package)


def debian_version(version: Version) -> str:
    """The version as Debian orders it: what comes before a release is marked by a tilde (Policy, 5.6.12).

    Raises ``BuildFailed`` for what Debian has no word for: an epoch, a local version.
    """
    if not re.fullmatch(r"[0-9a-z.]+", str(version)):
        raise BuildFailed(f"{version} cannot be the version of a Debian package: give numbers with points.")
    return _PRE_RELEASE.sub(r"~\1", str(version)).replace("~.dev", "~dev")


def _fill_home(order: DebOrder, interpreter: Interpreter, work: Path, home: Path) -> None:
    source = copy_source(order.source, work / "source")
    environment = dependencies(source / "locks" / "base.txt", interpreter, order.cache or work / "cache")
    shutil.copytree(environment.root, home, symlinks=True)
    put_own_part(source, interpreter, home, work / "wheels", _STARTS)
    Delivered.write(home, order.root, order.bundle, order.update_server)


def _fill_system(tree: Path) -> None:
    links = tree / "usr/bin"
    links.mkdir(parents=True)
    (links / "staffetta").symlink_to(f"../../{HOME}/bin/staffetta")
    for name, folder in ((_UNIT, "usr/lib/systemd/system"), ("copyright", "usr/share/doc/staffetta")):
        (tree / folder).mkdir(parents=True)
        shutil.copyfile(_PARTS / name, tree / folder / name)
    for place, kind in _COMPLETIONS.items():
        path = tree / place
        path.parent.mkdir(parents=True)
        path.write_text(kind(click.Group("staffetta"), {}, "staffetta", "_STAFFETTA_COMPLETE").source())
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def _write_control(order: DebOrder, version: str, interpreter: Interpreter, tree: Path) -> None:
    architecture = subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
    ).stdout.strip()
    fields = {
        "version": version,
        "architecture": architecture,
        "maintainer": order.maintainer,
        "kilobytes": sum(path.lstat().st_size for path in tree.rglob("*")) // 1024,
        "python": interpreter.path.name,
    }
    control = tree / "DEBIAN"
    control.mkdir(mode=0o755)
    (control / "control").write_text(string.Template((_PARTS / "control").read_text()).substitute(fields))
    for name in ("postinst", "prerm", "postrm"):
        shutil.copyfile(_PARTS / name, control / name)
        (control / name).chmod(0o755)
