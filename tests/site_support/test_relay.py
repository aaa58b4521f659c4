"""The relay by playbooks: what is forwarded, recorded, fenced, refused; and that a bad frame touches nobody else."""

import pytest

from staffetta.site.support import relay
from staffetta.site.support.relay import Close, Ended, Frame, Lost, Moved, Record, Renewed, Revoked, Send, SessionEnded
from staffetta.wire import frames, messages, notes
from staffetta.wire.errors import CloseCode

from .playbook import CLIENT, CONSOLE, SESSION, Playbook, attach, attached, data, peer, present


def test_two_ends_meet() -> None:
    book = Playbook()
    book.play(attach(1, CONSOLE, 1), present(CONSOLE, True, 1), attached(1, peer=False))
    book.play(attach(2, CLIENT, 4), present(CLIENT, True, 4), attached(2, peer=True), peer(1, True, 4))
    sync = messages.encode(messages.Sync({"1": 0}, {"1": 0}))
    book.play(Frame(1, sync), Send(2, sync))
    book.play(Frame(2, sync), Send(1, sync))
    book.play(Frame(1, data(0)), Send(2, data(0)))
    ack = frames.encode(frames.Ack(1, 1))
    book.play(Frame(2, ack), Send(1, ack))
    assert book.relay.sessions == {SESSION}
    assert book.relay.connections == {1, 2}


@pytest.mark.req("S2")
def test_data_of_a_recorded_session_is_recorded_before_it_is_forwarded() -> None:
    book = Playbook().both_attached(recorded=True)
    book.play(Frame(2, data(0)), Record(SESSION, CLIENT, data(0)), Send(1, data(0)))
    book.play(Frame(1, data(0, b"x")), Record(SESSION, CONSOLE, data(0, b"x")), Send(2, data(0, b"x")))
    ack = frames.encode(frames.Ack(1, 1))
    book.play(Frame(1, ack), Send(2, ack))


def test_what_cannot_be_forwarded_is_neither_kept_nor_recorded() -> None:
    book = Playbook()
    book.relay.handle(attach(1, CONSOLE, 1, recorded=True))
    book.play(Frame(1, data(0)))
    book.play(Frame(1, frames.encode(frames.Ack(1, 1))))
    book.play(Frame(1, messages.encode(messages.Sync({}, {}))))


def test_a_newer_attach_fences_the_older_connection() -> None:
    book = Playbook().both_attached()
    book.play(
        attach(3, CONSOLE, 2),
        Close(1, CloseCode.FENCED, "a newer connection is attached"),
        present(CONSOLE, True, 2),
        attached(3, peer=True),
        peer(2, True, 2),
    )
    book.play(Frame(1, data(0)))
    book.play(Lost(1))
    book.play(Frame(3, data(0)), Send(2, data(0)))
    book.play(Frame(2, data(0)), Send(3, data(0)))


@pytest.mark.parametrize(("counter", "highest"), [(1, 0), (0, 0), (7, 7), (7, 8)])
def test_an_attach_with_a_counter_that_was_seen_is_refused_and_touches_nobody(counter: int, highest: int) -> None:
    book = Playbook().both_attached()
    book.play(attach(3, CONSOLE, counter, highest=highest), Close(3, CloseCode.FENCED, "a newer connection was seen"))
    book.play(Frame(3, data(0)))
    book.play(Lost(3))
    book.play(Frame(1, data(0)), Send(2, data(0)))


def test_a_refused_attach_leaves_no_session_behind() -> None:
    book = Playbook()
    book.play(attach(1, CONSOLE, 5, highest=5), Close(1, CloseCode.FENCED, "a newer connection was seen"))
    assert book.relay.sessions == frozenset()


def test_an_end_that_is_lost_and_back() -> None:
    book = Playbook().both_attached()
    book.play(Lost(2), present(CLIENT, False, 1), peer(1, False, 1))
    book.play(Frame(1, data(0)))
    book.play(attach(3, CLIENT, 2), present(CLIENT, True, 2), attached(3, peer=True), peer(1, True, 2))
    book.play(Lost(1), present(CONSOLE, False, 1), peer(3, False, 1))
    book.play(Lost(3), present(CLIENT, False, 2))
    assert book.relay.sessions == frozenset()


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "empty-frame"),
        (b"\xff", "unknown-frame-type: 0xff"),
        (bytes(20_000), "oversized-frame: 20000 bytes, at most 16384"),
        (b'\x01{"type":"sync"}', "bad-message: 'expect' is missing"),
        (b"\x01nonsense", "bad-json: Expecting value: line 1 column 1 (char 0)"),
    ],
)
def test_a_bad_frame_ends_its_own_connection_with_a_reason(message: bytes, reason: str) -> None:
    book = Playbook().both_attached()
    book.relay.handle(relay.Attached("session-2", CONSOLE, 10, 1, "t"))
    book.relay.handle(relay.Attached("session-2", CLIENT, 11, 1, "t"))
    book.play(Frame(1, message), Close(1, CloseCode.BAD_FRAME, reason), present(CONSOLE, False, 1), peer(2, False, 1))
    book.play(Frame(1, data(0)))
    book.play(Frame(10, data(0)), Send(11, data(0)))
    assert book.relay.connections == {2, 10, 11}


