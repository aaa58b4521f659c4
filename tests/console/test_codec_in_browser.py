"""The browser's codec, files and terminal tail against Python's: the same bytes mean the same to both."""

import base64
import hashlib
import json
import random
from typing import Any

import pytest
from playwright.sync_api import Page

from staffetta.wire import files, frames
from staffetta.wire.errors import FrameError

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.req("S1")]

FRAMES = 3000
EDGES = (0, 1, 2**16 - 1, 2**32, 2**53 - 1, 2**53, 2**63, 2**64 - 1)


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def some_frame(chance: random.Random) -> frames.Frame:
    def number() -> int:
        return chance.choice((chance.choice(EDGES), chance.randrange(2**64), chance.randrange(1000)))

    match chance.randrange(5):
        case 0:
            return frames.Data(chance.randrange(2**16), number(), number(), chance.randbytes(chance.randint(1, 60)))
        case 1:
            return frames.Ack(chance.randrange(2**16), number())
        case 2:
            return frames.Ping(number())
        case 3:
            return frames.Pong(number())
        case _:
            return frames.Control("sync", {"a": some_value(chance, 3), "é\u2028𝄞": some_value(chance, 3)})


def some_value(chance: random.Random, depth: int) -> Any:
    match chance.randrange(7 if depth else 5):
        case 0:
            return chance.randrange(-(2**53) + 1, 2**53)
        case 1:
            return chance.choice((None, True, False))
        case 2:
            return "".join(chance.choice('aé"\\\n\u0000\u2028𝄞/') for _ in range(chance.randrange(6)))
        case 3:
            return chance.choice((0.5, -1.25, 1e-7))
        case 4:
            return {}
        case 5:
            return [some_value(chance, depth - 1) for _ in range(chance.randrange(4))]
        case _:
            return {str(key): some_value(chance, depth - 1) for key in range(chance.randrange(4))}


def damaged(chance: random.Random, message: bytes) -> bytes:
    """A message with a byte changed, put in or taken out, or cut."""
    place = chance.randrange(len(message))
    return chance.choice(
        (
            message[:place] + bytes([chance.randrange(256)]) + message[place + 1 :],
            message[:place] + bytes([chance.randrange(256)]) + message[place:],
            message[:place] + message[place + 1 :],
            message[:place],
            message + b"\0",
        )
    )


def python_says(message: bytes) -> dict[str, str]:
    try:
        frames.decode(message)
    except FrameError as error:
        return {"problem": str(error.problem)}
    return {}


def test_what_python_encodes_the_browser_reads_and_writes_again(bench: Page) -> None:
    chance = random.Random(1)
    written = [some_frame(chance) for _ in range(FRAMES)]
    said = bench.evaluate("messages => roundTrip(messages)", [text(frames.encode(frame)) for frame in written])
    for frame, answer in zip(written, said, strict=True):
        assert frames.decode(base64.b64decode(answer["bytes"])) == frame or isinstance(frame, frames.Control)
        if isinstance(frame, frames.Control):
            again = frames.decode(base64.b64decode(answer["bytes"]))
            assert isinstance(again, frames.Control)
            assert again.kind == frame.kind
            assert {key: again.fields[key] for key in frame.fields} == frame.fields


def test_both_refuse_the_same_messages_for_the_same_reason(bench: Page) -> None:
    chance = random.Random(2)
    messages = [damaged(chance, frames.encode(some_frame(chance))) for _ in range(FRAMES)]
    objects = (
        '{"type":"a","type":"b"}', '{"type":"a","x":{"k":1,"\\u006b":2}}', '{"type":"a","x":NaN}',
        '{"type":"a","x":1e999}', '{"type":"a","x":-Infinity}', '{"type":"a","x":"\\ud800"}',
        '{"type":"a","x":"\\ud834\\udd1e"}', '["type"]', "null", '{"type":""}', '{"type":5}', "{}", '{"type":"a"} ',
        '\ufeff{"type":"a"}', '{"type":"a","x":[1,]}', '{"type":"a","x":01}',
        '{"type":"a","x":["k","k",{"k":"k"}],"k":{"k":{}}}', "{'type':'a'}", '{"type":"a","__proto__":{"type":1}}',
    )  # fmt: skip
    messages += [b"\x01" + one.encode() for one in objects]
    messages += [b"", b"\x01\xff", b"\x01" + b'{"type":"a","x":"\xed\xa0\x80"}', b"\x10" + bytes(frames.MAX_MESSAGE)]
    messages += [b"\x10" + bytes(frames.MAX_MESSAGE - 1), b"\x10" + bytes(18), b"\x77", b"\x01" + b" " * 20000]
    said = bench.evaluate("messages => roundTrip(messages)", [text(message) for message in messages])
    refused = 0
    for message, answer in zip(messages, said, strict=True):
        wanted = python_says(message)
        refused += "problem" in wanted
        assert answer.get("problem") == wanted.get("problem"), message[:80]
    assert refused > FRAMES // 4


