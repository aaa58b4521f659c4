"""N12: the age of the newest record on the backup while 200 records a second are written on the primary."""

import contextlib
import json
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench.document import Section, Table
from bench.pair_stage import PairStage
from bench.spread import percentile
from bench.writer import KIND, TICK_SECONDS
from staffetta.kernel.clock import utc_now
from staffetta.kernel.errors import InvalidInput
from staffetta.lab.world import LabFailure, wait_until

RATE: Final = 200
SECONDS: Final = 60.0
WARM_SECONDS: Final = 5.0
"""Written before the minute that counts."""
LOOK_SECONDS: Final = 0.05
ARRIVE_SECONDS: Final = 60.0
LEAST_RATE: Final = 0.95
"""A writer that did not reach this part of the rate has measured something else."""
REACH, AIM = 5.0, 1.0


@dataclass(frozen=True, slots=True)
class Steady:
    """What was seen: ages in seconds, how many records were written in how many seconds, how long the last took."""

    ages: Sequence[float]
    written: int
    seconds: float
    arrived: float


def measure(stage: PairStage, rounds: int) -> Section:
    """Write for a minute, whatever ``rounds`` is, and look at the backup 20 times a second."""
    primary, backup = stage.roles()
    folder = backup.appliance.folder
    command = [
        stage.world.python, "-P", str(Path(__file__).with_name("writer.py")),
        "--appliance", str(primary.appliance.folder), "--rate", str(RATE),
        "--seconds", str(WARM_SECONDS + SECONDS + 1),
    ]  # fmt: skip
    writer = stage.world.start("bench-writer", command, pipe=True)

    def first() -> bool:
        if not writer.running:
            raise LabFailure(f"The writer ended at once. Its log:\n{writer.tail()}")
        return newest(folder) is not None

    wait_until("the first record to reach the backup", first, ARRIVE_SECONDS)
    time.sleep(WARM_SECONDS)
    ages = sample(folder, SECONDS)
    output, _ = writer.process.communicate(timeout=ARRIVE_SECONDS)
    ended = time.monotonic()
    if writer.process.returncode:
        raise LabFailure(f"The writer ended with {writer.process.returncode}. Its log:\n{writer.tail()}")
    told = json.loads(output.decode().strip().splitlines()[-1])
    wait_until("every record to reach the backup", lambda: count(folder) >= told["written"], ARRIVE_SECONDS)
    steady = Steady(ages, told["written"], told["seconds"], time.monotonic() - ended)
    if count(folder) != told["written"]:
        raise LabFailure(f"{told['written']} records were written and {count(folder)} are on the backup.")
    stage.world.say(f"  N12: {steady.written} records in {steady.seconds:.1f} s, {len(ages)} looks at the backup")
    return section(steady)


def newest(folder: Path) -> datetime | None:
    """When the newest of the writer's records that are on an appliance was written."""
    with contextlib.closing(_open(folder)) as database:
        row = database.execute("SELECT at FROM data_record WHERE kind = ? ORDER BY id DESC LIMIT 1", [KIND]).fetchone()
    return None if row is None else datetime.fromisoformat(row[0]).replace(tzinfo=UTC)


def count(folder: Path) -> int:
    """How many of the writer's records are on an appliance."""
    with contextlib.closing(_open(folder)) as database:
        found: int = database.execute("SELECT count(*) FROM data_record WHERE kind = ?", [KIND]).fetchone()[0]
    return found


def sample(folder: Path, seconds: float) -> list[float]:
    """Look again and again for so long; return the age of the newest record at each look."""
    ages = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = newest(folder)
        if found is None:
            raise LabFailure("The backup has none of the writer's records any more.")
        ages.append((utc_now() - found).total_seconds())
        time.sleep(LOOK_SECONDS)
    return ages


def section(steady: Steady) -> Section:
    """Return the section of docs/performance.md; too slow a writer raises ``InvalidInput``: it has measured nothing."""
    rate = steady.written / steady.seconds
    if rate < LEAST_RATE * RATE:
        raise InvalidInput(f"Only {rate:.0f} records/s were written, not {RATE}: this machine is too busy to measure.")
    p50, p99, most = (percentile(steady.ages, percent) for percent in (50, 99, 100))
    met = "aim reached" if p99 <= AIM else "reached" if p99 <= REACH else "missed"
    return Section(
        "N12",
        "Age of the newest record on the backup at 200 records a second",
        f"The newest record on the backup is {p99:.2f} s old at the 99th percentile (to reach: {REACH:.0f} s, aim: "
        f"{AIM:.0f} s: {met}) while {rate:.0f} records/s are written on the primary.",
        [
            (
                "",
                Table(
                    ("records", "per second", "looks", "age p50", "age p99", "greatest age", "all there after"),
                    [
                        [
                            f"{steady.written:,}",
                            f"{rate:.0f}",
                            f"{len(steady.ages):,}",
                            f"{p50:.2f} s",
                            f"{p99:.2f} s",
                            f"{most:.2f} s",
                            f"{steady.arrived:.1f} s",
                        ]
                    ],
                ),
            )
        ],
        [
            f"A process of the site's user appends records on the primary by the site's own code, what is due every "
            f"{TICK_SECONDS * 1000:.0f} ms in one transaction. Data-sync runs as it always does.",
            f"The backup's database is read every {LOOK_SECONDS * 1000:.0f} ms for a minute: the age is the time since "
            "the newest record there was written, by the one clock of this machine. It cannot be less than the time "
            "since the last transaction.",
            "All there after: from the end of the writing until the backup held every record, none twice.",
        ],
    )


def _open(folder: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{folder}/site/site.sqlite3?mode=ro", uri=True, timeout=30)
