"""The age v1 file format with a password (an scrypt recipient), streamed: memory does not grow with the file.

Written from the specification (https://age-encryption.org/v1). The header is read strictly, as the public CCTV
vectors ask: exactly one stanza, of type scrypt; canonical base64 without padding; a work factor in plain decimal.

    age-encryption.org/v1
    -> scrypt <salt, 16 bytes> <log2 of N>
    <file key, 16 bytes, sealed with ChaCha20-Poly1305 under scrypt(password)>
    --- <HMAC-SHA256 of everything up to and with the three dashes>

The payload is a nonce of 16 bytes and chunks of 64 KiB, each sealed under HKDF(file key, nonce) with its number; the
last one is marked as such and is empty only when the whole payload is.
"""

import base64
import binascii
import hmac
import io
import os
import re
from collections.abc import Iterator
from typing import BinaryIO, Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from staffetta.site.backup.errors import BackupDamaged, NotABackup, NotForAPassword, WrongPassword

MAGIC: Final = b"age-encryption.org/v1\n"
WORK_FACTOR: Final = 17
"""log2 of scrypt's N for new files: 128 MiB of memory and about a second, once per file."""
HIGHEST_WORK_FACTOR: Final = 20
"""What is still computed for a file that somebody else wrote: 1 GiB of memory."""
CHUNK: Final = 64 * 1024

_TAG: Final = 16
_SEALED_CHUNK: Final = CHUNK + _TAG
_FILE_KEY: Final = 16
_SALT: Final = 16
_NONCE: Final = 16
_LONGEST_LINE: Final = 4096
_LABEL: Final = b"age-encryption.org/v1/scrypt"
_STANZA: Final = re.compile(rb"-> scrypt ([A-Za-z0-9+/]{22}) ([1-9][0-9]*)\n")
_BODY: Final = re.compile(rb"([A-Za-z0-9+/]{43})\n")
_MAC: Final = re.compile(rb"--- ([A-Za-z0-9+/]{43})\n")


def is_age(source: BinaryIO) -> bool:
    """Whether a file is an age file; leaves it at its beginning."""
    source.seek(0)
    begins = source.read(len(MAGIC))
    source.seek(0)
    return begins == MAGIC


class Sink(Protocol):
    """Takes bytes."""

    def write(self, data: bytes, /) -> object:
        """Take all of them."""


class EncryptingWriter:
    """Writes an age file to ``sink``; what was written is whole only after ``finish``."""

    def __init__(self, sink: Sink, password: bytes, work_factor: int = WORK_FACTOR) -> None:
        file_key, salt, nonce = os.urandom(_FILE_KEY), os.urandom(_SALT), os.urandom(_NONCE)
        wrapping = ChaCha20Poly1305(_wrapping_key(password, salt, work_factor))
        body = wrapping.encrypt(bytes(12), file_key, None)
        signed = b"%s-> scrypt %s %d\n%s\n---" % (MAGIC, _encode(salt), work_factor, _encode(body))
        sink.write(signed + b" " + _encode(_mac(file_key, signed)) + b"\n" + nonce)
        self._sink = sink
        self._cipher = _payload_cipher(file_key, nonce)
        self._number = 0
        self._held = bytearray()

    def write(self, data: bytes, /) -> int:
        """Encrypt and pass on what fills a chunk; at least one byte is always held, for the last chunk."""
        self._held += data
        if len(self._held) > CHUNK:
            held = memoryview(bytes(self._held))
            whole = (len(held) - 1) // CHUNK * CHUNK
            for start in range(0, whole, CHUNK):
                self._seal(held[start : start + CHUNK], last=False)
            self._held = bytearray(held[whole:])
        return len(data)

    def finish(self) -> None:
        """Write the last chunk."""
        self._seal(self._held, last=True)
        self._held.clear()

    def _seal(self, plain: bytes | bytearray | memoryview, *, last: bool) -> None:
        self._sink.write(self._cipher.encrypt(_chunk_nonce(self._number, last=last), plain, None))
        self._number += 1


def decrypting_reader(source: BinaryIO, password: bytes) -> io.BufferedReader:
    """Return a reader of what an age file holds; ``source`` stands at its beginning.

    Raises ``NotABackup``, ``NotForAPassword``, ``BackupDamaged`` and ``WrongPassword`` here for the header, and
    ``BackupDamaged`` when a read comes to a chunk that is not as it was written. Nothing unverified is ever returned.
    """
    file_key = _open_header(source, password)
    nonce = source.read(_NONCE)
    if len(nonce) != _NONCE:
        raise _cut_short()
    return io.BufferedReader(_Pieces(_opened_chunks(source, _payload_cipher(file_key, nonce))), CHUNK)


