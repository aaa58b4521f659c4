"""What the gateway signs for the site: statements of who it is, tickets of sessions, credentials of consoles."""

from datetime import datetime
from typing import Final

from staffetta.front.certificates import CertificateStore
from staffetta.kernel.clock import utc_now
from staffetta.wire import signed, tickets
from staffetta.wire.identity import SigningKey, certificate_sha256
from staffetta.wire.messages import EndName
from staffetta.wire.signed import Statement

_SITE_ID_DIGITS: Final = 32


class Signer:
    """The site's identity key with the facts that go into what it signs."""

    def __init__(self, key: SigningKey, term: int, addresses: tuple[str, ...], certificates: CertificateStore) -> None:
        self.term = term
        self.public = key.public
        self.addresses = addresses
        self._key = key
        self._certificates = certificates
        self._site = certificate_sha256(key.public).hex()[:_SITE_ID_DIGITS]
        self._shown: tuple[str, ...] = ()
        self._statement = ""

    def certificate(self) -> bytes:
        """Return the SHA-256 of the leaf certificate that is shown now."""
        return bytes.fromhex(self._certificates.sha256())

    def statement(self) -> str:
        """Return the newest statement; a new one is signed when the certificate has changed.

        It names the certificate before this one too: another generation may show that for a moment longer.
        """
        shown = self._certificates.sha256()
        if shown not in self._shown[:1]:
            self._shown = (shown, *self._shown[:1])
            now = utc_now()
            # Milliseconds rise across the generations of one appliance, which do not know each other's numbers.
            statement = Statement(
                site=self._site,
                certificates=tuple(bytes.fromhex(one) for one in self._shown),
                addresses=self.addresses,
                term=self.term,
                sequence=int(now.timestamp() * 1000),
                issued=signed.seconds(now),
            )
            self._statement = statement.sign(self._key)
        return self._statement

    def ticket(self, session: str, end: EndName, key: bytes) -> str:
        """Return a fresh ticket for this end of a session, bound to the end's key."""
        return tickets.make_ticket(session, end, key, self.term, utc_now(), self._key)

    def credential(self, rep: str, name: str, key: bytes) -> str:
        """Return a credential for the console of a rep who has just signed in."""
        return signed.make_credential(rep, name, key, utc_now(), self._key)

    def now(self) -> datetime:
        """Return the time that tickets and credentials are judged by."""
        return utc_now()