def test_pings_are_answered_by_the_relay_itself() -> None:
    book = Playbook().both_attached()
    book.play(Frame(1, frames.encode(frames.Ping(9))), Send(1, frames.encode(frames.Pong(9))))
    book.play(Frame(1, frames.encode(frames.Pong(9))))


def test_silence_and_slowness_cost_the_connection_and_not_the_session() -> None:
    book = Playbook().both_attached()
    book.play(
        relay.Silent(1),
        Close(1, CloseCode.SILENT, "nothing heard for two seconds"),
        present(CONSOLE, False, 1),
        peer(2, False, 1),
    )
    book.play(relay.Slow(2), Close(2, CloseCode.TOO_MUCH_HELD, "the far side does not read"), present(CLIENT, False, 1))
    book.play(relay.Silent(99))
    book.play(attach(3, CONSOLE, 2), present(CONSOLE, True, 2), attached(3, peer=False))


def test_either_end_ends_the_session_for_both() -> None:
    book = Playbook().both_attached()
    ended = messages.encode(messages.Ended("typed exit"))
    book.play(
        Frame(2, messages.encode(messages.EndSession("typed exit"))),
        Send(1, ended),
        Close(1, CloseCode.ENDED, "typed exit"),
        present(CONSOLE, False, 1),
        Send(2, ended),
        Close(2, CloseCode.ENDED, "typed exit"),
        present(CLIENT, False, 1),
        SessionEnded(SESSION, "typed exit"),
    )
    book.play(Frame(1, data(0)))
    book.play(Lost(1))
    book.play(Ended(SESSION, "again"))
    assert book.relay.connections == frozenset()


def test_a_revoked_client_is_refused_and_its_session_ended() -> None:
    book = Playbook().both_attached()
    book.play(
        Revoked(SESSION, CLIENT, "revoked"),
        Close(2, CloseCode.REFUSED, "revoked"),
        present(CLIENT, False, 1),
        Send(1, messages.encode(messages.Ended("revoked"))),
        Close(1, CloseCode.ENDED, "revoked"),
        present(CONSOLE, False, 1),
        SessionEnded(SESSION, "revoked"),
    )
    alone = Playbook()
    alone.relay.handle(attach(2, CLIENT, 1))
    alone.play(
        Revoked(SESSION, CLIENT, "revoked"),
        Close(2, CloseCode.REFUSED, "revoked"),
        present(CLIENT, False, 1),
        SessionEnded(SESSION, "revoked"),
    )


@pytest.mark.req("U9")
def test_a_move_reaches_every_end_and_they_leave_when_they_like() -> None:
    book = Playbook().both_attached()
    book.relay.handle(relay.Attached("session-2", CONSOLE, 10, 1, "t"))
    move = messages.Move(3, "statement", "update")
    told = messages.encode(move)
    book.play(Moved(move), Send(1, told), Send(2, told), Send(10, told))
    book.play(Moved(move, session="session-2"), Send(10, told))
    book.play(Frame(1, data(0)), Send(2, data(0)))
    book.play(Lost(1), present(CONSOLE, False, 1), peer(2, False, 1))


def test_a_renewed_ticket_goes_to_its_end() -> None:
    book = Playbook().both_attached()
    book.play(Renewed(SESSION, CLIENT, "new"), Send(2, messages.encode(messages.NewTicket("new"))))
    book.play(Renewed("session-7", CLIENT, "new"))


def test_unknown_messages_pass_only_when_they_are_for_the_peer() -> None:
    book = Playbook().both_attached()
    wave = frames.encode(frames.Control("wave", {"to": "peer", "n": [1]}))
    book.play(Frame(1, wave), Send(2, wave))
    book.play(Frame(1, frames.encode(frames.Control("wave", {}))))
    book.play(Frame(1, messages.encode(messages.Attached("s", "g", "v", "t", 1, True))))


@pytest.mark.req("S2")
def test_what_an_end_tells_of_a_file_is_told_once_and_passed_on_always() -> None:
    book = Playbook().both_attached()
    note = notes.Transferred(1, notes.Direction.SEND, "notes.txt", "stored", "/notes.txt", 7, bytes(32))
    payload = notes.encode_note(note)
    book.play(Frame(1, data(0, payload, 0)), relay.Told(SESSION, CONSOLE, note), Send(2, data(0, payload, 0)))
    book.play(Frame(1, data(0, payload, 0)), Send(2, data(0, payload, 0)))
    book.play(Frame(2, data(0, payload, 0)), relay.Told(SESSION, CLIENT, note), Send(1, data(0, payload, 0)))
    book.play(Frame(1, data(0, payload, 1)), Send(2, data(0, payload, 1)))
    for other in (b"nonsense", b'{"type":"transferred"}', notes.encode_note(notes.Resize(80, 24))):
        book.play(Frame(1, data(1, other, 0)), Send(2, data(1, other, 0)))
    book.play(Lost(2), present(CLIENT, False, 1), peer(1, False, 1))
    book.play(Frame(1, data(2, notes.encode_note(note), 0)))
