"""`staffetta failover upgrade` and what goes with it: begin, watch and steer the pair job. Asks and prints only."""

import json
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

import click

from staffetta.cli.failover_site import on_jobs
from staffetta.cli.live_line import LiveLine
from staffetta.cli.options import json_option, yes_option
from staffetta.kernel.clock import utc_now
from staffetta.kernel.errors import Conflict, NotFound

LOOK_SECONDS: Final = 0.25
LOCKED_SECONDS: Final = 120.0
"""So long the site's database may be out of reach while the site itself is replaced."""

job_argument = click.argument("job", required=False)


class JobNotFinished(Conflict):
    """The watched pair job ended otherwise, or needs a person."""

    code = "pair-job-not-finished"


class NotReadyYet(Conflict):
    """The pre-flight found what must be mended first."""

    code = "pair-upgrade-not-ready"


class NoPairJob(NotFound):
    """There is no pair job to act on."""

    code = "no-pair-job"


@click.command("upgrade")
@click.option("--asynchronous", is_flag=True, help="The backup first, then traffic moves to it, then the primary.")
@click.option("--to", "wanted", metavar="VERSION", help="The site version to go to; by default the newest on offer.")
@click.option("--check", "only_check", is_flag=True, help="Only show the pre-flight; begin nothing.")
@click.option(
    "--backup-password-file",
    "password_file",
    type=click.File("r"),
    help="Encrypt the job's backup with the password in the first line of FILE; - is standard input.",
)
@click.option("--watch/--no-watch", default=True, show_default=True, help="Show the steps until the job has ended.")
@on_jobs
def upgrade_command(
    service: Any,
    actor: str,
    asynchronous: bool,
    wanted: str | None,
    only_check: bool,
    password_file: Any,
    watch: bool,
) -> None:
    """Upgrade both appliances while sessions go on; run it on the primary.

    \b
    Examples:
      staffetta failover upgrade --asynchronous --check
      staffetta failover upgrade --asynchronous --backup-password-file password.txt
    """
    if not asynchronous:
        raise click.UsageError("Say --asynchronous; there is no other way of upgrading a pair yet.")
    password = None if password_file is None else password_file.readline(4096).rstrip("\r\n").encode()
    service.check_updates(actor)
    record, checks = service.prepare(wanted)
    base = "" if record.targets.base is None else f"base {record.targets.base}, "
    click.echo(f"Both appliances go to {base}site {record.targets.site}.")
    for check in checks:
        mark = "ok     " if check.ok else "FAILED " if check.need is None else "waits  "
        click.echo(f"  {mark} {check.name}: {check.detail}")
    if only_check:
        if any(not check.ok and check.need is None for check in checks):
            raise NotReadyYet("What has FAILED must be mended before the upgrade can begin.")
        return
    begun = service.begin(actor, wanted=wanted, backup_password=password)
    click.echo(f"The pair job {begun.id} has begun.")
    if watch:
        _watch(service, begun.id)


@click.command("jobs")
@json_option
@on_jobs
def jobs_command(service: Any, actor: str, as_json: bool) -> None:
    """List pair jobs, newest first."""
    found = service.jobs()
    if as_json:
        click.echo(json.dumps([service.job_record.to_document(one) for one in found], indent=2))
        return
    for one in found:
        began = f"{one.started:%Y-%m-%d %H:%M} UTC"
        click.echo(f"{one.id}  {one.kind}  site {one.targets.site}  {one.state} at {one.step}  {began}")
        click.echo(f"  {one.sentence}")
    if not found:
        click.echo("There has been no pair job yet.")


@click.command("watch")
@job_argument
@on_jobs
def watch_command(service: Any, actor: str, job: str | None) -> None:
    """Show the steps of JOB (by default the one under way, or the last) until it has ended; on either appliance."""
    _watch(service, job or _last(service).id)


@click.command("pause")
@job_argument
@on_jobs
def pause_command(service: Any, actor: str, job: str | None) -> None:
    """Hold JOB before its next step; an install that base has begun goes on to its end."""
    _say(service.steer(job or _under_way(service).id, "pause", actor))


@click.command("resume")
@job_argument
@on_jobs
def resume_command(service: Any, actor: str, job: str | None) -> None:
    """Let JOB go on that is paused, or that waited for a person."""
    _say(service.steer(job or _under_way(service).id, "resume", actor))


@click.command("undo")
@job_argument
@on_jobs
def undo_command(service: Any, actor: str, job: str | None) -> None:
    """Take JOB back while traffic is still with the primary: everything as before."""
    _say(service.steer(job or _under_way(service).id, "undo", actor))


@click.command("take-over")
@click.argument("job")
@yes_option
@on_jobs
def take_over_command(service: Any, actor: str, job: str, yes: bool) -> None:
    """Own JOB on this appliance from now on, because the other one, which owns it, is gone for good."""
    if not yes:
        click.confirm("The other appliance can do nothing for this job any more. Go on?", abort=True, err=True)
    _say(service.take_over(job, actor))


COMMANDS: Final = (
    upgrade_command,
    jobs_command,
    watch_command,
    pause_command,
    resume_command,
    undo_command,
    take_over_command,
)


def _last(service: Any) -> Any:
    found = service.jobs(1)
    if not found:
        raise NoPairJob("There has been no pair job yet: begin one with `staffetta failover upgrade --asynchronous`.")
    return found[0]


def _under_way(service: Any) -> Any:
    found = service.under_way()
    if found is None:
        raise NoPairJob("No pair job is under way; see `staffetta failover jobs`.")
    return found


def _say(job: Any) -> None:
    click.echo(f"{job.id}: {job.state} at {job.step}. {job.sentence}")


def _watch(service: Any, job_id: str) -> None:
    """Print each step when it ends, and between what is being done; a terminal keeps the present step in one line."""
    lines, shown = LiveLine(), 0
    for job in _looks(service, job_id):
        ended = [one for one in job.steps if one.ended is not None]
        for one in ended[shown:]:
            lines.line(_step(one, job))
        shown = max(shown, len(ended))
        if not job.state.ended:
            now = f"  … {job.step.what} {job.sentence}"
            lines.now(f"{now} ({job.record.seconds(utc_now()):.0f} s)", now)
        if job.state.ended or job.state == "needs-a-person":
            lines.clear()
            _end(job)


def _looks(service: Any, job_id: str) -> Iterator[Any]:
    """The job again and again, across restarts of the site."""
    from django.db import OperationalError, connections

    lost: float | None = None
    while True:
        try:
            job = service.job(job_id)
            lost = None
        except OperationalError:
            lost = lost or time.monotonic()
            if time.monotonic() - lost > LOCKED_SECONDS:
                raise
            connections.close_all()
        else:
            yield job
        time.sleep(LOOK_SECONDS)


def _step(one: Any, job: Any) -> str:
    mark = "ok    " if one.state == "done" else "FAILED"
    where = "+".join(one.step.sides)
    return f"  {mark} {one.step.what:<16} {where:<4} {one.seconds(one.ended):7.1f} s  {one.evidence}"


def _end(job: Any) -> None:
    seconds = ((job.ended or utc_now()) - job.started).total_seconds()
    if job.state == "finished":
        click.echo(f"Finished in {seconds:.0f} s. {job.sentence}")
        sys.exit(0)
    if job.state == "undone":
        raise JobNotFinished(f"{job.sentence} Reason: {job.error}")
    raise JobNotFinished(f"{job.sentence} When that is mended: `staffetta failover resume {job.id}`.")