def test_a_sequence_that_is_not_finished_is_kept_whole(bench: Page) -> None:
    stream = "plain \x1b[1;31mred\x1b]0;título\x07 𝄞é\x1bP+q\x1b\\ \x1b(B\x1b]8;;http://x\x1b\\".encode()
    ends = bench.evaluate("pieces => unfinished(pieces)", [text(bytes([byte])) for byte in stream])
    tails = [base64.b64decode(end) for end in ends]
    assert tails[-1] == b""
    for index, tail in enumerate(tails):
        assert stream[: index + 1].endswith(tail)
    for sequence in (b"\x1b[1;31m", b"\x1b]0;t\xc3\xadtulo\x07", "𝄞".encode(), "é".encode(), b"\x1b(B"):
        begin = stream.index(sequence)
        for length in range(1, len(sequence)):
            assert tails[begin + length - 1] == sequence[:length], sequence[:length]
        assert tails[begin + len(sequence) - 1] == b""


def call(bench: Page, side: str, method: str, *values: Any) -> Any:
    return bench.evaluate("([name, method, values]) => side(name, method, ...values)", [side, method, list(values)])


def payload(answer: str) -> bytes:
    return base64.b64decode(answer)


def test_a_file_goes_from_the_browser_to_python_and_back(bench: Page) -> None:
    content = random.Random(3).randbytes(3 * files.PIECE + 77)
    pieces = [content[start : start + files.PIECE] for start in range(0, len(content), files.PIECE)]
    receiver = files.Receiver()
    call(bench, "sender", "new")
    offer = {"name": "prices é.csv", "size": len(content), "path": "/srv/prices.csv", "overwrite": True}
    offered = receiver.receive(payload(call(bench, "sender", "offer", offer)))
    assert offered == files.Offer("prices é.csv", len(content), "/srv/prices.csv", True)
    assert call(bench, "sender", "receive", {"b": text(receiver.ready())})["say"] == "ready"
    for piece in pieces:
        assert receiver.receive(payload(call(bench, "sender", "piece", {"b": text(piece)}))) == files.Piece(piece)
    assert receiver.receive(payload(call(bench, "sender", "end"))) == files.End(hashlib.sha256(content).digest())
    stored = call(bench, "sender", "receive", {"b": text(receiver.stored("/srv/prices.csv"))})
    assert stored["say"] == "stored"

    sender = files.Sender()
    call(bench, "receiver", "new")
    assert sender.receive(payload(call(bench, "receiver", "ask", "/srv/prices.csv"))) == files.Ask("/srv/prices.csv")
    offer_back = sender.offer(files.Offer("prices.csv", len(content), "/srv/prices.csv"))
    assert call(bench, "receiver", "receive", {"b": text(offer_back)})["size"] == len(content)
    assert sender.receive(payload(call(bench, "receiver", "ready"))) == files.Ready()
    for piece in pieces:
        assert call(bench, "receiver", "receive", {"b": text(sender.piece(piece))})["say"] == "piece"
    assert call(bench, "receiver", "receive", {"b": text(sender.end())})["say"] == "end"
    last = sender.receive(payload(call(bench, "receiver", "stored", "/srv/prices.csv")))
    assert last == files.Stored("/srv/prices.csv", hashlib.sha256(content).digest())


def begun(bench: Page, size: int) -> files.Sender:
    """A fetch of so many bytes that both are ready for."""
    sender = files.Sender()
    call(bench, "receiver", "new")
    sender.receive(payload(call(bench, "receiver", "ask", "a")))
    call(bench, "receiver", "receive", {"b": text(sender.offer(files.Offer("a", size, "a")))})
    sender.receive(payload(call(bench, "receiver", "ready")))
    return sender


@pytest.mark.parametrize(
    ("spoilt", "word"),
    [
        (files.write(files.Piece(b"123456")), "size-differs"),
        (files.write(files.End(bytes(32))), "size-differs"),
        (b"\x02", "bad-message"),
        (b"\x01{}", "bad-message"),
        (b"\x03", "bad-message"),
        (files.write(files.Stored("a", bytes(32))), "bad-message"),
        (files.write(files.Offer("a", 5, "a")), "bad-message"),
    ],
)
def test_what_does_not_fit_ends_the_fetch_and_says_why(bench: Page, spoilt: bytes, word: str) -> None:
    sender = begun(bench, 5)
    answer = call(bench, "receiver", "receive", {"b": text(spoilt)})
    assert (answer["say"], answer["code"]) == ("broken", word)
    refused = sender.receive(payload(answer["answer"]))
    assert isinstance(refused, files.Refused)
    assert refused.code == word
    late = files.write(files.Piece(b"late"))
    assert call(bench, "receiver", "receive", {"b": text(late)}) is None


def test_another_hash_ends_the_fetch(bench: Page) -> None:
    begun(bench, 5)
    call(bench, "receiver", "receive", {"b": text(files.write(files.Piece(b"12345")))})
    wrong = call(bench, "receiver", "receive", {"b": text(files.write(files.End(hashlib.sha256(b"54321").digest())))})
    assert wrong["code"] == "hash-differs"


def test_a_message_of_a_newer_version_is_passed_over(bench: Page) -> None:
    begun(bench, 5)
    newer = b"\x01" + json.dumps({"type": "estimate", "seconds": 3}).encode()
    assert call(bench, "receiver", "receive", {"b": text(newer)}) is None
    piece = call(bench, "receiver", "receive", {"b": text(files.write(files.Piece(b"12345")))})
    assert piece["say"] == "piece"
