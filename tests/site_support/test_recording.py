"""Recordings: what is on disk and when, what a killed process leaves, and the union that gives each frame once."""

import codecs
import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from staffetta.site.support import segments
from staffetta.site.support.recording import Gap, Recording, TimedFrame, asciicast
from staffetta.site.support.segments import RecordedFrame, Recorder, RecordingFull, SegmentDamaged
from staffetta.wire import frames, notes
from staffetta.wire.vocabulary import EndName

SESSION = "session-1"
CONSOLE = EndName.CONSOLE
CLIENT = EndName.JUMP_CLIENT
EPOCH = 1_795_500_000_000_000


def data(sequence: int, at: int = 0, payload: bytes = b"x", channel: int = 1) -> bytes:
    return frames.encode(frames.Data(channel, sequence, at, payload))


def frame(end: EndName, sequence: int, at: int, payload: bytes, *, delay: int = 0, channel: int = 1) -> RecordedFrame:
    return RecordedFrame(end, EPOCH + at + delay, frames.Data(channel, sequence, at, payload))


def read(path: Path) -> tuple[RecordedFrame, ...]:
    return segments.read_segment(path.read_bytes())[1]


def test_a_frame_is_in_the_file_when_write_returns(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "site-1")
    recorder.write(SESSION, CLIENT, data(0, 5, b"hello"), EPOCH, now=0.0)
    (path,) = tmp_path.glob("*.open")
    assert read(path) == (RecordedFrame(CLIENT, EPOCH, frames.Data(1, 0, 5, b"hello")),)


def test_a_segment_is_sealed_after_ten_seconds_named_by_its_hash_and_waits_to_be_taken(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "site-1")
    recorder.write(SESSION, CLIENT, data(0), EPOCH + 7, now=100.0)
    recorder.write(SESSION, CONSOLE, data(0), EPOCH + 9, now=105.0)
    assert recorder.due(109.9) == ()
    (segment,) = recorder.due(110.0)
    recorder.write(SESSION, CLIENT, data(1), EPOCH + 11, now=110.0)
    sealed = recorder.seal(segment)
    assert sealed.path == tmp_path / f"{sealed.sha256}.segment"
    content = sealed.path.read_bytes()
    assert sealed.sha256 == hashlib.sha256(content).hexdigest()
    assert (sealed.size, sealed.frames, sealed.first, sealed.last) == (len(content), 2, EPOCH + 7, EPOCH + 9)
    assert sealed.header == segments.SegmentHeader(SESSION, "site-1", EPOCH + 7)
    assert recorder.due(119.0) == ()

    (tmp_path / "blobs").mkdir()
    sealed.path.replace(tmp_path / "blobs" / sealed.sha256)
    recorder.taken(sealed)
    assert Recorder(tmp_path, "site-2").leftovers() == ()


def test_a_segment_is_sealed_after_a_megabyte(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "site-1")
    written = 0
    while not (full := recorder.due(0.0)):
        recorder.write(SESSION, CLIENT, data(written, 0, bytes(frames.MAX_PAYLOAD)), EPOCH, now=0.0)
        written += 1
    sealed = recorder.seal(full[0])
    assert segments.SEAL_BYTES <= sealed.size < segments.SEAL_BYTES + 2 * frames.MAX_MESSAGE
    assert sealed.frames == written


def test_the_end_of_a_session_seals_its_segments_and_no_others(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "site-1")
    recorder.write(SESSION, CLIENT, data(0), EPOCH, now=0.0)
    recorder.write("session-2", CLIENT, data(0), EPOCH, now=0.0)
    assert [segment.header.session for segment in recorder.finish(SESSION)] == [SESSION]
    assert recorder.finish(SESSION) == ()
    assert [segment.header.session for segment in recorder.finish_all()] == ["session-2"]


