"""Where to dial next, and whom to believe: the newest statements of the site and the addresses in them.

- Newest is by role term, then by sequence within it: a higher term always wins, and an older statement never
  replaces a newer one, whoever sends it.
- The order is: what a ``move`` named, then where it last worked, then the statement's, then the installer's; who
  pointed elsewhere comes last.
- A TLS peer is the site only if the newest statement names its leaf certificate, or the newest of the other appliance
  of a pair: in the same term and hardly older, since the two do not tell each other of a new certificate at once.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from staffetta.wire.errors import NotProven
from staffetta.wire.signed import Statement, read_statement

OTHER_SECONDS: Final = 900
"""How much older the other appliance's statement may be; each signs a fresh one every few minutes."""


class AddressBook:
    """What one client knows of its site. ``site_key``: the site's public identity key, from the installer."""

    def __init__(self, site_key: bytes, addresses: Iterable[str], statement: str | None = None) -> None:
        self.site_key = site_key
        self.token: str | None = None
        self.statement: Statement | None = None
        self._of_appliance: dict[str, Statement] = {}
        self._first = tuple(addresses)
        self._named: tuple[str, ...] = ()
        self._last: str | None = None
        self._worked: str | None = None
        self._tried: set[str] = set()
        if statement is not None:
            self.adopt(statement)

    @property
    def term(self) -> int:
        """The highest role term seen; 0 before any statement."""
        return 0 if self.statement is None else self.statement.term

    @property
    def named(self) -> bool:
        """Whether a ``move`` has named where to go, and that was not tried in vain yet."""
        return bool(self._named)

    @property
    def addresses(self) -> tuple[str, ...]:
        """All addresses, "host:port", in the order in which they are tried."""
        worked = () if self._worked is None else (self._worked,)
        stated = () if self.statement is None else self.statement.addresses
        known = (*stated, *self._first)
        order = dict.fromkeys((*self._named, *(address for address in worked if address in known), *known))
        if self._last in order and self._last not in self._named:
            del order[self._last]
            order[self._last] = None
        return tuple(order)

    def adopt(self, token: str) -> bool:
        """Take a statement if it is newer than the one held; whether it was. Raises NotProven if it is not the site's.

        A newer statement is stored by the caller: ``token`` is what to keep for the next start.
        """
        statement = read_statement(token, self.site_key)
        held = self.statement
        if held is not None and statement.site != held.site:
            raise NotProven("The statement is of another site.")
        same = self._of_appliance.get(statement.appliance)
        if same is None or _age(statement) > _age(same):
            self._of_appliance[statement.appliance] = statement
        if held is not None and _age(statement) <= _age(held):
            return False
        self.statement, self.token = statement, token
        self._of_appliance = {one.appliance: one for one in self._believed()}
        return True

    def check_peer(self, certificate: bytes) -> None:
        """Return if a newest statement names this leaf certificate (SHA-256); else raise NotProven."""
        if not any(statement.names(certificate) for statement in self._believed()):
            raise NotProven("The far side's certificate is not one the site has signed for.")

    def follow(self, addresses: Sequence[str] | None, term: int, pointed_by: str | None = None) -> bool:
        """Take the addresses of a ``move`` first from now on; whether it counts.

        A move of an older term than known changes nothing. ``pointed_by`` is the address of an appliance that serves
        nobody itself: it is tried last.
        """
        if term < self.term:
            return False
        self._named = tuple(addresses or ())
        self._last = pointed_by
        self._tried.clear()
        return True

    def succeeded(self, address: str) -> None:
        """This address answered and proved itself: it is the first to be tried next time."""
        self._worked = address
        self._forget_move()

    def next(self) -> str:
        """The next address to dial: each once, in order, then all again."""
        order = self.addresses
        if not order:
            raise NotProven("No address of the site is known: enrol again with a new installer token.")
        rest = [address for address in order if address not in self._tried]
        if not rest:
            self._forget_move()
            rest = list(self.addresses)
        self._tried.add(rest[0])
        return rest[0]

    def _forget_move(self) -> None:
        self._named, self._last = (), None
        self._tried.clear()

    def _believed(self) -> Iterator[Statement]:
        newest = self.statement
        if newest is None:
            return
        yield newest
        for other in self._of_appliance.values():
            named = other.appliance not in ("", newest.appliance)
            if named and other.term == newest.term and other.issued >= newest.issued - OTHER_SECONDS:
                yield other


def _age(statement: Statement) -> tuple[int, int]:
    return statement.term, statement.sequence
