"""A process's side of keeper's channel, over a real message socket, on asyncio's loop and on uvloop."""

import array
import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
import uvloop

import staffetta
from staffetta.control.child import KeeperChannel, KeeperRefused, KeeperUnreachable, KeptSocket
from staffetta.control.verbs import GenerationState, KeeperVerbs, ListenOptions, TaskResult

RUNNERS = [asyncio.run, uvloop.run]


class Keeper:
    """Keeper's end, driven by the test."""

    def __init__(self) -> None:
        self.sock, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.setblocking(False)

    def say(self, message: dict[str, object], sockets: Sequence[socket.socket] = ()) -> None:
        rights = array.array("i", [one.fileno() for one in sockets])
        self.sock.sendmsg([json.dumps(message).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])

    def give(self, do: str, named: dict[str, socket.socket]) -> None:
        described = [
            {"name": name, "family": "inet", "address": "127.0.0.1", "port": sock.getsockname()[1]}
            for name, sock in named.items()
        ]
        self.say({"do": do, "sockets": described}, list(named.values()))

    async def hear(self) -> dict[str, object]:
        data = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.sock, 70_000), 5)
        return json.loads(data)


class Handler:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.held: Sequence[KeptSocket] = ()
        self.drained = asyncio.Event()
        self.failing = ""

    async def activate(self, sockets: Sequence[KeptSocket]) -> None:
        if self.failing:
            raise RuntimeError(self.failing)
        self.told.append(("activate", [one.name for one in sockets]))
        self.held = sockets

    async def sockets(self, sockets: Sequence[KeptSocket]) -> None:
        self.told.append(("sockets", [one.name for one in sockets]))
        self.held = sockets

    async def deactivate(self) -> None:
        self.told.append("deactivate")

    async def drain(self, seconds: float) -> None:
        self.told.append(("drain", seconds))
        await self.drained.wait()


@pytest.fixture(params=RUNNERS, ids=["asyncio", "uvloop"])
def play(
    request: pytest.FixtureRequest,
) -> Callable[[Callable[[Keeper, KeeperChannel, Handler], Awaitable[None]]], None]:
    """Runs a scene with a keeper, a running channel and its handler."""

    def run(scene: Callable[[Keeper, KeeperChannel, Handler], Awaitable[None]]) -> None:
        async def main() -> None:
            keeper, handler = Keeper(), Handler()
            channel = KeeperChannel(keeper.theirs)
            running = asyncio.create_task(channel.run(handler))
            try:
                await scene(keeper, channel, handler)
            finally:
                running.cancel()
                asyncio.get_running_loop().remove_reader(keeper.theirs.fileno())
                keeper.sock.close()

        request.param(main())

    return run


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def test_a_life(play) -> None:
    async def scene(keeper: Keeper, channel: KeeperChannel, handler: Handler) -> None:
        await channel.ready()
        assert await keeper.hear() == {"say": "ready"}
        with listener() as one, listener() as two:
            keeper.give("activate", {"one": one})
            assert await keeper.hear() == {"say": "activated"}
            first = handler.held[0]
            assert first.sock.getsockname() == one.getsockname()
            assert not first.sock.get_inheritable()
            keeper.give("sockets", {"two": two, "one": one})
            keeper.give("sockets", {"two": two})
            keeper.say({"do": "deactivate"})
            assert await keeper.hear() == {"say": "deactivated"}
            assert handler.told == [
                ("activate", ["one"]),
                ("sockets", ["two", "one"]),
                ("sockets", ["two"]),
                "deactivate",
            ]
            assert first.sock.fileno() == -1  # left: its port is not kept open here
            assert handler.held[0].sock.fileno() == -1
            keeper.give("activate", {"one": one})  # taken back
            assert await keeper.hear() == {"say": "activated"}
            assert handler.held[0].sock.fileno() >= 0

    play(scene)


def test_the_same_socket_is_the_same_object(play) -> None:
    async def scene(keeper: Keeper, channel: KeeperChannel, handler: Handler) -> None:
        with listener() as one, listener() as two:
            keeper.give("activate", {"one": one})
            await keeper.hear()
            first = handler.held[0]
            before = open_descriptors()
            keeper.give("sockets", {"one": one, "two": two})
            keeper.give("sockets", {"one": one})
            keeper.say({"do": "drain", "seconds": 5})
            handler.drained.set()
            assert await keeper.hear() == {"say": "drained"}
            assert handler.held == (first,)
            assert first.sock.fileno() >= 0
            assert open_descriptors() == before

    play(scene)


def test_draining_does_not_hold_up_what_follows(play) -> None:
    async def scene(keeper: Keeper, channel: KeeperChannel, handler: Handler) -> None:
        keeper.say({"do": "drain", "seconds": 600})
        keeper.say({"do": "deactivate"})
        assert await keeper.hear() == {"say": "deactivated"}
        handler.drained.set()
        assert await keeper.hear() == {"say": "drained"}

    play(scene)


