"""The clients' pure parts, and the shell on its terminal."""

import asyncio
import json
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staffetta.clients.console.escape import EscapeFilter
from staffetta.clients.errors import NotSetUp, SiteUnreachable, UnreadableAnswer, UnsafeFile
from staffetta.clients.jump_client.shell import Shell, clean_environment
from staffetta.clients.runtime.answers import refusal_in
from staffetta.clients.runtime.events import Happening, SessionEvent
from staffetta.clients.runtime.story import Story
from staffetta.clients.state_directory import StateDirectory
from staffetta.wire.messages import Attached

AT = datetime(2026, 11, 24, tzinfo=UTC)


# -- leaving by keyboard -------------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=6), max_size=8))
def test_keys_without_a_tilde_pass_unchanged(pieces: list[bytes]) -> None:
    pieces = [piece.replace(b"~", b"") for piece in pieces]
    escape = EscapeFilter()
    assert b"".join(escape.feed(piece)[0] for piece in pieces) == b"".join(pieces)


@given(st.text("~.ab\r", max_size=30), st.integers(1, 5))
def test_how_keys_are_cut_makes_no_difference(text: str, size: int) -> None:
    keys = text.encode()
    whole, cut = EscapeFilter(), EscapeFilter()
    expected, left = whole.feed(keys)
    got = b""
    for start in range(0, len(keys), size):
        sent, leaves = cut.feed(keys[start : start + size])
        got += sent
        if leaves:
            assert left
            break
    else:
        assert not left
    assert got == expected


@pytest.mark.parametrize(
    ("typed", "sent", "leaves"),
    [
        (b"~.", b"", True),
        (b"ls\r~.rest", b"ls\r", True),
        (b"\n~.", b"\n", True),
        (b"a~.", b"a~.", False),
        (b"\r~~.", b"\r~.", False),
        (b"\r~x.", b"\r~x.", False),
        (b"\r~", b"\r", False),
        (b"\r~\r~.", b"\r~\r", True),
    ],
)
def test_only_enter_tilde_dot_leaves(typed: bytes, sent: bytes, leaves: bool) -> None:
    assert EscapeFilter().feed(typed) == (sent, leaves)


# -- what is told of a session -------------------------------------------------------------------------------------


def _attached(generation: str, peer: bool) -> Attached:
    return Attached("s", generation, "1.0", "ticket", 1, peer)


def _begun(story: Story) -> None:
    assert _kinds(story.joined(_attached("one", False), 1, False, 0.0, AT)) == [("attached", None)]
    assert story.peer(False, 0.1, AT) == []
    assert story.peer(True, 0.2, AT) == []
    assert _kinds(story.flows(0.3, AT)) == [("peer", None)]
    assert story.held_since is None


def _kinds(events: list[SessionEvent]) -> list[tuple[str, float | None]]:
    return [(event.event.value, event.pause_ms) for event in events]


def test_a_loss_is_told_with_the_pause_since_the_last_sign_of_life() -> None:
    story = Story()
    _begun(story)
    assert _kinds(story.lost(12.0, 10.0, AT, "nothing heard")) == [("lost", None)]
    assert story.held_since == 10.0
    assert story.joined(_attached("two", True), 3, True, 12.5, AT) == []
    assert story.peer(True, 12.6, AT) == []
    resumed = story.flows(12.75, AT)
    assert _kinds(resumed) == [("resumed", 2750.0)]
    assert (resumed[0].generation, resumed[0].counter) == ("two", 3)


def test_a_move_is_told_with_the_pause_since_its_attach() -> None:
    story = Story()
    _begun(story)
    assert story.joined(_attached("two", True), 2, True, 20.0, AT) == []
    assert story.peer(True, 20.1, AT) == []
    assert _kinds(story.flows(20.2, AT)) == [("moved", 200.0)]


def test_a_pause_goes_with_the_far_end_if_it_is_away_meanwhile() -> None:
    story = Story()
    _begun(story)
    assert _kinds(story.joined(_attached("two", False), 2, True, 20.0, AT)) == [("moved", None)]
    assert _kinds(story.peer(False, 20.1, AT)) == [("peer", None)]
    assert story.peer(True, 20.4, AT) == []
    assert _kinds(story.flows(20.5, AT)) == [("peer", 500.0)]
    assert _kinds(story.over(AT, "exit")) == [("ended", None)]


def test_the_far_ends_own_move_is_a_pause_too() -> None:
    story = Story()
    _begun(story)
    assert story.peer(True, 5.0, AT) == []
    assert _kinds(story.flows(5.05, AT)) == [("peer", 50.0)]


