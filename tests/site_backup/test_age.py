"""The age format: what is written is read back, by us and by `age`; every kind of damage is told."""

import base64
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staffetta.site.backup import age
from staffetta.site.backup.age import CHUNK, EncryptingWriter, decrypting_reader
from staffetta.site.backup.errors import BackupDamaged, NotABackup, NotForAPassword, WrongPassword

pytestmark = pytest.mark.req("B2")

PASSWORD = b"correct horse"
QUICK = 1
"""A work factor for tests that open many files."""
SIZES = (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 17)


def encrypted(data: bytes, password: bytes = PASSWORD, pieces: int = 1 << 20) -> bytes:
    sink = io.BytesIO()
    writer = EncryptingWriter(sink, password, QUICK)
    for start in range(0, len(data), pieces):
        writer.write(data[start : start + pieces])
    writer.finish()
    return sink.getvalue()


def decrypted(sealed: bytes, password: bytes = PASSWORD) -> bytes:
    return decrypting_reader(io.BytesIO(sealed), password).read()


def head_of(sealed: bytes) -> list[bytes]:
    return sealed.split(b"\n", 4)[:4]


def with_head(sealed: bytes, lines: list[bytes], *, sign: bool = True) -> bytes:
    """The file with other header lines, signed anew if the file key can still be had."""
    body = sealed.split(b"\n", 4)[4]
    if sign:
        source = io.BytesIO(sealed)
        key = age._open_header(source, PASSWORD)
        signed = b"\n".join([*lines[:-1], b"---"])
        lines = [*lines[:-1], b"--- " + age._encode(age._mac(key, signed))]
    return b"\n".join([*lines, body])


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=300), pieces=st.integers(1, 400), repeated=st.sampled_from([1, 300, 700]))
def test_what_was_written_is_read_back(data: bytes, pieces: int, repeated: int) -> None:
    whole = data * repeated
    assert decrypted(encrypted(whole, pieces=pieces * repeated)) == whole


@pytest.mark.parametrize("size", SIZES)
def test_sizes_around_a_chunk(size: int) -> None:
    data = os.urandom(size)
    sealed = encrypted(data, pieces=1000)
    assert decrypted(sealed) == data
    head = sum(len(line) + 1 for line in head_of(sealed))
    assert len(sealed) == head + 16 + size + 16 * max(1, -(-size // CHUNK))


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_flipped_bit_is_noticed(data: st.DataObject) -> None:
    sealed = bytearray(encrypted(b"x" * 3000))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises((BackupDamaged, WrongPassword, NotABackup, NotForAPassword)):
        decrypted(bytes(sealed))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2 * CHUNK + 400))
def test_a_file_that_is_cut_anywhere_is_noticed(length: int) -> None:
    sealed = WHOLE[: min(length, len(WHOLE) - 1)]
    with pytest.raises((BackupDamaged, NotABackup)):
        decrypted(sealed)


WHOLE = encrypted(bytes(2 * CHUNK))


@pytest.mark.parametrize("cut", [CHUNK + 16, 2 * (CHUNK + 16)])
def test_a_file_cut_between_two_chunks_is_called_too_short(cut: int) -> None:
    sealed = encrypted(bytes(2 * CHUNK + 5))
    start = sum(len(line) + 1 for line in head_of(sealed)) + 16
    with pytest.raises(BackupDamaged, match="ends too early"):
        decrypted(sealed[: start + cut])


def test_a_damaged_chunk_yields_what_was_verified_before_it_and_nothing_of_it() -> None:
    sealed = bytearray(encrypted(bytes(CHUNK) + b"secret"))
    sealed[-1] ^= 1
    reader = decrypting_reader(io.BytesIO(sealed), PASSWORD)
    assert reader.read(CHUNK) == bytes(CHUNK)
    with pytest.raises(BackupDamaged):
        reader.read(1)