def killed_recorder(folder: Path, torn: bytes) -> None:
    """A process that records three frames, leaves a torn one behind, and is killed."""
    program = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        from staffetta.site.support.segments import Recorder
        from staffetta.wire import frames
        from staffetta.wire.vocabulary import EndName
        recorder = Recorder(Path(sys.argv[1]), "site-1")
        for n in range(3):
            message = frames.encode(frames.Data(1, n, n, b"k%d" % n))
            recorder.write("session-1", EndName.JUMP_CLIENT, message, 10 + n, 0.0)
        (path,) = Path(sys.argv[1]).glob("*.open")
        with path.open("ab") as file:
            file.write(bytes.fromhex(sys.argv[2]))
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    done = subprocess.run([sys.executable, "-c", program, str(folder), torn.hex()], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("torn", [b"", b"\x00", b"\x00\x00\x00\x20garbage", bytes(40), b"\xff" * 40])
def test_what_a_killed_process_left_is_sealed_at_the_next_start_without_its_torn_end(
    tmp_path: Path, torn: bytes
) -> None:
    killed_recorder(tmp_path, torn)
    recorder = Recorder(tmp_path, "site-2")
    (sealed,) = recorder.leftovers()
    assert sealed.header.generation == "site-1"
    assert [found.data.payload for found in read(sealed.path)] == [b"k0", b"k1", b"k2"]
    assert recorder.leftovers() == ()

    again = Recorder(tmp_path, "site-3")
    assert again.leftovers() == (), "in the hands of another generation"
    recorder.taken(sealed)
    assert list(tmp_path.iterdir()) == []


def test_sealed_but_never_taken_is_reported_again(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "site-1")
    recorder.write(SESSION, CLIENT, data(0), EPOCH, now=0.0)
    (segment,) = recorder.finish(SESSION)
    sealed = recorder.seal(segment)
    os.close(segment.descriptor)  # as the end of its process does
    assert Recorder(tmp_path, "site-2").leftovers() == (sealed,)


def test_a_segment_in_use_by_another_generation_is_no_leftover(tmp_path: Path) -> None:
    draining, started = Recorder(tmp_path, "site-1"), Recorder(tmp_path, "site-2")
    draining.write(SESSION, CLIENT, data(0), EPOCH, now=0.0)
    assert started.leftovers() == ()
    draining.write(SESSION, CLIENT, data(1), EPOCH, now=0.0)
    (segment,) = draining.finish(SESSION)
    assert draining.seal(segment).frames == 2


def test_a_leftover_with_nothing_whole_in_it_is_removed(tmp_path: Path) -> None:
    (tmp_path / "site-0-1.open").write_bytes(b"STFSEG1\n\x00")
    (tmp_path / "site-0-2.open").write_bytes(b"")
    assert Recorder(tmp_path, "site-1").leftovers() == ()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_refuses_the_frame_and_leaves_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(tmp_path, "site-1")
    recorder.write(SESSION, CLIENT, data(0), EPOCH, now=0.0)
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, entry: real(descriptor, entry[:-3]))
    with pytest.raises(RecordingFull):
        recorder.write(SESSION, CLIENT, data(1), EPOCH, now=0.0)
    with pytest.raises(RecordingFull):
        recorder.write("session-2", CLIENT, data(0), EPOCH, now=0.0)
    monkeypatch.undo()
    recorder.write(SESSION, CLIENT, data(2), EPOCH, now=0.0)
    (segment,) = recorder.finish(SESSION)
    assert [found.data.sequence for found in read(recorder.seal(segment).path)] == [0, 2]


@given(st.binary(max_size=200), st.integers(0, 400), st.integers(1, 255))
def test_a_damaged_segment_is_told_and_never_half_read(tail: bytes, place: int, change: int) -> None:
    header = segments.SegmentHeader(SESSION, "site-1", EPOCH)
    whole = segments._head(header) + b"".join(
        segments._entry(CLIENT, EPOCH, data(n, n, b"payload %d" % n)) for n in range(4)
    )
    assert len(segments.read_segment(whole)[1]) == 4
    damaged = bytearray(whole)
    damaged[place % len(whole)] ^= change
    for content in (whole + b"\x00" + tail, whole[: place % len(whole)], bytes(damaged), tail):
        try:
            found = segments.read_segment(content)
        except SegmentDamaged:
            continue
        if content == bytes(damaged):
            assert found[0] != header or place % len(whole) < len(segments._head(header))
        else:
            assert len(found[1]) < 4  # cut exactly between two frames


