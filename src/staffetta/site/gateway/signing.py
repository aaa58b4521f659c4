"""What the gateway signs for the site: statements of who it is, pointers, session tickets, consoles' credentials."""

from datetime import datetime
from typing import Final

from staffetta.front.certificates import CertificateStore
from staffetta.kernel.clock import utc_now
from staffetta.site.gateway.standing import Standing
from staffetta.wire import messages, signed, tickets, waking
from staffetta.wire.identity import SigningKey, certificate_sha256
from staffetta.wire.signed import Statement
from staffetta.wire.tickets import About
from staffetta.wire.vocabulary import EndName

ELSEWHERE: Final = "elsewhere"
"""Why a ``move`` points to the other appliance, and the code of an HTTP answer that does."""

_SITE_ID_DIGITS: Final = 32
_FRESH_SECONDS: Final = 300
"""A statement is signed again after this long: what two appliances say counts while it is about as fresh."""

Content = tuple[tuple[bytes, ...], tuple[str, ...], int]
"""What a statement says: certificates, addresses, term."""


class Signer:
    """The site's identity key with the facts that go into what it signs."""

    def __init__(self, key: SigningKey, standing: Standing, certificates: CertificateStore) -> None:
        self.standing = standing
        self._certificates = certificates
        self._take(key)
        self._shown: tuple[bytes, ...] = ()
        self._signed: Content | None = None
        self._sequence = 0
        self._issued = 0
        self._statement = ""
        self._pointer = ""

    @property
    def term(self) -> int:
        """The role term that tickets, statements and moves carry."""
        return self.standing.term

    @property
    def serves(self) -> bool:
        """Whether clients, consoles and sessions belong to this appliance."""
        return self.standing.serves

    def adopt(self, standing: Standing, key: SigningKey) -> None:
        """Take what this appliance is now; what is signed from here on says so, and is signed by this key.

        The site of a new backup becomes its primary's: data-sync brings it the key that clients know.
        """
        self.standing = standing
        if key.public != self.public:
            self._take(key)
            self._signed = None

    def _take(self, key: SigningKey) -> None:
        self.public = key.public
        self._key = key
        self._site = certificate_sha256(key.public).hex()[:_SITE_ID_DIGITS]

    def certificate(self) -> bytes:
        """Return the SHA-256 of the leaf certificate that is shown now."""
        return bytes.fromhex(self._certificates.sha256())

    def content(self) -> Content:
        """Return what a statement says now.

        It names the certificate before this one too: another generation may show that for a moment longer.
        """
        shown = self.certificate()
        if shown not in self._shown[:1]:
            self._shown = (shown, *self._shown[:1])
        certificates = tuple(dict.fromkeys((*self._shown, *self.standing.peer_leaves)))
        return certificates, self.standing.addresses, self.term

    def statement(self) -> str:
        """Return the newest statement; a new one is signed when what it says has changed, or it is not fresh."""
        content, now = self.content(), utc_now()
        if content != self._signed or not 0 <= signed.seconds(now) - self._issued < _FRESH_SECONDS:
            # Milliseconds rise across the generations of one appliance, and about across the two of a pair, which do
            # not know each other's numbers.
            self._sequence = max(int(now.timestamp() * 1000), self._sequence + 1)
            self._issued, self._signed = signed.seconds(now), content
            certificates, addresses, term = content
            self._statement = self._sign(certificates, addresses, term)
            self._pointer = self._sign(certificates, self.standing.pointer, term)
        return self._statement

    def pointer(self) -> str:
        """Return a statement, no newer than the newest, whose addresses begin with the other appliance's own."""
        self.statement()
        return self._pointer

    def move(self, reason: str) -> messages.Move:
        """Return the ``move`` to the place where ends belong: here, or with the primary when that is elsewhere."""
        return messages.Move(self.term, self.statement(), reason) if self.serves else self.point()

    def point(self, term: int = 0) -> messages.Move:
        """Return the ``move`` to the other appliance; ``term`` if a later one than our own was proven."""
        elsewhere = self.standing.elsewhere
        addresses = None if elsewhere is None else (elsewhere,)
        return messages.Move(max(term, self.term), self.pointer(), ELSEWHERE, addresses)

    def ticket(self, session: str, end: EndName, key: bytes, about: About | None) -> str:
        """Return a fresh ticket for this end of a session, bound to the end's key."""
        return tickets.make_ticket(session, end, key, self.term, utc_now(), self._key, about)

    def credential(self, rep: str, name: str, key: bytes, since: datetime | None) -> str:
        """Return a credential for the console of a rep who has just signed in; ``since``: see ``make_credential``."""
        return signed.make_credential(rep, name, key, utc_now(), self._key, since)

    def wake_up(self, nonce: bytes, client: str) -> bytes:
        """Return the proof that lets a passive client check in."""
        return waking.make_answer(nonce, client, self._key)

    def now(self) -> datetime:
        """Return the time that tickets and credentials are judged by."""
        return utc_now()

    def _sign(self, certificates: tuple[bytes, ...], addresses: tuple[str, ...], term: int) -> str:
        return Statement(
            site=self._site,
            certificates=certificates,
            addresses=addresses,
            term=term,
            sequence=self._sequence,
            issued=self._issued,
            appliance=self.standing.appliance,
        ).sign(self._key)