def test_a_handler_that_raises_is_a_failed_process_and_goes_on(play) -> None:
    async def scene(keeper: Keeper, channel: KeeperChannel, handler: Handler) -> None:
        handler.failing = "the port is cursed" * 50
        keeper.give("activate", {})
        heard = await keeper.hear()
        assert heard["say"] == "failed"
        assert str(heard["reason"]).startswith("activate: the port is cursed")
        assert len(str(heard["reason"])) == 300
        keeper.say({"do": "fly"})
        assert (await keeper.hear())["say"] == "failed"
        handler.failing = ""
        keeper.give("activate", {})
        assert await keeper.hear() == {"say": "activated"}

    play(scene)


def test_a_message_that_lacks_descriptors_is_refused_and_leaks_nothing(play) -> None:
    async def scene(keeper: Keeper, channel: KeeperChannel, handler: Handler) -> None:
        before = open_descriptors()
        with listener() as one:
            keeper.say({"do": "activate", "sockets": []}, [one])
            assert (await keeper.hear())["say"] == "failed"
        assert open_descriptors() == before
        assert handler.told == []

    play(scene)


def test_verbs_are_answered_by_number_in_any_order(play) -> None:
    async def scene(keeper: Keeper, channel: KeeperChannel, handler: Handler) -> None:
        verbs = KeeperVerbs(channel)
        started = asyncio.create_task(verbs.start("site", "1.1"))
        first = await keeper.hear()
        assert first == {"id": 1, "verb": "start", "args": {"program": "site", "version": "1.1"}}
        task = asyncio.create_task(verbs.task("site", "1.1", "migrate"))
        second = await keeper.hear()
        keeper.say({"id": second["id"], "result": {"exit": 0, "output": "{}"}})
        keeper.say({"id": 99, "result": {}})
        keeper.say({"id": first["id"], "error": {"code": "too-many", "message": "Stop one first."}})
        assert await task == TaskResult(0, "{}")
        with pytest.raises(KeeperRefused, match="Stop one first") as refused:
            await started
        assert (refused.value.code, refused.value.http_status, refused.value.exit_status) == ("too-many", 409, 5)
        listening = asyncio.create_task(
            verbs.listen("a", "site", "gateway", "10.0.0.1", 443, options=ListenOptions(freebind=True))
        )
        asked = await keeper.hear()
        assert asked["args"]["options"] == {"freebind": True}
        keeper.say({"id": asked["id"], "result": {}})
        await listening

    play(scene)


def test_many_messages_wait_for_room(play) -> None:
    async def scene(keeper: Keeper, channel: KeeperChannel, handler: Handler) -> None:
        sending = [asyncio.create_task(channel.failed(f"{number} {'x' * 290}")) for number in range(2000)]
        await asyncio.sleep(0)
        numbers = [int(str((await keeper.hear())["reason"]).split()[0]) for _ in range(2000)]
        await asyncio.gather(*sending)
        assert sorted(numbers) == list(range(2000))
        with pytest.raises(KeeperUnreachable, match="longer"):
            await channel.call("task", program="x" * 70_000)

    play(scene)


def test_status_is_parsed(play) -> None:
    async def scene(keeper: Keeper, channel: KeeperChannel, handler: Handler) -> None:
        asking = asyncio.create_task(KeeperVerbs(channel).status())
        number = (await keeper.hear())["id"]
        process = {"name": "gateway", "pid": 7, "ready": True, "restarts": 2}
        generation = {"id": "site-a", "version": "1.0", "state": "active", "confirmed": True, "failure": None}
        program = {"current": "1.0", "active": "site-a", "generations": [{**generation, "processes": [process]}]}
        sockets = [
            {"name": "control", "program": "base", "process": "service", "path": "/a/run/control.sock", "mode": 432},
            {"name": "site", "program": "site", "process": "gateway", "address": "127.0.0.1", "port": 8443},
        ]
        keeper.say(
            {
                "id": number,
                "result": {"keeper": {"version": "1", "pid": 5}, "programs": {"site": program}, "sockets": sockets},
            }
        )
        status = await asking
        active = status.programs["site"].active_generation
        assert active is not None
        assert active.state is GenerationState.ACTIVE
        assert active.processes[0].pid == 7
        assert status.programs["site"].generation("site-b") is None
        assert [(one.address, one.port) for one in status.sockets] == [
            ("/a/run/control.sock", None),
            ("127.0.0.1", 8443),
        ]

    play(scene)


@pytest.mark.req("U10")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_when_keeper_is_gone_so_is_the_process(loop: str) -> None:
    program = f"""
import asyncio, time, threading, {loop}
from staffetta.control.child import KeeperChannel
async def main():
    channel = KeeperChannel.from_environment()
    threading.Thread(target=time.sleep, args=(600,)).start()  # would hold up an orderly exit
    try:
        running = asyncio.create_task(channel.run(None))
        await channel.ready()
        await running
    finally:
        await asyncio.sleep(600)
{loop}.run(main())
"""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environment = {
        **os.environ,
        "STAFFETTA_KEEPER_FD": str(theirs.fileno()),
        "PYTHONPATH": str(Path(staffetta.__file__).parents[1]),
    }
    child = subprocess.Popen([sys.executable, "-c", program], pass_fds=[theirs.fileno()], env=environment)
    try:
        theirs.close()
        ours.settimeout(20)
        assert json.loads(ours.recv(1000)) == {"say": "ready"}
        ours.close()
        assert child.wait(10) == 0
    finally:
        child.kill()
        child.wait()


def test_no_keeper() -> None:
    assert KeeperChannel.from_environment({}) is None