# -- joining -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Joined:
    """All that a recording says, once it is in memory."""

    began: int
    frames: list[TimedFrame]
    gaps: tuple[Gap, ...]
    conflicts: int


def join(recorded: Iterable[RecordedFrame]) -> Joined:
    with Recording() as joined:
        joined.add(recorded)
        return Joined(joined.began, list(joined.frames()), joined.gaps, joined.conflicts)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[RecordedFrame], list[list[RecordedFrame]]]:
    """The frames of a session, and what several generations recorded of them, replays and overlaps and all."""
    everything: list[RecordedFrame] = []
    for end in EndName:
        for channel in (0, 1):
            at = 0
            for sequence in range(draw(st.integers(0, 8))):
                at += draw(st.integers(0, 50))
                payload = draw(st.binary(min_size=1, max_size=4))
                everything.append(frame(end, sequence, at, payload, channel=channel))
    generations: list[list[RecordedFrame]] = [[] for _ in range(draw(st.integers(1, 3)))]
    for original in everything:
        for where in draw(st.lists(st.integers(0, len(generations) - 1), min_size=1, max_size=4)):
            late = draw(st.integers(0, 5000))
            generations[where].append(RecordedFrame(original.end, original.arrived + late, original.data))
    return everything, [draw(st.permutations(generation)) for generation in generations]


@settings(max_examples=100)
@given(histories())
def test_the_union_of_any_generations_has_every_frame_once_and_in_order(
    history: tuple[list[RecordedFrame], list[list[RecordedFrame]]],
) -> None:
    everything, generations = history
    joined = join(found for generation in generations for found in generation)
    assert sorted((f.end, f.data.channel, f.data.sequence) for f in joined.frames) == sorted(
        (f.end, f.data.channel, f.data.sequence) for f in everything
    )
    for end in EndName:
        for channel in (0, 1):
            mine = [f for f in joined.frames if f.end is end and f.data.channel == channel]
            assert [f.data for f in mine] == [f.data for f in everything if f.end is end and f.data.channel == channel]
    assert [f.at for f in joined.frames] == sorted(f.at for f in joined.frames)
    assert (joined.gaps, joined.conflicts) == ((), 0)


def test_the_ends_own_times_count_and_a_replay_does_not_shift_them() -> None:
    joined = join(
        [
            frame(CONSOLE, 0, 1_000_000, b"l", delay=20_000),
            frame(CONSOLE, 1, 1_250_000, b"s", delay=900_000),  # held up by a resume
            frame(CLIENT, 0, 300_000, b"out", delay=1_010_000),  # this end joined 0.99 s later
            frame(CLIENT, 0, 300_000, b"out", delay=3_000_000),  # sent again
        ]
    )
    assert [(f.end, f.at) for f in joined.frames] == [(CONSOLE, 0), (CONSOLE, 250_000), (CLIENT, 290_000)]
    assert joined.began == EPOCH + 1_020_000


def test_what_is_missing_and_what_disagrees_is_told() -> None:
    joined = join(
        [
            frame(CLIENT, 2, 20, b"c"),
            frame(CLIENT, 5, 50, b"f"),
            frame(CONSOLE, 0, 1, b"first", delay=1),
            frame(CONSOLE, 0, 1, b"forged", delay=2),
        ]
    )
    assert joined.gaps == (Gap(CLIENT, 1, 0, 1), Gap(CLIENT, 1, 3, 4))
    assert joined.conflicts == 1
    assert [f.data.payload for f in joined.frames if f.end is CONSOLE] == [b"first"]
    assert [(f.data.sequence, f.missing) for f in joined.frames if f.end is CLIENT] == [(2, 2), (5, 2)]


