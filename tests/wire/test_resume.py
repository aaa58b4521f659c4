"""One end of a session, step by step: what it sends, holds, drops and says."""

import pytest

from staffetta.wire import frames, messages, notes, outcomes, resume
from staffetta.wire.errors import CloseCode, FrameError, HoldExceeded
from staffetta.wire.messages import Sync
from staffetta.wire.outcomes import (
    Arrived,
    Close,
    MoveAsked,
    PeerChanged,
    PointedElsewhere,
    Resumed,
    Send,
    SessionOver,
    StatementChanged,
)
from staffetta.wire.resume import SessionEnd
from staffetta.wire.vocabulary import Channel, EndName

SMALL = resume.Limits(payload=8, window=64, hold=400, reserve=100)


def attached(peer: bool = True) -> bytes:
    return messages.encode(messages.Attached("session-1", "site-1", "1.0", "ticket", 1, peer))


def sync(**positions: tuple[int, int]) -> bytes:
    """``c1=(expect, consumed)``."""
    return messages.encode(
        Sync({c[1:]: pair[0] for c, pair in positions.items()}, {c[1:]: pair[1] for c, pair in positions.items()})
    )


def flowing(limits: resume.Limits | None = None) -> SessionEnd:
    """An end whose peer is there and has told its positions."""
    end = SessionEnd(EndName.CONSOLE, limits)
    end.receive(end.dial(), attached(), 0.0)
    end.receive(1, sync(), 0.0)
    end.take()
    return end


def sent(end: SessionEnd) -> list[frames.Frame]:
    return [frames.decode(output.message) for output in end.take() if isinstance(output, Send)]


def data(*sequences: int, channel: int = 1, payload: bytes = b"x") -> list[bytes]:
    return [frames.encode(frames.Data(channel, sequence, 0, payload)) for sequence in sequences]


def test_nothing_is_sent_before_the_peer_has_told_its_positions() -> None:
    end = SessionEnd(EndName.CONSOLE)
    end.send(Channel.SHELL, b"early", 1)
    assert end.take() == []
    connection = end.dial()
    end.receive(connection, attached(peer=False), 0.0)
    assert sent(end) == []
    end.receive(connection, messages.encode(messages.Peer(True, 1)), 0.0)
    assert sent(end) == [frames.Control("sync", {"expect": {}, "consumed": {}, "type": "sync"})]
    assert end.receive(connection, sync(), 0.0) == [Resumed(0)]
    assert sent(end) == [frames.Data(1, 0, 1, b"early")]


@pytest.mark.parametrize("event", ["absent", "newer peer", "lost", "newer connection"])
def test_sending_is_held_until_the_next_sync_after(event: str) -> None:
    end = flowing()
    match event:
        case "absent":
            assert end.receive(1, messages.encode(messages.Peer(False)), 0.0) == [PeerChanged(False)]
        case "newer peer":
            end.receive(1, messages.encode(messages.Peer(True, 9)), 0.0)
        case "lost":
            end.lost(1)
        case _:
            end.receive(end.dial(), attached(), 0.0)
    end.take()
    end.send(1, b"held", 5)
    assert end.take() == []
    if event == "lost":
        end.receive(end.dial(), attached(), 0.0)
    end.receive(end.current or 0, messages.encode(messages.Peer(True, 10)), 0.0)
    end.take()
    end.receive(end.current or 0, sync(), 0.0)
    assert sent(end) == [frames.Data(1, 0, 5, b"held")]


def test_a_replay_sends_the_same_frames_from_what_was_not_received() -> None:
    end = flowing()
    for number in range(5):
        end.send(1, b"k%d" % number, number)
    first = sent(end)
    end.lost(1)
    end.receive(end.dial(), attached(), 0.0)
    assert end.receive(2, sync(c1=(3, 1)), 0.0) == [Resumed(2)]
    assert [frame for frame in sent(end) if isinstance(frame, frames.Data)] == first[3:]
    assert end.held.frames == 4


def test_data_is_taken_once_in_order_and_what_is_told_is_exact() -> None:
    end = flowing()
    arrived = [event for message in data(0, 1, 1, 0, 3, 2) for event in end.receive(1, message, 0.0)]
    assert [event.sequence for event in arrived if isinstance(event, Arrived)] == [0, 1, 2]
    assert isinstance(arrived[0], Arrived)
    end.consumed(arrived[0])
    end.receive(1, messages.encode(messages.Peer(True, 2)), 0.0)
    assert messages.parse(sent(end)[0]) == Sync({"1": 3}, {"1": 1})  # type: ignore[arg-type]


