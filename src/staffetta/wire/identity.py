"""Keys: the site's and each end's Ed25519 key, and the proof that an end holds the key it is known by.

Proof of key: a signature over ``"staffetta proof v1" NUL purpose NUL nonce(32) sha256(certificate leaf, DER)
sha256(subject) counter(u64)``. The nonce is the gateway's, fresh per connection; the certificate hash binds the proof
to the TLS peer, so that a proof cannot be passed on by a machine in the middle; the subject is the token or id proven.
"""

import hashlib
import struct
from enum import StrEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from staffetta.wire.errors import NotProven

KEY_BYTES = 32
NONCE_BYTES = 32
HASH_BYTES = 32
PROOF_BYTES = 64


class Purpose(StrEnum):
    """What a proof is for; a proof for one purpose is worth nothing for another."""

    CONNECT = "connect"
    ATTACH = "attach"
    ENROL = "enrol"
    SIGN_IN = "sign-in"
    UPDATE = "update"
    PAIR = "pair"
    WAKE = "wake"


class SigningKey:
    """An Ed25519 private key. Made from a 32-byte seed that the caller drew (``secrets.token_bytes(32)``)."""

    __slots__ = ("_private", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != KEY_BYTES:
            raise NotProven(f"A signing key's seed is {KEY_BYTES} bytes, not {len(seed)}.")
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public: bytes = self._private.public_key().public_bytes_raw()

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public.hex()})"

    @property
    def private(self) -> Ed25519PrivateKey:
        """The key in the form PyJWT signs with."""
        return self._private

    def seed(self) -> bytes:
        """The 32 secret bytes, to be stored encrypted or with mode 0600."""
        return self._private.private_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """A signature of 64 bytes over the message."""
        return self._private.sign(message)

    def prove(self, purpose: Purpose, nonce: bytes, certificate: bytes, subject: bytes, counter: int = 0) -> bytes:
        """Proof of this key. ``certificate`` is the SHA-256 (32 bytes) of the TLS peer's leaf, in DER."""
        return self._private.sign(_proof_text(purpose, nonce, certificate, subject, counter))


def public_key(raw: bytes) -> Ed25519PublicKey:
    """The public key in 32 raw bytes. Raises NotProven for anything else."""
    try:
        return Ed25519PublicKey.from_public_bytes(raw)
    except (ValueError, TypeError):
        raise NotProven("A public key is 32 bytes of Ed25519.") from None


def check_proof(
    key: bytes, proof: bytes, purpose: Purpose, nonce: bytes, certificate: bytes, subject: bytes, counter: int = 0
) -> None:
    """Return if the proof was made with the private half of ``key`` for exactly these values; else raise NotProven."""
    try:
        public_key(key).verify(proof, _proof_text(purpose, nonce, certificate, subject, counter))
    except InvalidSignature:
        raise NotProven(f"The proof of key for {purpose} does not hold.") from None


def certificate_sha256(leaf_der: bytes) -> bytes:
    """The 32 bytes by which a TLS certificate is named in statements and proofs."""
    return hashlib.sha256(leaf_der).digest()


def _proof_text(purpose: Purpose, nonce: bytes, certificate: bytes, subject: bytes, counter: int) -> bytes:
    if len(nonce) != NONCE_BYTES or len(certificate) != HASH_BYTES or not 0 <= counter < 2**64:
        raise NotProven("A proof needs a nonce and a certificate hash of 32 bytes each, and a counter of 64 bits.")
    return b"".join(
        (
            b"staffetta proof v1\0",
            purpose.encode("ascii"),
            b"\0",
            nonce,
            certificate,
            hashlib.sha256(subject).digest(),
            struct.pack(">Q", counter),
        )
    )