def test_an_event_is_one_line_of_json() -> None:
    line = SessionEvent(AT, Happening.MOVED, "site-two", "1.1", 2, 31.5).line()
    assert line.endswith("\n") and line.count("\n") == 1
    assert json.loads(line)["at"] == "2026-11-24T00:00:00.000000Z"
    assert json.loads(line)["pause_ms"] == 31.5


# -- the shell -----------------------------------------------------------------------------------------------------


def test_a_shells_environment_holds_nothing_of_ours() -> None:
    own = {"HOME": "/h", "LC_ALL": "C", "STAFFETTA_KEEPER_FD": "3", "SECRET": "x", "EDITOR": "vi", "TERM": "dumb"}
    made = clean_environment(own, "xterm", ("EDITOR",))
    assert made["TERM"] == "xterm" and made["HOME"] == "/h" and made["LC_ALL"] == "C" and made["EDITOR"] == "vi"
    assert not [name for name in made if name.startswith("STAFFETTA") or name == "SECRET"]
    assert made["PATH"]


async def _started(*command: str) -> Shell:
    return await Shell.start(command, {"PATH": os.defpath, "HOME": "/", "TERM": "dumb"}, 90, 30)


async def _all_of(shell: Shell) -> bytes:
    output = b""
    while data := await shell.read():
        output += data
    return output


async def test_output_is_whole_and_the_status_is_the_programs() -> None:
    shell = await _started("/bin/sh", "-c", "stty -opost; seq 1 30000; exit 9")
    assert await _all_of(shell) == b"".join(b"%d\n" % number for number in range(1, 30001))
    assert await shell.wait() == 9
    await shell.close()


async def test_a_signal_is_a_status_above_128() -> None:
    shell = await _started("/bin/sh", "-c", "kill -TERM $$")
    await _all_of(shell)
    assert await shell.wait() == 143
    await shell.close()


async def test_a_child_that_keeps_the_terminal_does_not_keep_the_session() -> None:
    shell = await _started("/bin/sh", "-c", "trap '' HUP; sleep 30 & echo over")
    async with asyncio.timeout(20):
        assert await _all_of(shell) == b"over\r\n"
        assert await shell.wait() == 0
    await shell.close()


async def test_input_waits_for_a_program_that_does_not_read_and_close_frees_it() -> None:
    shell = await _started(sys.executable, "-c", "import tty, time; tty.setraw(0); print('raw'); time.sleep(60)")
    assert (await shell.read()).startswith(b"raw")
    writing = asyncio.create_task(shell.write(b"x" * 1_000_000))
    done, _ = await asyncio.wait({writing}, timeout=0.3)
    assert not done
    await shell.close()
    async with asyncio.timeout(20):
        await writing
    assert await shell.wait() == 129


async def test_a_shell_hears_the_hang_up_that_its_jump_client_ignores() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
    try:
        shell = await _started(sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(60)")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (await shell.read()).startswith(b"ready")
    await shell.close()
    assert await shell.wait() == 129


async def test_a_program_that_ignores_the_hang_up_is_killed() -> None:
    shell = await _started("/bin/sh", "-c", "trap '' HUP; echo ready; while :; do sleep 1; done")
    assert (await shell.read()).startswith(b"ready")
    await shell.close()
    assert await shell.wait() == 137


async def test_a_missing_program_is_an_error_and_leaves_no_descriptor() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(FileNotFoundError):
        await _started("/no/such/shell")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# -- files and answers ---------------------------------------------------------------------------------------------


def test_a_key_is_made_once_and_private(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    state.create()
    with pytest.raises(NotSetUp):
        state.key("client.key")
    key = state.key_or_new("client.key")
    assert state.key_or_new("client.key").public == key.public
    path = tmp_path / "state" / "client.key"
    path.chmod(0o644)
    with pytest.raises(UnsafeFile, match="chmod 600"):
        state.key("client.key")
    path.unlink()
    path.symlink_to("/etc/passwd")
    with pytest.raises(UnsafeFile):
        state.key("client.key")


def test_a_folder_that_others_may_write_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(UnsafeFile, match="chmod 700"):
        StateDirectory(folder).create()


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff"])
def test_a_damaged_file_says_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "client.json"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(UnreadableAnswer, match="damaged"):
        StateDirectory(tmp_path).read("client.json")


@given(st.binary(max_size=60), st.integers(400, 599))
def test_any_refusal_becomes_an_error_with_words(body: bytes, status: int) -> None:
    assert refusal_in(body, status).message


def test_an_unreachable_site_names_every_address() -> None:
    error = SiteUnreachable(("a:1", "refused"), ("b:2", "no answer within 4 s"))
    assert "a:1 (refused)" in error.message and "b:2 (no answer within 4 s)" in error.message
