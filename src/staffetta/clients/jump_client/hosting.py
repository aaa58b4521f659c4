"""One session on the Jump Client's side: a shell's terminal joined to the session's two channels, or files moved.

- Output is read from the terminal only when the session can keep it, so a program that prints faster than the rep's
  end reads is held by its own terminal.
- Input counts as consumed when the shell's terminal took it.
- The shell is started when the first place in the session is got, and hung up when the session is over.
"""

import asyncio
import os
from pathlib import Path

from staffetta.clients.jump_client.file_hosting import FileHost
from staffetta.clients.jump_client.shell import Shell, clean_environment, usual_shell
from staffetta.clients.runtime.events import SessionEvent
from staffetta.clients.runtime.network import Network
from staffetta.clients.runtime.session import Session
from staffetta.clients.settings import ClientSettings
from staffetta.kernel.log import bound, get_logger
from staffetta.wire import messages, notes
from staffetta.wire.errors import FrameError
from staffetta.wire.identity import SigningKey
from staffetta.wire.outcomes import Arrived
from staffetta.wire.vocabulary import Channel, EndName, SessionKind

EXIT_SECONDS = 10.0
NO_SHELL_STATUS = 127

_log = get_logger(__name__)


async def host(
    network: Network, key: SigningKey, version: str, settings: ClientSettings, invite: messages.Invite
) -> None:
    """Serve one invitation to its end."""
    with bound(session=invite.session):
        session = Session(network, EndName.JUMP_CLIENT, invite.ticket, key, version, _log_event)
        place = asyncio.create_task(session.run())
        try:
            await session.joined.wait()
            if session.over is None and invite.kind == SessionKind.FILES:
                await FileHost(session, Path.home()).run()
            elif session.over is None:
                await _serve(session, settings, invite.options)
        finally:
            session.end("the Jump Client has ended the session")
            await place


async def _serve(session: Session, settings: ClientSettings, options: messages.ShellOptions) -> None:
    command = settings.shell or usual_shell(os.environ)
    environment = clean_environment(os.environ, settings.term, settings.environment)
    try:
        shell = await Shell.start(command, environment, options.columns, options.rows)
    except OSError as error:
        _log.error("no shell", extra={"command": command[0], "why": str(error)})
        complaint = f"{command[0]} cannot be started: {error.strerror}\r\n".encode()
        session.send(Channel.SHELL, complaint)
        await _say_exit(session, NO_SHELL_STATUS, len(complaint))
        return
    _log.info("shell started", extra={"pid": shell.pid})
    try:
        await _join(session, shell)
    finally:
        await shell.close()
        _log.info("shell ended")


async def _join(session: Session, shell: Shell) -> None:
    """Carry bytes both ways until the shell has left or the session is over."""
    output = asyncio.create_task(_output(session, shell))
    arrivals = asyncio.create_task(_input(session, shell))
    try:
        done, _ = await asyncio.wait({output, arrivals}, return_when=asyncio.FIRST_COMPLETED)
        if output in done and session.over is None:
            # The terminal is closed; a program without a terminal may live on, the shell's end is what counts.
            await _say_exit(session, await shell.wait(), output.result())
    finally:
        for task in (output, arrivals):
            task.cancel()
        outcomes = await asyncio.gather(output, arrivals, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                _log.error("a session's stream failed", exc_info=outcome)


async def _say_exit(session: Session, status: int, output: int) -> None:
    session.send_note(notes.Exit(status, output))
    try:
        async with asyncio.timeout(EXIT_SECONDS if session.held_since is None else None):
            await session.all_consumed()
    except TimeoutError:
        _log.warning("the console did not take the shell's last output")
    session.end("exit")


async def _output(session: Session, shell: Shell) -> int:
    """Send what the shell prints; returns how many bytes it was, once there is no more."""
    count = 0
    while await session.writable():
        data = await shell.read()
        if not data:
            break
        session.send(Channel.SHELL, data)
        count += len(data)
    return count


async def _input(session: Session, shell: Shell) -> None:
    """Give the shell what the rep types, until the session is over."""
    typed: asyncio.Queue[Arrived] = asyncio.Queue()
    typing = asyncio.create_task(_type(session, shell, typed))
    try:
        while (frame := await session.arrived()) is not None:
            if frame.channel == Channel.SHELL:
                typed.put_nowait(frame)
                continue
            if frame.channel == Channel.NOTES:
                _note(shell, frame.payload)
            session.consumed(frame)
    finally:
        typing.cancel()
        await asyncio.gather(typing, return_exceptions=True)


async def _type(session: Session, shell: Shell, typed: "asyncio.Queue[Arrived]") -> None:
    """Write input in order; beside the notes, so that a resize reaches a program that reads nothing."""
    while True:
        frame = await typed.get()
        await shell.write(frame.payload)
        session.consumed(frame)


def _note(shell: Shell, payload: bytes) -> None:
    try:
        note = notes.parse_note(payload)
    except FrameError as error:
        _log.warning("a note was not understood", extra={"why": error.message})
        return
    if isinstance(note, notes.Resize):
        shell.resize(note.columns, note.rows)


def _log_event(event: SessionEvent) -> None:
    _log.info(
        "session %s",
        event.event,
        extra={"generation": event.generation, "counter": event.counter, "detail": event.detail},
    )