def test_the_window_stops_one_channel_and_no_other() -> None:
    end = flowing(SMALL)
    end.send(1, b"x" * 80, 1)
    end.send(2, b"y", 1)
    frames_sent = sent(end)
    assert sum(frames.DATA_HEADER + len(f.payload) for f in frames_sent if f.channel == 1) <= SMALL.window
    assert [f.channel for f in frames_sent].count(2) == 1
    assert sent(end) == []
    end.receive(1, frames.encode(frames.Ack(1, 1)), 0.0)
    assert [(f.channel, f.sequence) for f in sent(end)] == [(1, 2)]


def test_the_hold_has_a_limit_and_a_part_of_it_for_channel_0() -> None:
    end = SessionEnd(EndName.JUMP_CLIENT)
    while end.writable:
        end.send(1, bytes(frames.MAX_PAYLOAD), 0)
    assert 4 * 1024 * 1024 - 64 * 1024 - frames.MAX_MESSAGE < end.held.bytes <= 4 * 1024 * 1024
    with pytest.raises(HoldExceeded):
        end.send(1, bytes(frames.MAX_PAYLOAD), 0)
    before = end.held
    end.send_note(notes.Exit(0), 0)
    assert end.held.frames == before.frames + 1
    while end.room(Channel.NOTES) >= 100:
        end.send(Channel.NOTES, b"n" * 100, 0)
    with pytest.raises(HoldExceeded):
        end.send(Channel.NOTES, b"n" * 100, 0)
    assert end.held.bytes <= 4 * 1024 * 1024


def test_what_the_peer_consumed_makes_room_again() -> None:
    end = flowing()
    end.send(1, bytes(10), 0)
    end.take()
    end.receive(1, frames.encode(frames.Ack(1, 1)), 0.0)
    assert end.held == resume.Held(0, 0)
    end.receive(1, frames.encode(frames.Ack(1, 0)), 0.0)
    assert end.over is None


def test_acknowledgements_come_by_the_quarter_window_and_with_every_ping() -> None:
    end = flowing(SMALL)
    events = [event for message in data(0, 1, 2) for event in end.receive(1, message, 0.0)]
    end.consumed(events[0])  # 20 of 64 bytes
    assert sent(end) == [frames.Ack(1, 1)]
    big = flowing()
    (event,) = big.receive(1, data(0)[0], 0.0)
    big.consumed(event)
    assert sent(big) == []
    big.tick(1.0)
    assert sent(big) == [frames.Ping(1000), frames.Ack(1, 1)]
    big.tick(1.9)
    assert sent(big) == []


def test_make_before_break() -> None:
    end = flowing()
    move = messages.Move(1, "statement", "update", ("b:1",))
    assert end.receive(1, messages.encode(move), 0.0) == [outcomes.MoveAsked(move)]
    newer = end.dial()
    end.send(1, b"still here", 1)
    assert [output.connection for output in end.take()] == [1]
    events = end.receive(newer, attached(), 0.5)
    assert events[0] == outcomes.SessionJoined(
        messages.Attached("session-1", "site-1", "1.0", "ticket", 1, True), 2, True
    )
    outputs = end.take()
    assert outputs[0] == Close(1, CloseCode.MOVED, "moved")
    assert [output.connection for output in outputs[1:]] == [2]
    assert end.receive(1, data(0)[0], 0.5) == []
    end.lost(1)
    assert end.current == 2


def test_an_attach_that_was_overtaken_is_closed() -> None:
    end = flowing()
    slow, quick = end.dial(), end.dial()
    end.receive(quick, attached(), 0.0)
    end.take()
    assert end.receive(slow, attached(), 0.0) == []
    assert end.take() == [Close(slow, CloseCode.FENCED, "a newer connection is attached")]
    assert end.current == quick


def test_a_silent_connection_is_dropped_after_two_seconds() -> None:
    end = flowing()
    assert end.next_look() == 1.0
    assert end.tick(1.0) == []
    assert sent(end) == [frames.Ping(1000)]
    end.receive(1, frames.encode(frames.Pong(1000)), 1.1)
    assert end.tick(3.0) == []
    end.take()
    assert end.tick(3.1) == [outcomes.ConnectionLost(1)]
    assert end.take() == [Close(1, CloseCode.SILENT, "nothing heard")]
    assert end.current is None
    assert end.next_look() is None


def test_a_ping_is_answered_on_its_own_connection() -> None:
    end = flowing()
    end.receive(1, frames.encode(frames.Ping(77)), 0.0)
    assert end.take() == [Send(1, frames.encode(frames.Pong(77)))]