@pytest.mark.req("S2")
def test_where_something_is_missing_the_recording_says_so() -> None:
    _, events = cast(
        frame(CLIENT, 0, 0, b"a"),
        frame(CLIENT, 2, 2_000_000, b"c"),
        frame(CONSOLE, 3, 3_000_000, b"k"),
        frame(CONSOLE, 4, 3_500_000, b"no note", channel=0),
    )
    assert [event for event in events if event[1] == "m"] == [
        [2.0, "m", "1 piece of what the computer showed is missing"],
        [3.0, "m", "3 pieces of what was typed are missing"],
    ]
    assert [event[1] for event in events] == ["o", "m", "o", "m", "i"]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 9), st.integers(0, 9)), max_size=30))
def test_whatever_arrives_in_whatever_order_the_frame_that_arrived_first_is_kept(
    told: list[tuple[int, int, int, int]],
) -> None:
    everything = [frame(CLIENT, seq, at, b"%d" % word, delay=delay) for word, seq, at, delay in told]
    joined = join(everything)
    for kept in joined.frames:
        rivals = [one for one in everything if one.data.sequence == kept.data.sequence]
        assert min(rivals, key=lambda one: one.arrived).data == kept.data
    expected = sum(len({one.data for one in everything if one.data.sequence == n}) - 1 for n in {t[1] for t in told})
    assert joined.conflicts == expected
    assert [f.at for f in joined.frames] == sorted(f.at for f in joined.frames)
    assert [f.data.sequence for f in joined.frames] == sorted({t[1] for t in told})


def cast(*recorded: RecordedFrame) -> tuple[dict[str, object], list[list[object]]]:
    with Recording() as joined:
        joined.add(recorded)
        lines = [json.loads(line) for line in asciicast(joined, 100, 30, "Front desk")]
    return lines[0], lines[1:]


@pytest.mark.req("S2")
def test_an_asciicast_version_2_file() -> None:
    header, events = cast(
        frame(CONSOLE, 0, 0, b"l"),
        frame(CLIENT, 0, 10_000, b"$ "),
        frame(CONSOLE, 0, 500_000, notes.encode_note(notes.Resize(120, 40)), channel=0),
        frame(CLIENT, 0, 900_000, notes.encode_note(notes.Exit(0)), channel=0),
        frame(CONSOLE, 1, 600_000, b"not json", channel=0),
        frame(CLIENT, 1, 1_000_001, b"bye\r\n"),
    )
    assert header == {"version": 2, "width": 100, "height": 30, "timestamp": EPOCH // 10**6, "title": "Front desk"}
    assert events == [[0.0, "i", "l"], [0.01, "o", "$ "], [0.5, "r", "120x40"], [1.000001, "o", "bye\r\n"]]


def test_a_character_cut_by_a_frame_is_put_together_and_a_broken_one_replaced() -> None:
    euro = "€".encode()
    _, events = cast(
        frame(CLIENT, 0, 0, b"a" + euro[:1]),
        frame(CLIENT, 1, 1000, euro[1:2]),
        frame(CONSOLE, 0, 1500, b"q"),
        frame(CLIENT, 2, 2000, euro[2:] + b"\xff" + euro[:2]),
    )
    assert events == [[0.0, "o", "a"], [0.0015, "i", "q"], [0.002, "o", "€\ufffd"], [0.002, "o", "\ufffd"]]


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=60), st.lists(st.integers(1, 5), min_size=1))
def test_any_text_cut_anywhere_is_the_same_text(text: str, cuts: list[int]) -> None:
    rest, pieces = text.encode(), []
    while rest:
        size = cuts[len(pieces) % len(cuts)]
        pieces.append(rest[:size])
        rest = rest[size:]
    _, events = cast(*(frame(CLIENT, n, n * 1000, piece) for n, piece in enumerate(pieces)))
    assert "".join(str(event[2]) for event in events) == codecs.decode(text.encode(), "utf-8")


def test_a_session_in_which_nothing_happened_is_a_file_with_a_header() -> None:
    assert cast() == ({"version": 2, "width": 100, "height": 30, "timestamp": 0, "title": "Front desk"}, [])