def test_chunks_that_were_swapped_repeated_or_added_are_noticed() -> None:
    sealed = encrypted(os.urandom(3 * CHUNK))
    start = sum(len(line) + 1 for line in head_of(sealed)) + 16
    head, size = sealed[:start], CHUNK + 16
    one, two, three = (sealed[start + n * size : start + (n + 1) * size] for n in range(3))
    for chunks in ([two, one, three], [one, one, three], [one, two, three, three], [one, three], [three]):
        with pytest.raises(BackupDamaged):
            decrypted(head + b"".join(chunks))
    for behind in (b"x", bytes(16), bytes(17), bytes(size)):
        with pytest.raises(BackupDamaged):
            decrypted(sealed + behind)


def test_an_empty_last_chunk_is_only_for_an_empty_file() -> None:
    sealed = encrypted(b"")
    assert decrypted(sealed) == b""
    sink = io.BytesIO()
    writer = EncryptingWriter(sink, PASSWORD, QUICK)
    writer._seal(bytes(CHUNK), last=False)
    writer._seal(b"", last=True)
    with pytest.raises(BackupDamaged, match="empty piece"):
        decrypted(sink.getvalue())


def test_a_wrong_password_is_told_from_damage() -> None:
    sealed = encrypted(b"data")
    with pytest.raises(WrongPassword):
        decrypted(sealed, b"other")
    lines = head_of(sealed)
    forged = with_head(sealed, [*lines[:3], b"--- " + age._encode(bytes(32))], sign=False)
    with pytest.raises(BackupDamaged, match="password is right"):
        decrypted(forged)


HEADS: list[tuple[str, Callable[[list[bytes]], list[bytes]]]] = [
    ("another version", lambda h: [b"age-encryption.org/v2", *h[1:]]),
    ("a line ending of Windows", lambda h: [line + b"\r" for line in h]),
    ("a stanza too many", lambda h: [*h[:3], b"-> grease", b"", h[3]]),
    ("the same stanza twice", lambda h: [*h[:3], h[1], h[2], h[3]]),
    ("an argument too many", lambda h: [h[0], h[1] + b" x", *h[2:]]),
    ("an argument missing", lambda h: [h[0], h[1].rsplit(b" ", 1)[0], *h[2:]]),
    ("no salt", lambda h: [h[0], b"-> scrypt 1", *h[2:]]),
    ("a short salt", lambda h: [h[0], b"-> scrypt " + age._encode(bytes(12)) + b" 1", *h[2:]]),
    ("a long salt", lambda h: [h[0], b"-> scrypt " + age._encode(bytes(19)) + b" 1", *h[2:]]),
    ("an upper-case type", lambda h: [h[0], h[1].replace(b"scrypt", b"Scrypt"), *h[2:]]),
    ("a doubled space", lambda h: [h[0], h[1].replace(b" ", b"  ", 1), *h[2:]]),
    ("a factor of zero", lambda h: [h[0], h[1][:-1] + b"0", *h[2:]]),
    ("a factor with a leading zero", lambda h: [h[0], h[1][:-1] + b"01", *h[2:]]),
    ("a factor with a plus", lambda h: [h[0], h[1][:-1] + b"+1", *h[2:]]),
    ("a negative factor", lambda h: [h[0], h[1][:-1] + b"-1", *h[2:]]),
    ("a hexadecimal factor", lambda h: [h[0], h[1][:-1] + b"0x1", *h[2:]]),
    ("a factor that is too high", lambda h: [h[0], h[1][:-1] + b"21", *h[2:]]),
    ("a factor beyond any number", lambda h: [h[0], h[1][:-1] + b"9" * 999, *h[2:]]),
    ("padding in the salt", lambda h: [h[0], h[1].replace(b" 1", b"== 1"), *h[2:]]),
    ("padding in the body", lambda h: [*h[:2], h[2] + b"=", h[3]]),
    ("a body in two lines", lambda h: [*h[:2], h[2][:20], h[2][20:], h[3]]),
    ("a longer file key", lambda h: [*h[:2], age._encode(bytes(33)), h[3]]),
    ("an empty body", lambda h: [*h[:2], b"", h[3]]),
    ("a space behind the body", lambda h: [*h[:2], h[2] + b" ", h[3]]),
    ("bits that no byte needs, in the salt", lambda h: [h[0], _not_canonical(h[1], len(h[1]) - 3), *h[2:]]),
    ("bits that no byte needs, in the body", lambda h: [*h[:2], _not_canonical(h[2], len(h[2]) - 1), h[3]]),
]


