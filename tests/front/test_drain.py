"""Ten switches between two processes that share a listening socket, under looping clients over TLS: none fails."""

import asyncio
import contextlib
import itertools
import socket
import sys
from pathlib import Path

import pytest

from front.plain_client import PlainClient, Tally, untrusting
from staffetta.front.certificates import make_self_signed

SWITCHES = 10
UPLOAD_PIECES, UPLOAD_PIECE = 40, b"x" * 16384


class Generation:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, listener: socket.socket, pem: Path) -> "Generation":
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("door_process.py")),
            str(listener.fileno()),
            str(pem),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=[listener.fileno()],
        )
        generation = cls(process)
        await generation.hear("ready")
        return generation

    async def tell(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n".encode())
        await self._process.stdin.drain()

    async def hear(self, word: str) -> str:
        assert self._process.stdout is not None
        line = (await self._process.stdout.readline()).decode().strip()
        assert line.startswith(word), line
        return line

    async def leave(self) -> str:
        await self.tell("drain")
        line = await self.hear("drained")
        assert await self._process.wait() == 0
        return line

    async def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.communicate()


async def looping(tally: Tally, over: asyncio.Event, port: int, kind: str) -> None:
    context = untrusting()
    client = PlainClient(port, context)
    while not over.is_set():
        try:
            if kind == "upload":
                length = UPLOAD_PIECES * len(UPLOAD_PIECE)
                pieces = itertools.repeat(UPLOAD_PIECE, UPLOAD_PIECES)
                answer = await client.ask("POST", "/upload", pieces, length, pause=0.03)
                assert int(answer.body) == length
            else:
                answer = await client.ask("GET", "/slow" if kind == "slow" else "/")
            assert answer.status == 200, answer.status
        except (OSError, EOFError, AssertionError) as error:
            tally.failures.append(f"{kind}: {error!r}")
            client.close()
            continue
        tally.answered += 1
        tally.told_to_close += answer.closes
        if kind == "new":
            client.close()
        if kind == "thinking":
            await asyncio.sleep(0.4)
    client.close()


@pytest.mark.req("U9")
@pytest.mark.live
async def test_ten_switches_fail_no_request(tmp_path: Path) -> None:
    pem = tmp_path / "site.pem"
    pem.write_bytes(make_self_signed(["localhost"], ["127.0.0.1"], 10))
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    port = listener.getsockname()[1]
    generations = [await Generation.start(listener, pem)]
    await generations[0].tell("accept")
    await generations[0].hear("accept")
    over = asyncio.Event()
    kinds = ["new"] * 4 + ["kept"] * 4 + ["thinking"] * 2 + ["slow"] * 2 + ["upload"] * 2
    tally = Tally()
    clients = [asyncio.ensure_future(looping(tally, over, port, kind)) for kind in kinds]
    leaving = []
    try:
        for _ in range(SWITCHES):
            former, latter = generations[-1], await Generation.start(listener, pem)
            generations.append(latter)
            await former.tell("stop")
            await former.hear("stop")
            await latter.tell("accept")
            await latter.hear("accept")
            leaving.append(asyncio.ensure_future(former.leave()))
        lines = await asyncio.gather(*leaving)
        over.set()
        await asyncio.gather(*clients)
    finally:
        over.set()
        for generation in generations:
            await generation.end()
        listener.close()
    assert tally.failures == []
    assert lines == ["drained 0"] * SWITCHES
    assert tally.answered > 500
    assert tally.told_to_close >= SWITCHES  # kept-alive clients were moved by Connection: close
