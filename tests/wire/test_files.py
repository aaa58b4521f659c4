"""A file's transfer by its rules: any chunks arrive whole; what is malformed ends that transfer and nothing else."""

import contextlib
import hashlib

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, example, given, settings

from staffetta.kernel.states import IllegalTransition
from staffetta.wire import files, frames, messages, notes, outcomes, resume
from staffetta.wire.errors import FrameError
from staffetta.wire.vocabulary import EndName

from .world import SESSION

SPOKEN = (
    files.Ask("~/notes.txt"),
    files.Offer("notes.txt", 12, "/home/rita/notes.txt", overwrite=True),
    files.Offer("n", 2**63 - 1),
    files.Ready(),
    files.End(bytes(32)),
    files.Stored("/home/rita/notes.txt", bytes(range(32))),
    files.Refused("no-space", "There is no room."),
    files.Piece(b"x"),
    files.Piece(bytes(files.PIECE)),
)


@pytest.mark.parametrize("message", SPOKEN, ids=lambda message: type(message).__name__)
def test_every_message_is_read_as_it_was_written_and_fits_one_frame(message: files.Spoken | files.Piece) -> None:
    payload = files.write(message)
    assert files.read(payload) == message
    assert len(frames.encode(frames.Data(63, 2**60, 2**60, payload))) <= frames.MAX_MESSAGE


def test_the_longest_names_and_paths_fit_one_frame() -> None:
    worst = "\x01"  # six bytes in JSON
    files.write(files.Offer(worst * 256, 2**63 - 1, worst * 1024, overwrite=True))
    files.write(files.Refused(worst * 256, worst * 1024))
    note = notes.Transferred(63, notes.Direction.FETCH, worst * 256, worst * 64, worst * 1024, 2**63 - 1, bytes(32))
    assert notes.parse_note(notes.encode_note(note)) == note


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x02",
        b"\x02" + bytes(files.PIECE + 1),
        b"\x03x",
        b"\x01",
        b"\x01[]",
        b'\x01{"type":"offer"}',
        b'\x01{"type":"offer","name":"n","size":-1}',
        b'\x01{"type":"offer","name":"","size":1}',
        b'\x01{"type":"offer","name":"n","size":9223372036854775808}',
        b'\x01{"type":"offer","name":"n","size":1,"size":2}',
        b'\x01{"type":"end","sha256":"AAAA"}',
        b'\x01{"type":"ask","path":""}',
        b'\x01{"type":"refused","code":""}',
        b'\x01{"type":"ready"}' + b" " * frames.MAX_PAYLOAD,
    ],
)
def test_what_is_no_message_is_refused_and_ends_the_transfer_with_a_reason(payload: bytes) -> None:
    with pytest.raises(FrameError):
        files.read(payload)
    for side in (files.Sender(), files.Receiver()):
        broken = side.receive(payload)
        assert isinstance(broken, files.Broken) and broken.reason
        assert side.over
        assert files.read(broken.answer) == files.Refused("bad-message", broken.reason)
        assert side.receive(payload) is None, "after the last word nothing counts"


@given(st.binary(max_size=300))
@example(b'\x01{"type":"offer","name":"a","size":5}')
def test_any_bytes_are_a_message_or_a_frame_error(payload: bytes) -> None:
    with contextlib.suppress(FrameError):
        files.read(payload)


def test_a_piece_that_is_empty_or_too_long_is_not_written() -> None:
    for data in (b"", bytes(files.PIECE + 1)):
        with pytest.raises(FrameError):
            files.write(files.Piece(data))


def test_the_table_is_whole() -> None:
    assert files.TRANSFER.check() == []
    assert files.TRANSFER.states == frozenset(files.State)
    assert files.TRANSFER.events == frozenset(files.Step)
    for state in set(files.State) - files.TRANSFER.finals:
        assert (state, files.Step.REFUSED) in files.TRANSFER.transitions, f"{state} cannot be given up"