def _not_canonical(line: bytes, place: int) -> bytes:
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return line[:place] + bytes([letters[letters.index(line[place]) ^ 1]]) + line[place + 1 :]


@pytest.mark.parametrize(("what", "change"), HEADS, ids=[what for what, _ in HEADS])
def test_a_header_that_is_not_quite_right_is_refused(what: str, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Each is signed anew with the right key, so that nothing but the strictness can notice."""
    sealed = encrypted(b"data")
    with pytest.raises((BackupDamaged, NotABackup, NotForAPassword)):
        decrypted(with_head(sealed, change(head_of(sealed))))


@pytest.mark.parametrize(
    "last", [b"---", b"---  MAC", b"--- MAC ", b"--- MAC=", b"---MAC", b"--- short", b"--- MACMAC", b"-- MAC"]
)
def test_a_last_line_that_is_not_quite_right_is_refused(last: bytes) -> None:
    sealed = encrypted(b"data")
    lines = head_of(sealed)
    changed = with_head(sealed, [*lines[:3], last.replace(b"MAC", lines[3][4:])], sign=False)
    with pytest.raises(BackupDamaged):
        decrypted(changed)


def test_a_mac_that_is_not_canonical_is_refused() -> None:
    sealed = encrypted(b"data")
    lines = head_of(sealed)
    changed = with_head(sealed, [*lines[:3], _not_canonical(lines[3], len(lines[3]) - 1)], sign=False)
    with pytest.raises(BackupDamaged, match="canonical"):
        decrypted(changed)


def test_a_file_for_a_key_is_told_from_one_with_a_password() -> None:
    share = base64.b64encode(bytes(32)).rstrip(b"=")
    with pytest.raises(NotForAPassword, match="age -d -i"):
        decrypted(b"\n".join([b"age-encryption.org/v1", b"-> X25519 " + share, share, b"--- " + share, b""]))


def test_memory_does_not_grow_with_the_file() -> None:
    class Counting(io.RawIOBase):
        written = 0

        def write(self, data: bytes, /) -> int:  # type: ignore[override]
            assert len(data) <= CHUNK + 16 + 200
            self.written += len(data)
            return len(data)

    sink = Counting()
    writer = EncryptingWriter(sink, PASSWORD, QUICK)
    for _ in range(200):
        writer.write(bytes(CHUNK + 1))
        assert len(writer._held) <= CHUNK
    writer.finish()
    assert sink.written > 200 * CHUNK


def _ask(command: str, password: str, times: int) -> None:
    """Run age in a shell; it asks at the terminal."""
    child = pexpect.spawn("sh", ["-c", command], timeout=60)
    for _ in range(times):
        child.expect("assphrase")
        child.sendline(password)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, child.before


def test_age_is_here() -> None:
    assert shutil.which("age"), "install the system packages of the tests: scripts/system-packages test"


@pytest.mark.live
@pytest.mark.parametrize(("size", "factor"), [(0, age.WORK_FACTOR), (2 * CHUNK, QUICK)])
def test_age_opens_what_we_wrote(tmp_path: Path, size: int, factor: int) -> None:
    data = os.urandom(size)
    with (tmp_path / "x.age").open("wb") as file:
        writer = EncryptingWriter(file, PASSWORD, factor)
        writer.write(data)
        writer.finish()
    _ask(f"age -d {tmp_path}/x.age > {tmp_path}/x", PASSWORD.decode(), 1)
    assert (tmp_path / "x").read_bytes() == data


@pytest.mark.live
@pytest.mark.parametrize("size", [0, 2 * CHUNK + 17])
def test_we_open_what_age_wrote(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "x").write_bytes(data)
    _ask(f"age -p -o {tmp_path}/x.age {tmp_path}/x", PASSWORD.decode(), 2)
    with (tmp_path / "x.age").open("rb") as file:
        assert decrypting_reader(file, PASSWORD).read() == data
