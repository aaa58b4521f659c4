"""The wake-up of a passive Jump Client: who may say "check in now", and that nothing else is said. Bytes in, bytes out.

The one thing that reaches a Jump Client from outside, over plain TCP:

    client   8 bytes "STFWAKE1" and a fresh nonce of 32 bytes, as soon as somebody connects
    site     a proof of 64 bytes by the site's identity key over nonce and client id
    client   1 byte 0x06, and closes; or closes without it

- It carries no data and asks for none. All that follows goes outwards, to the site that the client knows.
- The nonce is fresh and the client's id is in the proof: what was overheard, or made for another client, wakes nobody.
"""

from typing import Final

from staffetta.wire.errors import FrameError, NotProven, Problem
from staffetta.wire.identity import HASH_BYTES, NONCE_BYTES, PROOF_BYTES, Purpose, SigningKey, check_proof

MAGIC: Final = b"STFWAKE1"
GREETING_BYTES: Final = len(MAGIC) + NONCE_BYTES
ANSWER_BYTES: Final = PROOF_BYTES
TAKEN: Final = b"\x06"
_NO_CERTIFICATE: Final = bytes(HASH_BYTES)


def greeting(nonce: bytes) -> bytes:
    """What a client says first; the nonce is drawn for this connection alone."""
    return MAGIC + nonce


def read_greeting(message: bytes) -> bytes:
    """The nonce in a client's greeting. Raises FrameError for anything else: then nothing must be sent there."""
    if len(message) != GREETING_BYTES or not message.startswith(MAGIC):
        raise FrameError(Problem.BAD_MESSAGE, "this is no Jump Client that waits for a wake-up")
    return message[len(MAGIC) :]


def make_answer(nonce: bytes, client: str, site: SigningKey) -> bytes:
    """The site's proof for this greeting of this client."""
    return site.prove(Purpose.WAKE, nonce, _NO_CERTIFICATE, client.encode("utf-8"))


def check_answer(answer: bytes, nonce: bytes, client: str, site_key: bytes) -> None:
    """Return if the site has made the answer for this client and nonce; else raise NotProven."""
    if len(answer) != ANSWER_BYTES:
        raise NotProven("A wake-up is a proof of 64 bytes.")
    check_proof(site_key, answer, Purpose.WAKE, nonce, _NO_CERTIFICATE, client.encode("utf-8"))