def offered(size: int) -> tuple[files.Sender, files.Receiver]:
    """A sender and a receiver that are ready for the first piece."""
    sender, receiver = files.Sender(), files.Receiver()
    assert isinstance(receiver.receive(sender.offer(files.Offer("n", size))), files.Offer)
    assert isinstance(sender.receive(receiver.ready()), files.Ready)
    return sender, receiver


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=30), st.booleans())
def test_any_chunks_arrive_whole(chunks: list[bytes], asked: bool) -> None:
    content = b"".join(chunks)
    sender, receiver = files.Sender(), files.Receiver()
    if asked:
        assert sender.receive(receiver.ask("n")) == files.Ask("n")
    receiver.receive(sender.offer(files.Offer("n", len(content))))
    sender.receive(receiver.ready())
    arrived = b""
    for chunk in chunks:
        piece = receiver.receive(sender.piece(chunk))
        assert isinstance(piece, files.Piece)
        arrived += piece.data
    sha256 = hashlib.sha256(content).digest()
    assert receiver.receive(sender.end()) == files.End(sha256)
    assert arrived == content
    assert sender.receive(receiver.stored("/n")) == files.Stored("/n", sha256)
    assert sender.state == receiver.state == files.State.STORED


@given(st.binary(min_size=2, max_size=200), st.data())
def test_no_loss_no_double_no_change_goes_unnoticed(content: bytes, data: st.DataObject) -> None:
    """What is stored although the channel lost, doubled, swapped or changed a message is what was sent."""
    sender, receiver = offered(len(content))
    size = data.draw(st.integers(1, 60))
    said = [sender.piece(content[start : start + size]) for start in range(0, len(content), size)]
    said.append(sender.end())
    place = data.draw(st.integers(0, len(said) - 1))
    match data.draw(st.sampled_from(["lose", "double", "swap", "change"])):
        case "lose":
            del said[place]
        case "double":
            said.insert(place, said[place])
        case "swap":
            other = data.draw(st.integers(0, len(said) - 1))
            said[place], said[other] = said[other], said[place]
        case _:
            at = data.draw(st.integers(0, len(said[place]) - 1))
            flip = data.draw(st.integers(1, 255))
            said[place] = said[place][:at] + bytes([said[place][at] ^ flip]) + said[place][at + 1 :]
    arrived = b""
    for payload in said:
        heard = receiver.receive(payload)
        if isinstance(heard, files.Piece):
            arrived += heard.data
    assert receiver.state != files.State.ENDED or arrived == content


def test_too_much_too_little_and_another_hash_are_named() -> None:
    sender, receiver = offered(3)
    receiver.receive(sender.piece(b"abc"))
    broken = receiver.receive(files.write(files.Piece(b"d")))
    assert isinstance(broken, files.Broken) and broken.code is files.Trouble.SIZE_DIFFERS
    _, receiver = offered(3)
    broken = receiver.receive(files.write(files.End(bytes(32))))
    assert isinstance(broken, files.Broken) and broken.code is files.Trouble.SIZE_DIFFERS
    sender, receiver = offered(3)
    receiver.receive(files.write(files.Piece(b"abd")))
    sender.piece(b"abc")
    broken = receiver.receive(sender.end())
    assert isinstance(broken, files.Broken) and broken.code is files.Trouble.HASH_DIFFERS
    answer = sender.receive(broken.answer)
    assert isinstance(answer, files.Refused) and answer.code == "hash-differs" and sender.over
    sender, receiver = offered(0)
    receiver.receive(sender.end())
    broken = sender.receive(files.write(files.Stored("/n", bytes(32))))
    assert isinstance(broken, files.Broken) and broken.code is files.Trouble.HASH_DIFFERS


def test_each_side_says_and_hears_only_what_is_its_own() -> None:
    sender, receiver = offered(3)
    for side, foreign in ((sender, files.write(files.Piece(b"a"))), (receiver, files.write(files.Ready()))):
        broken = side.receive(foreign)
        assert isinstance(broken, files.Broken) and broken.code is files.Trouble.BAD_MESSAGE
    with pytest.raises(IllegalTransition):
        files.Receiver().ready()
    late = files.Receiver()
    broken = late.receive(files.write(files.Piece(b"a")))
    assert isinstance(broken, files.Broken), "a piece before the offer"


