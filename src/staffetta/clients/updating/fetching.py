"""Getting the bundle that the site names, and having it staged and tried: each goes on where a killed one stopped.

The site's word decides which version is fetched, never whether it may run: see ``staging``.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from staffetta.clients.errors import ClientError, SiteUnreachable, WrongSite
from staffetta.clients.runtime.network import Network
from staffetta.clients.updating.starting import Place
from staffetta.kernel.errors import NoSpace
from staffetta.kernel.files import sha256_of
from staffetta.kernel.log import get_logger
from staffetta.wire.enrolment import UpdateAnswer

FOLDER: Final = "updates"
STAGE_SECONDS: Final = 600.0
TRIAL_SECONDS: Final = 60.0
LARGEST_BUNDLE: Final = 1 << 31
_SHA256: Final = re.compile(r"[0-9a-f]{64}")

_log = get_logger(__name__)


class NotFetched(ClientError):
    """The new version could not be had this time; it is tried again."""

    code = "not-fetched"
    http_status = 503
    exit_status = 6


class VersionRefused(ClientError):
    """The new version is not what the vendor signed, not for this computer, or does not start."""

    code = "version-refused"
    http_status = 422
    exit_status = 7


async def fetch(
    network: Network, place: Place, answer: UpdateAnswer, seconds: float, jitter: Callable[[], float]
) -> Path:
    """Return the bundle's file once it is whole, within ``seconds``; a part that is there already is gone on with.

    Raises NotFetched; what has arrived stays for the next try, unless it is not what the site announced.
    """
    if not answer.bundle.startswith("/") or not _SHA256.fullmatch(answer.sha256) or answer.size > LARGEST_BUNDLE:
        raise NotFetched("The site's answer does not say what to fetch.")
    folder = place.root / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    part = folder / f"{answer.sha256}.part"
    for other in folder.iterdir():
        if other != part and other.is_file():
            other.unlink()
    deadline = time.monotonic() + seconds
    try:
        async with asyncio.timeout(seconds):
            while not part.exists() or part.stat().st_size < answer.size:
                try:
                    await network.resume(answer.bundle, await network.trusted_peer(), part, answer.size)
                except (SiteUnreachable, WrongSite) as error:
                    _log.info("the download broke off", extra={"why": error.message})
                if not part.exists() or part.stat().st_size < answer.size:
                    await asyncio.sleep(1.0 + 2.0 * jitter())
    except TimeoutError:
        raise NotFetched(f"The new version did not arrive in {seconds:.0f} s; it is gone on with later.") from None
    except ClientError as error:
        raise NotFetched(error.message) from None
    except OSError as error:
        raise NotFetched(f"The new version cannot be stored: {error}.") from None
    if await asyncio.to_thread(sha256_of, part) != answer.sha256:
        part.unlink()
        raise NotFetched("What was fetched is not what the site announced; it is fetched anew.")
    _log.info("fetched", extra={"bytes": answer.size, "seconds_left": round(deadline - time.monotonic())})
    return part


async def have_staged(place: Place, bundle: Path, version: str) -> None:
    """Have a process of its own verify the bundle and put the version on the disk. Raises as ``fetch``, and
    VersionRefused for what the vendor did not sign.
    """
    status, said = await _run(
        STAGE_SECONDS, place.releases / place.running / "bin" / "run", "stage", "--state", place.root, "--bundle",
        bundle, "--version", version,
    )  # fmt: skip
    if status is None or status < 0 or status in (1, NoSpace.exit_status):
        raise NotFetched(said or "The new version could not be put on the disk.")
    if status != 0:
        raise VersionRefused(said)


async def try_out(place: Place, version: str) -> None:
    """Start a staged version for a trial that changes nothing. Raises VersionRefused if it does not even start."""
    run = place.releases / version / "bin" / "run"
    status, said = await _run(TRIAL_SECONDS, run, "jump-client", "--state", place.root, "--check")
    if status != 0:
        why = said or f"it ended with {status}"
        raise VersionRefused(f"The version {version} does not start: {why}")


async def _run(seconds: float, *command: str | Path) -> tuple[int | None, str]:
    """Run a program; return its exit status (None: not in time) and the end of what it complained of."""
    try:
        process = await asyncio.create_subprocess_exec(
            *map(str, command), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        return 127, str(error)
    assert process.stderr is not None
    try:
        async with asyncio.timeout(seconds):
            complaint = await process.stderr.read()
            await process.wait()
    except TimeoutError:
        return None, f"it did not end in {seconds:.0f} s"
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    lines = complaint.decode(errors="replace").strip().splitlines()
    return process.returncode, (lines[-1] if lines else "").removeprefix("staffetta: ")[-500:]
