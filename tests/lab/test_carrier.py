"""The user who moves files sees every byte that is missing, other, or too many."""

import argparse
import asyncio
from pathlib import Path
from typing import Any

import pytest

from staffetta.lab.users.carrier import Carrier, compare_files, sha256_of, write_random

UNREACHED = """
import sys
from pathlib import Path
folder, events = Path(sys.argv[1]), Path(sys.argv[sys.argv.index("--events") + 1])
with (folder / "tries").open("a") as tries:
    tries.write("x")
if "{attaches}":
    with events.open("a") as noted:
        noted.write('{{"event": "attached"}}\\n')
sys.exit("The site cannot be reached.")
"""
"""A console that moves nothing and, if told to, notes a session first."""


def test_a_file_is_what_its_hash_says(tmp_path: Path) -> None:
    assert write_random(tmp_path / "source", 2) == sha256_of(tmp_path / "source")
    assert (tmp_path / "source").stat().st_size == 2_000_000
    assert sha256_of(tmp_path / "absent") == ""


def test_bytes_that_are_missing_other_or_too_many_are_counted(tmp_path: Path) -> None:
    source, arrived = tmp_path / "source", tmp_path / "arrived"
    write_random(source, 2)
    content = source.read_bytes()
    assert compare_files(source, arrived) == (2_000_000, 0), "nothing arrived"
    for changed, expected in (
        (content, (0, 0)),
        (content[:-5], (5, 0)),
        (content + content[-7:], (0, 7)),
        (content[:1_500_000] + bytes([content[1_500_000] ^ 1]) + content[1_500_001:], (1, 0)),
    ):
        arrived.write_bytes(changed)
        assert compare_files(source, arrived) == expected


def carried(folder: Path, *, again: float, attaches: str) -> tuple[dict[str, Any], int]:
    """The account of a technician whose console moves nothing, and how often it was started."""
    console = folder / "console.py"
    console.write_text(UNREACHED.format(attaches=attaches))
    given = argparse.Namespace(
        computer="one", megabytes=1, limit=0.0, again=again, far=folder / "far", folder=folder, state=folder,
        events=folder / "events", console=["python3", str(console), str(folder)],
    )  # fmt: skip
    account = asyncio.run(Carrier(given).work(asyncio.Event()))
    return account, len((folder / "tries").read_text())


@pytest.mark.parametrize(("again", "attaches", "often"), [(0.0, "", False), (6.0, "", True), (600.0, "yes", False)])
def test_only_a_session_that_never_began_is_tried_again(
    tmp_path: Path, again: float, attaches: str, often: bool
) -> None:
    account, tries = carried(tmp_path, again=again, attaches=attaches)
    assert account["ended"]
    assert "cannot be reached" in account["why"]
    assert (tries > 1) == often