def test_what_a_newer_side_says_is_ignored() -> None:
    sender, receiver = offered(1)
    assert receiver.receive(b'\x01{"type":"compressed","with":"zstd"}') is None
    assert isinstance(receiver.receive(sender.piece(b"a")), files.Piece)


CHANNELS = (1, 2, 5)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    contents=st.tuples(*(st.binary(max_size=400) for _ in CHANNELS)),
    order=st.lists(st.tuples(st.sampled_from(CHANNELS), st.integers(1, 40)), max_size=120),
    hostile=st.sampled_from([None, *CHANNELS]),
    garbage=st.sampled_from([b"\x00", b"\x01{", b"\x02", b'\x01{"type":"ready"}', b"\x02" + bytes(16_000)]),
)
def test_transfers_side_by_side_do_not_touch_each_other(
    contents: tuple[bytes, ...], order: list[tuple[int, int]], hostile: int | None, garbage: bytes
) -> None:
    """Chunks of several transfers in any order over real session ends; one of them may turn hostile in the middle."""
    console, client = resume.SessionEnd(EndName.CONSOLE), resume.SessionEnd(EndName.JUMP_CLIENT)
    _join(console, client)
    senders = {channel: files.Sender() for channel in CHANNELS}
    receivers = {channel: files.Receiver() for channel in CHANNELS}
    todo = dict(zip(CHANNELS, contents, strict=True))
    stored = dict.fromkeys(CHANNELS, b"")
    broken: set[int] = set()

    def deliver() -> None:
        for end, other, sides, answers in (
            (console, client, receivers, client),
            (client, console, senders, console),
        ):
            for output in end.take():
                assert isinstance(output, outcomes.Send)
                for event in other.receive(1, output.message, 0.0):
                    if isinstance(event, outcomes.Arrived):
                        heard = sides[event.channel].receive(event.payload)
                        if isinstance(heard, files.Piece):
                            stored[event.channel] += heard.data
                        elif isinstance(heard, files.Broken):
                            broken.add(event.channel)
                            answers.send(event.channel, heard.answer, 0)
                        elif isinstance(heard, files.Offer):
                            answers.send(event.channel, receivers[event.channel].ready(), 0)
                        other.consumed(event)

    for channel, sender in senders.items():
        console.send(channel, sender.offer(files.Offer("n", len(todo[channel]))), 0)
    deliver()
    deliver()
    for number, (channel, count) in enumerate(order):
        sender = senders[channel]
        if channel == hostile and number == len(order) // 2:
            console.send(channel, garbage, 0)
        piece, todo[channel] = todo[channel][:count], todo[channel][count:]
        if piece and not sender.over:
            console.send(channel, sender.piece(piece), 0)
        if number % 3 == 0:
            deliver()
    for channel, sender in senders.items():
        while todo[channel] and not sender.over:
            piece, todo[channel] = todo[channel][:40], todo[channel][40:]
            console.send(channel, sender.piece(piece), 0)
        if not sender.over:
            console.send(channel, sender.end(), 0)
    for _ in range(4):
        deliver()
    for channel, content in zip(CHANNELS, contents, strict=True):
        receiver = receivers[channel]
        if channel in broken:
            assert channel == hostile, "only the transfer that was spoilt has ended with a reason"
            assert receiver.state == senders[channel].state == files.State.REFUSED
        else:
            assert receiver.state == files.State.ENDED and stored[channel] == content
    assert console.over is None and client.over is None, "the session goes on"


def _join(console: resume.SessionEnd, client: resume.SessionEnd) -> None:
    """Both ends attached to one place that passes everything on."""
    for end in (console, client):
        end.dial()
        attached = messages.Attached(SESSION, "site-1", "1.0", "ticket", 1, peer=True)
        end.receive(1, messages.encode(attached), 0.0)
    for end, other in ((console, client), (client, console)):
        for output in end.take():
            assert isinstance(output, outcomes.Send)
            other.receive(1, output.message, 0.0)
