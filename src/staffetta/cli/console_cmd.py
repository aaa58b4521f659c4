"""`staffetta console`: the representative console in a terminal."""

import asyncio
import json
import logging
from pathlib import Path
from urllib.parse import urlsplit

import click

from staffetta.cli.options import FILE
from staffetta.clients.console import account
from staffetta.clients.console.carrying import Carried, fetch_file, send_file
from staffetta.clients.console.desk import desk
from staffetta.clients.console.events import EventFile
from staffetta.clients.console.sitting import connect
from staffetta.clients.console.terminal import Terminal
from staffetta.clients.runtime.network import Network
from staffetta.kernel.clock import utc_now
from staffetta.wire.messages import ListedClient
from staffetta.wire.vocabulary import ClientMode

HTTPS_PORT = 443

state_option = click.option(
    "--state",
    "root",
    type=click.Path(path_type=Path),
    default=account.usual_state,
    show_default="~/.config/staffetta",
    help="Where this console keeps its key and credential.",
)


events_option = click.option(
    "--events",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="Write what happens to the session to this file, as JSON lines.",
)


@click.group()
def group() -> None:
    """The representative console in a terminal."""
    # The terminal belongs to the session: nothing is logged there, neither ours nor a library's warnings.
    logging.getLogger().addHandler(logging.NullHandler())


@group.command("sign-in")
@click.option("--site", required=True, help="The site's address: https://HOST:PORT")
@click.option("--identity", required=True, help="The fingerprint of the site's identity, as its administrator sees it.")
@click.option("--user", default=None, help="The account's user name; asked for if not given.")
@click.option(
    "--password-file",
    type=FILE,
    default=None,
    help="Read the password from the first line of this file instead of asking.",
)
@state_option
def sign_in_command(site: str, identity: str, user: str | None, password_file: Path | None, root: Path) -> None:
    """Sign in once; the console may then come online for 12 hours.

    \b
    Example:
      staffetta console sign-in --site https://support.example.com --identity 3f9a...
    """

    def ask() -> tuple[str, str]:
        name = user or click.prompt("User name", err=True)
        if password_file is not None:
            return name, password_file.read_text("utf-8").split("\n", 1)[0].rstrip("\r")
        return name, click.prompt("Password", hide_input=True, err=True)

    signed_in = asyncio.run(account.sign_in(root, _address(site), identity, ask, utc_now))
    click.echo(f"Signed in as {signed_in.rep}.")


@group.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs: a JSON array.")
@state_option
def list_command(as_json: bool, root: Path) -> None:
    """List the computers with a Jump Client."""
    computers = asyncio.run(_computers(root))
    if as_json:
        click.echo(json.dumps([_row(computer) for computer in computers], indent=1))
        return
    width = max((len(computer.name) for computer in computers), default=4)
    for computer in computers:
        click.echo(f"{computer.name:<{width}}  {computer.version or '-':<10}  {_presence(computer)}  {computer.id}")
    if not computers:
        click.echo("No computer has a Jump Client yet.")


@group.command("connect")
@click.argument("client")
@events_option
@state_option
@click.pass_context
def connect_command(context: click.Context, client: str, events: Path | None, root: Path) -> None:
    """Open a shell on CLIENT (name or id). Leave with Enter, ~ and a dot; else the status is the remote shell's.

    A passive computer is woken; if that does not reach it, the session begins when it checks in, or Ctrl-C cancels.

    \b
    Example:
      staffetta console connect till-7
    """
    signed_in = account.load(root, utc_now())
    with EventFile(events) as event_file:
        status = asyncio.run(connect(signed_in, client, Terminal(), event_file))
    context.exit(status)


@group.command("send")
@click.argument("computer")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--to", default=None, help="Where to store it there; what is relative is below the user's home folder.")
@click.option("--overwrite", is_flag=True, help="Replace a file that is there already.")
@click.option("--limit", type=click.FloatRange(min=0.001), default=None, help="At most this many megabytes a second.")
@events_option
@state_option
def send_command(
    computer: str, file: Path, to: str | None, overwrite: bool, limit: float | None, events: Path | None, root: Path
) -> None:
    """Send FILE to COMPUTER (name or id). It is there under its name only when it is whole; Ctrl-C cancels.

    \b
    Example:
      staffetta console send till-7 prices.csv --to /srv/prices.csv --limit 2
    """
    signed_in = account.load(root, utc_now())
    rate = None if limit is None else limit * 1_000_000
    with EventFile(events) as event_file:
        sent = asyncio.run(send_file(signed_in, computer, file, to, overwrite, event_file, rate))
    _echo_carried(sent, f"{sent.computer}:{sent.outcome.path}")


@group.command("fetch")
@click.argument("computer")
@click.argument("path")
@click.option(
    "--to", type=click.Path(path_type=Path), default=None, help="Where to store it here; else its name, in this folder."
)
@click.option("--overwrite", is_flag=True, help="Replace a file that is there already.")
@events_option
@state_option
def fetch_command(computer: str, path: str, to: Path | None, overwrite: bool, events: Path | None, root: Path) -> None:
    """Fetch the file at PATH from COMPUTER (name or id). It is here only when it is whole; Ctrl-C cancels.

    \b
    Example:
      staffetta console fetch till-7 /var/log/syslog --to syslog.txt
    """
    signed_in = account.load(root, utc_now())
    here = to if to is not None else Path(Path(path).name)
    with EventFile(events) as event_file:
        fetched = asyncio.run(fetch_file(signed_in, computer, path, here, overwrite, event_file))
    _echo_carried(fetched, str(fetched.local))


@group.command("sign-out")
@state_option
def sign_out_command(root: Path) -> None:
    """Forget the credential and the key on this computer."""
    account.sign_out(root)
    click.echo("Signed out.")


async def _computers(root: Path) -> tuple[ListedClient, ...]:
    signed_in = account.load(root, utc_now())
    async with Network(signed_in.site.book(), signed_in.remember) as network, desk(network, signed_in) as place:
        return await place.computers()


def _echo_carried(carried: Carried, place: str) -> None:
    sha256 = "" if carried.outcome.sha256 is None else carried.outcome.sha256.hex()
    click.echo(f"{place}: {carried.outcome.size} bytes in {carried.seconds:.1f} s, SHA-256 {sha256}")


def _row(computer: ListedClient) -> dict[str, object]:
    return {
        "id": computer.id,
        "name": computer.name,
        "online": computer.online,
        "version": computer.version,
        "platform": computer.platform,
        "last_seen": computer.last_seen,
        "mode": computer.mode,
        "next_check_in": computer.next_check_in,
    }


def _presence(computer: ListedClient) -> str:
    if computer.online:
        return "online"
    seen = f"last seen {computer.last_seen or 'never'}"
    if computer.mode != ClientMode.PASSIVE:
        return seen
    return f"passive, {seen}, expected by {computer.next_check_in}" if computer.next_check_in else f"passive, {seen}"


def _address(site: str) -> str:
    """Return host:port of what a person pastes: an address of a page, or host:port alone."""
    parts = urlsplit(site if "//" in site else f"//{site}")
    try:
        port = parts.port or HTTPS_PORT
    except ValueError:
        port = 0
    if not parts.hostname or not port or parts.scheme not in ("", "https"):
        raise click.BadParameter(f"{site!r} is not an address like https://HOST:PORT", param_hint="--site")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{port}"
