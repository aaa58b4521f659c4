"""Where to dial next, and whom to believe: the newest statement of the site and the addresses in it.

- Newest is by role term, then by sequence within it: a higher term always wins, and an older statement never
  replaces a newer one, whoever sends it.
- The order is: what a ``move`` named, then where it last worked, then the statement's, then the installer's.
- A TLS peer is the site only if the newest statement names its leaf certificate.
"""

from collections.abc import Iterable, Sequence

from staffetta.wire.errors import NotProven
from staffetta.wire.signed import Statement, read_statement


class AddressBook:
    """What one client knows of its site. ``site_key``: the site's public identity key, from the installer."""

    def __init__(self, site_key: bytes, addresses: Iterable[str], statement: str | None = None) -> None:
        self.site_key = site_key
        self.token: str | None = None
        self.statement: Statement | None = None
        self._first = tuple(addresses)
        self._named: tuple[str, ...] = ()
        self._worked: str | None = None
        self._tried: set[str] = set()
        if statement is not None:
            self.adopt(statement)

    @property
    def term(self) -> int:
        """The highest role term seen; 0 before any statement."""
        return 0 if self.statement is None else self.statement.term

    @property
    def addresses(self) -> tuple[str, ...]:
        """All addresses, "host:port", in the order in which they are tried."""
        worked = () if self._worked is None else (self._worked,)
        stated = () if self.statement is None else self.statement.addresses
        known = (*stated, *self._first)
        return tuple(dict.fromkeys((*self._named, *(address for address in worked if address in known), *known)))

    def adopt(self, token: str) -> bool:
        """Take a statement if it is newer than the one held; whether it was. Raises NotProven if it is not the site's.

        A newer statement is stored by the caller: ``token`` is what to keep for the next start.
        """
        statement = read_statement(token, self.site_key)
        held = self.statement
        if held is not None:
            if statement.site != held.site:
                raise NotProven("The statement is of another site.")
            if (statement.term, statement.sequence) <= (held.term, held.sequence):
                return False
        self.statement, self.token = statement, token
        return True

    def check_peer(self, certificate: bytes) -> None:
        """Return if the newest statement names this leaf certificate (SHA-256); else raise NotProven."""
        if self.statement is None or not self.statement.names(certificate):
            raise NotProven("The far side's certificate is not one the site has signed for.")

    def follow(self, addresses: Sequence[str] | None, term: int) -> None:
        """Take the addresses of a ``move`` first from now on. A move of an older term than known changes nothing."""
        if term < self.term:
            return
        self._named = tuple(addresses or ())
        self._tried.clear()

    def succeeded(self, address: str) -> None:
        """This address answered and proved itself: it is the first to be tried next time."""
        self._worked = address
        self._named = ()
        self._tried.clear()

    def next(self) -> str:
        """The next address to dial: each once, in order, then all again."""
        order = self.addresses
        if not order:
            raise NotProven("No address of the site is known: enrol again with a new installer token.")
        rest = [address for address in order if address not in self._tried]
        if not rest:
            self._tried.clear()
            self._named = ()
            rest = list(self.addresses)
        self._tried.add(rest[0])
        return rest[0]
