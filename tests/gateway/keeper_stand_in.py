"""Keeper's end of the channel, for starting a real process of the site alone."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from staffetta.control.paths import AppliancePaths


def environment(paths: AppliancePaths, generation: str, process: str, version: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "LANG": "C.UTF-8",
        "STAFFETTA_GENERATION": generation,
        "STAFFETTA_PROGRAM": "site",
        "STAFFETTA_PROCESS": process,
        "STAFFETTA_VERSION": version,
        "STAFFETTA_RELEASE": str(paths.releases("site") / version),
        "STAFFETTA_APPLIANCE": str(paths.root),
        "STAFFETTA_RUN": str(paths.run(generation)),
    }


async def run_task(paths: AppliancePaths, task: str, version: str) -> tuple[int, dict[str, Any]]:
    """Run a one-shot task; its exit status and the object of its last line."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "staffetta.site", task),
        env=environment(paths, "site-task", task, version),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, json.loads(output.decode().splitlines()[-1])


class Started:
    """A process of the site that was started."""

    def __init__(self, process: asyncio.subprocess.Process, channel: socket.socket) -> None:
        self.process = process
        self._channel = channel

    @classmethod
    async def start(cls, paths: AppliancePaths, generation: str, name: str, version: str, log: Path) -> "Started":
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "staffetta.site", name),
                env=environment(paths, generation, name, version) | {"STAFFETTA_KEEPER_FD": str(theirs.fileno())},
                pass_fds=[theirs.fileno()],
                stderr=output,
                stdout=output,
            )
        theirs.close()
        return cls(process, ours)

    async def hear(self, word: str, seconds: float = 60.0) -> None:
        async with asyncio.timeout(seconds):
            message = json.loads(await asyncio.get_running_loop().sock_recv(self._channel, 65536))
        assert message.get("say") == word, message

    def tell(self, order: dict[str, Any], descriptors: list[int] | None = None) -> None:
        data = json.dumps(order).encode()
        if descriptors:
            socket.send_fds(self._channel, [data], descriptors)
        else:
            self._channel.send(data)

    async def end(self) -> int:
        """SIGTERM; the exit status."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            status = await self.process.wait()
        self._channel.close()
        return status

    def hang_up(self) -> None:
        """As a dying keeper does."""
        self._channel.close()
