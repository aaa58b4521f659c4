"""`staffetta doctor`: print what is wrong with the appliance on this machine, and what to do. Asks and prints only."""

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import click

from staffetta.base.doctor.findings import Finding, Level, worst
from staffetta.base.doctor.rules import judge
from staffetta.base.doctor.service import examine
from staffetta.cli.options import appliance_option, json_option, person_at_terminal
from staffetta.control.local import to_json
from staffetta.control.paths import AppliancePaths
from staffetta.kernel.clock import utc_now

_MARKS: Final = {Level.FINE: "✓", Level.UNSEEN: "?", Level.WARNING: "!", Level.ERROR: "✗"}
_PLAIN_MARKS: Final = {Level.FINE: "ok", Level.UNSEEN: "?", Level.WARNING: "!", Level.ERROR: "x"}
_COLOURS: Final = {Level.FINE: "green", Level.UNSEEN: None, Level.WARNING: "yellow", Level.ERROR: "red"}
_FOUND: Final = 1


@click.command("doctor")
@appliance_option
@json_option
@click.option("--offline", is_flag=True, help="Do not ask the update server.")
@click.option(
    "--level",
    "least",
    type=click.Choice([Level.WARNING.value, Level.ERROR.value]),
    default=Level.WARNING.value,
    show_default=True,
    help="The least for which the exit status is 1.",
)
def group(folder: Path, as_json: bool, offline: bool, least: str) -> None:
    """Check the appliance on this machine, and say what to do about each finding.

    Works when nothing of the appliance runs. As root it sees everything; another user is told what it could not see.
    Nothing is changed, but that base asks its update server (not with --offline).

    \b
    ✓  as it should be
    !  works, but should be looked at
    ✗  does not work, or will not for long
    ?  could not be seen

    Exit status: 0 nothing to do, 1 something to do (with --level error: only for ✗). What could not be seen counts for
    nothing.

    \b
    Examples:
      staffetta doctor
      staffetta doctor --offline --level error --json
    """
    facts = examine(AppliancePaths(folder.absolute()), person_at_terminal(), utc_now(), online=not offline)
    findings = judge(facts)
    level = worst(findings)
    if as_json:
        document = {"level": level.value, "root": os.geteuid() == 0, "findings": to_json(findings)}
        click.echo(json.dumps(document, indent=2))
    else:
        _print(findings, facts.as_root)
    order = list(Level)
    if order.index(level) >= order.index(Level(least)):
        sys.exit(_FOUND)


def _print(findings: Iterable[Finding], as_root: bool) -> None:
    every = list(findings)
    marks = _MARKS if _writes(_MARKS.values()) else _PLAIN_MARKS
    width = max(len(one.check) for one in every)
    for one in every:
        mark = click.style(marks[one.level], fg=_COLOURS[one.level])
        click.echo(f"{mark} {_plain(one.check):<{width}}  {_plain(one.seen)}")
        if one.todo:
            arrow = "→ " if marks is _MARKS else ""
            click.echo(f"  {'':<{width}}  {arrow}{_plain(one.todo)}")
    counts = {level: sum(one.level is level for one in every) for level in Level}
    click.echo()
    if counts[Level.ERROR] or counts[Level.WARNING]:
        click.echo(f"{_count(counts[Level.ERROR], 'error')}, {_count(counts[Level.WARNING], 'warning')}.")
    else:
        click.echo("Nothing to do.")
    if counts[Level.UNSEEN] and not as_root:
        click.echo(f"{_count(counts[Level.UNSEEN], 'check')} could not be made by this user: run this as root.")


def _plain(text: str) -> str:
    """What a program or a stranger wrote, without what could steer a terminal, and without what it cannot write."""
    seen = "".join(sign if sign.isprintable() else "?" for sign in " ".join(text.split()))
    return seen if _writes([seen]) else seen.encode("ascii", "replace").decode()


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def _writes(signs: Iterable[str]) -> bool:
    """Whether standard output has these signs (a terminal without Unicode has not)."""
    try:
        "".join(signs).encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
