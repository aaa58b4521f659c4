"""A file that stands still on its way is seen standing still, and one that arrives wrong is seen wrong."""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from staffetta.lab.users.carrier import Carrier
from staffetta.lab.users.growth import Growth

CONSOLE = """
import hashlib, json, sys, time
from pathlib import Path

broken, words = sys.argv[1], sys.argv[2:]
source = Path(words[2])  # of either command
to = Path(words[words.index("--to") + 1])
events = Path(words[words.index("--events") + 1])
data = source.read_bytes()
said = hashlib.sha256(data).hexdigest()
if words[0] == broken and "flip" in sys.argv[0]:
    data = data[:500_000] + bytes([data[500_000] ^ 1]) + data[500_001:]
part = to.with_name(f".{to.name}.one.part")
with part.open("wb", buffering=0) as file:
    for place in range(0, len(data), 100_000):
        file.write(data[place : place + 100_000])
        with events.open("a") as noted:
            noted.write(json.dumps({"event": "progress", "moved": place + 1, "at": "2027-01-01T00:00:00Z"}) + "\\n")
        time.sleep(1.5 if words[0] == broken and "stall" in sys.argv[0] and place == 500_000 else 0.05)
part.replace(to)
print(said)
"""
"""A console that moves a file on this computer; by its own name it stalls it once, or turns one bit of it over."""


def carried(folder: Path, fault: str, when: str) -> dict[str, Any]:
    """The account of a technician who moved one file there and back with that console."""
    console = folder / f"{fault}.py"
    console.write_text(CONSOLE)
    given = argparse.Namespace(
        computer="one", megabytes=1, limit=0.0, again=0.0, far=folder / "far" / "file", folder=folder, state=folder,
        events=folder / "events", console=[sys.executable, str(console), when],
    )  # fmt: skip
    given.far.parent.mkdir()

    async def work() -> dict[str, Any]:
        stop = asyncio.Event()
        working = asyncio.create_task(Carrier(given).work(stop))
        while not (folder / ".back.bin.one.part").exists():  # the second file is the last
            await asyncio.sleep(0.01)
        stop.set()
        return await working

    return asyncio.run(work())


@pytest.mark.parametrize("when", ["send", "fetch"])
def test_a_file_that_stands_still_is_a_pause_though_the_console_tells_none(tmp_path: Path, when: str) -> None:
    account = carried(tmp_path, "stall", when)
    assert account["sha256_ok"] and not account["ended"], account
    assert account["longest_pause_ms"] >= 1200
    assert max(seconds for _, seconds in account["pauses"]) >= 1.2


@pytest.mark.parametrize(("when", "wrong"), [("send", 2), ("fetch", 1)])
def test_one_bit_turned_over_is_one_byte_wrong_on_each_way_from_then_on(tmp_path: Path, when: str, wrong: int) -> None:
    account = carried(tmp_path, "flip", when)
    assert (account["sha256_ok"], account["lost"]) == (False, wrong), account


def test_growth_counts_from_the_first_byte_to_the_last(tmp_path: Path) -> None:
    path, part = tmp_path / "file", tmp_path / ".file.x.part"
    growth = Growth(path)
    growth.look(0.0)
    for now, content in ((5.0, b"a"), (5.1, b"ab"), (5.2, b"ab"), (7.0, b"abc")):
        part.write_bytes(content)
        growth.look(now)
    part.rename(path)
    growth.look(9.0)
    assert growth.stalls(0.5) == [(5.1, pytest.approx(1.9))]
    assert growth.stalls(2.0) == []
