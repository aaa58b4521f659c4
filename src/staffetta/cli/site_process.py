"""How a command works on the site's data: Django loaded for one appliance, and the rights of the site's own user."""

import encodings.idna  # noqa: F401 - names of hosts are encoded by it, and it is looked for only then
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import click
import django

from staffetta.control.paths import AppliancePaths, read_description
from staffetta.kernel.errors import NotFound, Refused, StaffettaError


class NoSite(NotFound):
    """The appliance has no site yet."""

    code = "no-site"


class NotTheOwner(Refused):
    """The site's data belongs to another user."""

    code = "not-the-owner"


@dataclass(frozen=True, slots=True)
class SiteUser:
    """Whom the site's data belongs to."""

    uid: int
    gid: int


def site_in(folder: Path) -> tuple[AppliancePaths, SiteUser]:
    """The appliance in a folder, and whose its site is. Raises ``NoSite``, ``NotTheOwner``, as ``read_description``."""
    paths = AppliancePaths(folder.absolute())
    read_description(paths)
    return paths, _owner_of(paths.site)


def set_up_site(folder: Path) -> SiteUser:
    """Load Django for the appliance's site; only now can what has tables be imported.

    Import all of it before root's rights go: the site's user need not be able to read the interpreter that root has
    started. Raises ``NoSite``, ``NotTheOwner`` and what ``read_description`` raises.
    """
    paths, owner = site_in(folder)
    os.environ["STAFFETTA_APPLIANCE"] = str(paths.root)
    _name_installed_version(paths)
    os.environ["DJANGO_SETTINGS_MODULE"] = "staffetta.site.web.settings"
    django.setup()
    from django.db import connections

    connections.all()
    return owner


def become(user: SiteUser) -> None:
    """Work as the owner of the site's data for good, so that nothing in it ends up belonging to root."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(user.gid)
        os.setuid(user.uid)


def working_as(user: SiteUser, work: Callable[[], None]) -> None:
    """Do ``work`` as the site's user while this process keeps its own rights, for files of whoever gave the command.

    As root the work is done in a child, which says what it has to say itself; when it fails, this process leaves with
    its exit status.
    """
    if os.geteuid() != 0:
        work()
        return
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _in_child(user, work)
    _, ended = os.waitpid(child, 0)
    status = os.waitstatus_to_exitcode(ended)
    if status != 0:
        sys.exit(status if status > 0 else 128 - status)


def _in_child(user: SiteUser, work: Callable[[], None]) -> NoReturn:
    status = 1
    try:
        become(user)
        work()
        status = 0
    except StaffettaError as error:
        click.echo(f"staffetta: {error.message}", err=True)
        status = error.exit_status
    except KeyboardInterrupt:
        status = 130
    except BaseException:
        sys.excepthook(*sys.exc_info())
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _name_installed_version(paths: AppliancePaths) -> None:
    """Make the version of the site the installed one: this interpreter may be another release's."""
    try:
        os.environ["STAFFETTA_VERSION"] = (paths.releases("site") / "current").readlink().name
    except OSError:
        return


def _owner_of(site: Path) -> SiteUser:
    """Return whose the site's data is. Raises ``NoSite`` or, when not root, ``NotTheOwner``."""
    try:
        owner = site.stat()
        present = all((site / name).exists() for name in ("site.sqlite3", "secret.key"))
    except FileNotFoundError:
        present = False
    except PermissionError:
        raise NotTheOwner(f"{site} cannot be read: run this as root or as the site's own user.") from None
    if not present:
        raise NoSite(f"{site} holds no site yet: install one first.")
    if os.geteuid() not in (0, owner.st_uid):
        raise NotTheOwner(f"{site} belongs to another user: run this as root or as the site's own user.")
    return SiteUser(owner.st_uid, owner.st_gid)
