"""`staffetta backup`: make a backup of the site on this machine, and restore one."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import click

from staffetta.cli.installed_site import hand_on
from staffetta.cli.options import appliance_option, person_at_terminal, yes_option
from staffetta.cli.site_process import set_up_site, site_in, working_as
from staffetta.kernel.clock import format_time
from staffetta.kernel.errors import InvalidInput, NotFound
from staffetta.kernel.files import appearing_whole
from staffetta.kernel.sizes import spoken_size
from staffetta.site.backup.age import is_age

if TYPE_CHECKING:
    from staffetta.site.backup.service import Manifest, Restored


class Unreadable(NotFound):
    """A file that was named cannot be read or written."""

    code = "unreadable"


class Contradiction(InvalidInput):
    """Two options exclude each other, or one that is needed here is missing."""

    code = "contradiction"


BACKUP: Final = click.Path(path_type=Path, dir_okay=False, readable=False)
"""Whether it can be read is seen when it is opened, by whoever may."""
_GUESSED: Final = 12
"""Passwords shorter than that are warned of."""
_HANDED: Final = ("password_file", "no_password", "yes", "opened", "password_at")
"""What has been settled when the installed release's command is asked to do the work."""


def _opened_options(command: Callable[..., None]) -> Callable[..., None]:
    """Where the file and the password are that another release's command has opened, as the user who gave it."""
    for name, what in (("password-at", "the password"), ("opened", "the file")):
        command = click.option(
            f"--{name}",
            name.replace("-", "_"),
            type=click.IntRange(min=3),
            hidden=True,
            help=f"The descriptor at which another release's command has opened {what}.",
        )(command)
    return command


@click.group()
def group() -> None:
    """Make a backup of the site on this machine, and restore one."""


@group.command("create")
@click.argument("file", type=BACKUP)
@appliance_option
@click.option("--full", is_flag=True, help="With recordings and every file of the file store.")
@click.option("--without-logged-history", is_flag=True, help="Without session reports, recordings and the audit log.")
@click.option(
    "--password-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file whose first line is the password; else it is asked for.",
)
@click.option("--no-password", is_flag=True, help="Do not encrypt. Whoever can read the file can act as this site.")
@_opened_options
def create_command(
    file: Path,
    folder: Path,
    full: bool,
    without_logged_history: bool,
    password_file: Path | None,
    no_password: bool,
    opened: int | None,
    password_at: int | None,
) -> None:
    """Write a backup of the site to FILE, beside whatever the site is doing.

    It holds all configuration and logged data; of the file store only files under 200 KB and at most 50, and no
    recordings, unless it is --full. FILE appears when it is whole, and replaces one of that name. A lost password
    cannot be recovered: without it the backup cannot be restored.
    """

    def create(destination: BinaryIO, password: bytes | None) -> None:
        actor = person_at_terminal()
        user = set_up_site(folder)
        from staffetta.site.backup import service
        from staffetta.site.backup.work import full_disk_said

        wanted = service.Wanted(full=full, logged_history=not without_logged_history)
        with full_disk_said():
            working_as(user, lambda: _tell_made(file, service.create(destination, wanted, password, actor)))

    if opened is not None:
        with os.fdopen(opened, "wb") as handed:
            create(handed, _handed_password(password_at))
        return
    if no_password and password_file is not None:
        raise Contradiction("Give either --password-file or --no-password.")
    site_in(folder)
    password = None if no_password else _new_password(password_file)
    if password is None:
        click.echo(
            "Warning: without a password anybody who can read the file can read the site's secret keys in it, and act "
            "as this site towards its clients. Keep it like a key.",
            err=True,
        )
    try:
        with appearing_whole(file) as destination:
            if not _handed_on(folder, destination, password):
                create(destination, password)
    except OSError as error:
        raise Unreadable(f"{file} cannot be written: {error.strerror}.") from None


@group.command("restore")
@click.argument("file", type=BACKUP)
@appliance_option
@click.option(
    "--password-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file whose first line is the password; else it is asked for when the backup has one.",
)
@yes_option
@_opened_options
def restore_command(
    file: Path, folder: Path, password_file: Path | None, yes: bool, opened: int | None, password_at: int | None
) -> None:
    """Put the backup in FILE back: the site's configuration becomes that of the backup, its history is added.

    What is configured and not in the backup is removed. Consoles in a terminal are signed out, and their sessions end.

    Everything is checked before anything is changed, and then applied at once. The database as it was is copied first;
    the command prints where.
    """

    def restore(source: BinaryIO, password: bytes | None) -> None:
        actor = person_at_terminal()
        user = set_up_site(folder)
        from staffetta.site.backup import service

        working_as(user, lambda: _tell_restored(service.restore(source, password, actor)))

    if opened is not None:
        with os.fdopen(opened, "rb") as handed:
            restore(handed, _handed_password(password_at))
        return
    try:
        source = file.open("rb")
    except OSError as error:
        raise Unreadable(f"{file} cannot be read: {error.strerror}.") from None
    with source:
        password = _password_of(password_file, encrypted=is_age(source))
        if not yes:
            click.confirm(
                "The site's users, Jump Clients, files and other configuration become those of the backup: what is not "
                "in it is removed. Consoles in a terminal are signed out, and their sessions end. Go on?",
                abort=True,
                err=True,
            )
        if not _handed_on(folder, source, password):
            restore(source, password)