def test_an_unreadable_frame_is_the_connections_fault_and_the_session_goes_on() -> None:
    end = flowing()
    with pytest.raises(FrameError):
        end.receive(1, b"\xff", 0.0)
    assert end.over is None


@pytest.mark.parametrize(
    "message",
    [
        frames.encode(frames.Ack(1, 5)),
        frames.encode(frames.Ack(3, 1)),
        sync(c1=(9, 0)),
        sync(c1=(1, 2)),
        sync(c5=(1, 0)),
        messages.encode(Sync({"01": 1}, {})),
        messages.encode(Sync({"1" * 5000: 1}, {})),
        messages.encode(Sync({"-1": 1}, {})),
        frames.encode(frames.Data(64, 0, 0, b"x")),
    ],
)
def test_a_peer_that_breaks_the_protocol_ends_the_session(message: bytes) -> None:
    end = flowing()
    end.send(1, b"a", 0)
    end.take()
    (over,) = end.receive(1, message, 0.0)
    assert isinstance(over, SessionOver)
    assert [messages.parse(frame) for frame in sent(end)] == [messages.EndSession(over.reason)]  # type: ignore[arg-type]


def test_a_peer_that_sends_beyond_the_window_ends_the_session() -> None:
    end = flowing(SMALL)
    events = [event for message in data(0, 1, 2, 3) for event in end.receive(1, message, 0.0)]
    assert isinstance(events[-1], SessionOver)
    assert end.over == "window-exceeded: channel 1"


def test_a_peer_that_lost_what_it_had_consumed_ends_the_session() -> None:
    end = flowing()
    end.send(1, b"a", 0)
    end.take()
    end.receive(1, frames.encode(frames.Ack(1, 1)), 0.0)
    assert end.receive(1, sync(), 0.0) == [SessionOver("positions-lost")]


def test_the_end_of_a_session_is_said_once_and_nothing_follows() -> None:
    end = flowing()
    end.end("typed exit")
    end.end("again")
    end.send(1, b"late", 0)
    assert [messages.parse(frame) for frame in sent(end)] == [messages.EndSession("typed exit")]  # type: ignore[arg-type]
    assert not end.writable
    assert end.receive(1, data(0)[0], 0.0) == []
    other = flowing()
    assert other.receive(1, messages.encode(messages.Ended("revoked")), 0.0) == [SessionOver("revoked")]
    assert other.over == "revoked"


def test_channel_0_goes_first_and_its_messages_stay_whole() -> None:
    end = flowing()
    end.send(1, bytes(40_000), 1)
    end.send_note(notes.Resize(100, 30), 2)
    first, *rest = sent(end)
    assert notes.parse_note(first.payload) == notes.Resize(100, 30)  # type: ignore[union-attr]
    assert [len(frame.payload) for frame in rest] == [
        frames.MAX_PAYLOAD,
        frames.MAX_PAYLOAD,
        40_000 - 2 * frames.MAX_PAYLOAD,
    ]  # type: ignore[union-attr]


def test_two_busy_channels_take_turns() -> None:
    end = flowing()
    end.send(1, bytes(100_000), 1)
    end.send(2, bytes(100_000), 1)
    order = [frame.channel for frame in sent(end) if isinstance(frame, frames.Data)]
    assert sorted(order[:4]) == [1, 1, 2, 2]


def test_limits_that_could_deadlock_are_refused() -> None:
    for wrong in (
        {"payload": 0},
        {"payload": 100, "window": 200},
        {"reserve": 10},
        {"hold": 70_000, "reserve": 64_000},
    ):
        with pytest.raises(ValueError, match=r"holds|has room"):
            resume.Limits(**wrong)


@pytest.mark.req("F4")
def test_a_pointer_on_an_attempt_leaves_the_present_connection_alone() -> None:
    end = flowing()
    pointer = messages.Move(2, "statement", "elsewhere", ("b:443",))
    attempt = end.dial()
    assert end.receive(attempt, messages.encode(pointer), 0.0) == [PointedElsewhere(attempt, pointer)]
    assert end.current == 1
    end.send(Channel.SHELL, b"typed", 1)
    assert sent(end) == [frames.Data(1, 0, 1, b"typed")]
    assert end.receive(1, messages.encode(pointer), 0.0) == [MoveAsked(pointer)]
    end.receive(end.dial(), attached(), 0.0)
    assert end.receive(1, messages.encode(pointer), 0.0) == [], "a connection that was left has nothing to say"


def test_a_changed_statement_is_told_and_changes_nothing_else() -> None:
    end = flowing()
    assert end.receive(1, messages.encode(messages.NewStatement("new")), 0.0) == [StatementChanged("new")]
    assert sent(end) == []