def _open_header(source: BinaryIO, password: bytes) -> bytes:
    if source.readline(_LONGEST_LINE) != MAGIC:
        raise NotABackup("The file is not an age file of version 1.")
    lines = [source.readline(_LONGEST_LINE) for _line in range(3)]
    if not lines[0].startswith(b"-> scrypt "):
        if re.match(rb"-> [!-~]+[ \n]", lines[0]):
            raise NotForAPassword("The file is encrypted for a key, not with a password; decrypt it with `age -d -i`.")
        raise BackupDamaged("The beginning of the backup is damaged.")
    stanza, body, mac = _STANZA.fullmatch(lines[0]), _BODY.fullmatch(lines[1]), _MAC.fullmatch(lines[2])
    if stanza is None or body is None or mac is None:
        raise BackupDamaged("The beginning of the backup is damaged, or it holds more than one password's stanza.")
    salt, sealed, stated = _decode(stanza[1]), _decode(body[1]), _decode(mac[1])
    # Compared by length first: a number of a thousand digits is not worth reading.
    if len(stanza[2]) > 2 or int(stanza[2]) > HIGHEST_WORK_FACTOR:
        raise NotForAPassword(
            f"The file asks for a work factor of {stanza[2][:20].decode()}; at most {HIGHEST_WORK_FACTOR} is computed "
            "here. Decrypt it with `age -d` and restore the tar."
        )
    try:
        wrapping = ChaCha20Poly1305(_wrapping_key(password, salt, int(stanza[2])))
        file_key = wrapping.decrypt(bytes(12), sealed, None)
    except InvalidTag:
        raise WrongPassword("The password is wrong, or the first lines of the backup are damaged.") from None
    if not hmac.compare_digest(_mac(file_key, MAGIC + lines[0] + lines[1] + b"---"), stated):
        raise BackupDamaged("The password is right, but the beginning of the backup was altered.")
    return file_key


def _opened_chunks(source: BinaryIO, cipher: ChaCha20Poly1305) -> Iterator[bytes]:
    number = 0
    sealed = _read(source, _SEALED_CHUNK)
    while True:
        following = _read(source, _SEALED_CHUNK) if len(sealed) == _SEALED_CHUNK else b""
        last = not following
        plain = _opened(cipher, number, sealed, last=last)
        if plain is None:
            if last and (len(sealed) <= _TAG or _opened(cipher, number, sealed, last=False) is not None):
                raise _cut_short()
            raise BackupDamaged(
                f"The backup is damaged near byte {number * CHUNK} of its content, or was cut short there."
            )
        if last and not plain and number:
            raise BackupDamaged("The backup ends with an empty piece: it was not written like this.")
        yield plain
        if last:
            return
        number += 1
        sealed = following


def _opened(cipher: ChaCha20Poly1305, number: int, sealed: bytes, *, last: bool) -> bytes | None:
    try:
        return cipher.decrypt(_chunk_nonce(number, last=last), sealed, None)
    except InvalidTag:
        return None


class _Pieces(io.RawIOBase):
    """A raw stream over an iterator of pieces, of which only a last one may be empty."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview", /) -> int:  # type: ignore[override]
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def _read(source: BinaryIO, size: int) -> bytes:
    """Exactly ``size`` bytes, or what is left."""
    found = source.read(size)
    while 0 < len(found) < size and (more := source.read(size - len(found))):
        found += more
    return found


def _cut_short() -> BackupDamaged:
    return BackupDamaged("The backup ends too early: it was not copied whole.")


def _chunk_nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\x01" if last else b"\x00")


def _payload_cipher(file_key: bytes, nonce: bytes) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(HKDF(SHA256(), length=32, salt=nonce, info=b"payload").derive(file_key))


def _mac(file_key: bytes, signed: bytes) -> bytes:
    key = HKDF(SHA256(), length=32, salt=None, info=b"header").derive(file_key)
    return hmac.digest(key, signed, "sha256")


def _wrapping_key(password: bytes, salt: bytes, work_factor: int) -> bytes:
    return Scrypt(salt=_LABEL + salt, length=32, n=1 << work_factor, r=8, p=1).derive(password)


def _encode(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def _decode(text: bytes) -> bytes:
    """Canonical base64 only: the unused bits of the last letter must be zero."""
    try:
        data = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        data = b""
    if _encode(data) != text:
        raise BackupDamaged("The beginning of the backup is damaged: its base64 is not canonical.")
    return data