def _handed_on(folder: Path, file: BinaryIO, password: bytes | None) -> bool:
    """Whether the installed release's own command has done it, with the file and the password of this one."""
    extra = [f"--opened={file.fileno()}"]
    if password is None:
        return hand_on(folder, without=_HANDED, extra=extra, files=[file.fileno()])
    with os.fdopen(os.memfd_create("password"), "w+b", buffering=0) as kept:  # never on a disk
        kept.write(password)
        kept.seek(0)
        extra.append(f"--password-at={kept.fileno()}")
        return hand_on(folder, without=_HANDED, extra=extra, files=[file.fileno(), kept.fileno()])


def _handed_password(descriptor: int | None) -> bytes | None:
    if descriptor is None:
        return None
    with os.fdopen(descriptor, "rb") as kept:
        return kept.read()


def _new_password(file: Path | None) -> bytes:
    if file is not None:
        password = _read_password(file)
    elif sys.stdin.isatty():
        asked: str = click.prompt("Backup password", hide_input=True, confirmation_prompt=True, err=True)
        password = asked.encode()
    else:
        raise Contradiction("A password is asked for in a terminal only: give --password-file or --no-password.")
    if 0 < len(password.decode(errors="replace")) < _GUESSED:
        click.echo(
            f"Warning: a password of fewer than {_GUESSED} characters can be guessed by whoever gets the file, and the "
            "site's secret keys are in it.",
            err=True,
        )
    return password


def _password_of(file: Path | None, *, encrypted: bool) -> bytes | None:
    if file is not None:
        return _read_password(file)
    if not encrypted:
        return None
    if not sys.stdin.isatty():
        raise Contradiction("The backup's password is asked for in a terminal only: give --password-file.")
    asked: str = click.prompt("Backup password", hide_input=True, err=True)
    return asked.encode()


def _read_password(file: Path) -> bytes:
    """The first line, as `age` and an editor would have it."""
    try:
        with file.open("rb") as lines:
            return lines.readline().rstrip(b"\r\n")
    except OSError as error:
        raise Unreadable(f"{file} cannot be read: {error.strerror}.") from None


def _tell_made(file: Path, said: "Manifest") -> None:
    click.echo(f"Backup:        {file}")
    click.echo(f"Made:          {format_time(said.made_at)}, version {said.site_version}")
    click.echo(f"Contents:      {spoken_size(said.content_bytes)}")
    _tell_contents(said)
    for one in said.files_left_out:
        click.echo(f"Left out:      {one.name} ({one.size} bytes)")


def _tell_contents(said: "Manifest") -> None:
    """What it holds, which a backup of an older release does not say, and what was left out."""
    holds = said.holds
    if holds is not None:
        users, clients = _count(holds.users, "user"), _count(holds.jump_clients, "Jump Client")
        click.echo(f"Configuration: {users}, {clients}, and all settings")
        if said.records is not None:
            click.echo(f"History:       {_count(holds.sessions, 'session')}, and the audit log")
            click.echo(f"Recordings:    {_count(holds.recordings, 'session')}")
        click.echo(f"Files:         {holds.files}")
    for sentence in said.left_out:
        click.echo(f"Note:          {sentence}")


def _count(number: int, one: str) -> str:
    return f"{number} {one if number == 1 else f'{one}s'}"


def _tell_restored(done: "Restored") -> None:
    said = done.manifest
    click.echo(f"Restored:      backup of {format_time(said.made_at)}, version {said.site_version}")
    _tell_contents(said)
    if done.removed:
        click.echo(f"Removed:       {done.removed} (users, Jump Clients, tokens, files, settings), not in the backup")
    click.echo(f"Added:         {_count(done.records, 'record')} of sessions and the audit log")
    if done.former is not None:
        click.echo(f"Before it:     {done.former}")
    for name in done.files_without_bytes:
        click.echo(f"Without bytes: {name}: the backup does not hold what is in this file; upload it again.")
    if done.identity_changed:
        click.echo("The site's identity is now the backup's. Restart the appliance, so that its clients find it.")
