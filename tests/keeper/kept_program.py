"""A tiny release's program: it takes sockets from keeper, echoes over HTTP, relays verbs, and misbehaves on request.

Started by keeper, never imported. `behaviour.json` of the release says how a process behaves:
{"<process>": "good" | "crash-at-start" | "hang-at-start" | "fail-at-start" | "crash-on-activate" | "hang-on-activate"
 | "crash-when-serving" | "block-when-active" | "deaf" | "malformed" | "flood" | "ignore-sigterm"}.
"""

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path

from staffetta.control.child import KeeperChannel, KeeperRefused, KeptSocket
from staffetta.control.paths import ProcessEnvironment


def about(environment):
    status = Path("/proc/self/status").read_text()
    return {
        "pid": os.getpid(),
        "generation": environment.generation,
        "version": environment.version,
        "uids": os.getresuid(),
        "gids": os.getresgid(),
        "groups": os.getgroups(),
        "no_new_privs": "NoNewPrivs:\t1" in status,
        "capabilities": next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff")),
        "descriptors": sorted(int(one.name) for one in Path("/proc/self/fd").iterdir()),
        "keeper_fd": int(os.environ["STAFFETTA_KEEPER_FD"]),
        "environment": dict(os.environ),
    }


class Acceptor:
    """Accepts until stopped. `asyncio.Server.close` would reset what it has accepted in the same turn of the loop."""

    def __init__(self, sock, serve, tasks):
        self.sock, self.serve, self.tasks = sock, serve, tasks
        asyncio.get_running_loop().add_reader(sock, self.accept)

    def accept(self):
        try:
            connection, _ = self.sock.accept()
        except BlockingIOError:
            return
        connection.setblocking(False)
        task = asyncio.get_running_loop().create_task(self.begin(connection))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def begin(self, connection):
        await self.serve(*await asyncio.open_connection(sock=connection))

    def stop(self):
        asyncio.get_running_loop().remove_reader(self.sock)


class Program:
    """Serves HTTP on TCP sockets and lines of verbs on unix sockets."""

    def __init__(self, environment, channel, behaviour):
        self.environment, self.channel, self.behaviour = environment, channel, behaviour
        self.accepting: dict[KeptSocket, Acceptor] = {}
        self.leaving = False
        self.tasks: set[asyncio.Task] = set()
        self.received = []

    async def activate(self, sockets):
        self.received.append("activate")
        if self.behaviour == "crash-on-activate":
            os._exit(9)
        if self.behaviour == "hang-on-activate":
            await asyncio.sleep(3600)
        if self.behaviour == "crash-when-serving":
            asyncio.get_running_loop().call_later(0.2, os._exit, 8)
        if self.behaviour == "block-when-active":
            asyncio.get_running_loop().call_later(0.1, time.sleep, 3600)
        self.leaving = False
        await self.sockets(sockets)

    async def sockets(self, sockets):
        self.received.append(f"sockets:{','.join(one.name for one in sockets)}")
        for gone in [one for one in self.accepting if one not in sockets]:
            self.accepting.pop(gone).stop()
        for kept in sockets:
            if kept not in self.accepting:
                serve = self.serve_verbs if kept.family == "unix" else self.serve_http
                self.accepting[kept] = Acceptor(kept.sock, serve, self.tasks)

    async def deactivate(self):
        self.received.append("deactivate")
        if self.behaviour == "deaf":
            time.sleep(3600)
        for acceptor in self.accepting.values():
            acceptor.stop()
        self.accepting.clear()
        self.leaving = True

    async def drain(self, seconds):
        self.received.append("drain")
        while self.tasks:
            await asyncio.wait(self.tasks, timeout=seconds)

    async def serve_http(self, reader, writer):
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                body = json.dumps(about(self.environment) | {"received": self.received}).encode()
                last = "close" if self.leaving else "keep-alive"
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: {last}\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()
                if last == "close":
                    break
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def serve_verbs(self, reader, writer):
        try:
            while line := await reader.readline():
                asked = json.loads(line)
                try:
                    answer = {"result": await self.channel.call(asked["verb"], **asked["args"])}
                except KeeperRefused as refused:
                    answer = {"error": refused.code, "message": refused.message}
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


async def ask_from_outside(channel):
    """A process that may not: what it is answered goes to a file of its run directory."""
    codes = {}
    for verb, arguments in (("status", {}), ("erase", {"confirmation": "kept"}), ("start", {"program": "site"})):
        try:
            await channel.call(verb, **arguments)
            codes[verb] = "done"
        except KeeperRefused as refused:
            codes[verb] = refused.code
    (Path(os.environ["STAFFETTA_RUN"]) / "forbidden.json").write_text(json.dumps(codes))


async def main():
    environment = ProcessEnvironment.read()
    behaviours = json.loads((environment.release / "behaviour.json").read_text())
    behaviour = behaviours.get(environment.process, "good")
    if environment.process == "migrate":
        print("working\n" + json.dumps({"migrated": environment.version, "uids": os.getresuid()}), flush=True)
        return behaviours.get("exit", 0)
    if environment.process == "chatter":
        print("x" * 1_000_000 + "\nend", flush=True)
        return 3
    if environment.process == "sleep":
        time.sleep(3600)
    channel = KeeperChannel.from_environment()
    if behaviour == "crash-at-start":
        return 7
    if behaviour == "hang-at-start":
        time.sleep(3600)
    if behaviour == "ignore-sigterm":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    program = Program(environment, channel, behaviour)
    running = asyncio.create_task(channel.run(program))
    if behaviour == "fail-at-start":
        await channel.failed("the key is missing")
    elif behaviour == "malformed":
        channel._sock.send(b'{"say": [')
    elif behaviour == "flood":
        for _ in range(100):
            channel._sock.send(os.urandom(100))
    else:
        await channel.ready()
        if environment.process == "worker":
            await ask_from_outside(channel)
    await running
    return 0


sys.exit(asyncio.run(main()))
