"""Which consoles are signed out: a browser's with its web session, a terminal's when its account says so.

- A browser's console holds as long as its web session, whatever token that has. An hour without a page, or the 12 hours
  from its start, sign it out for new sessions. One that is under way goes on, as in a terminal, until somebody ends the
  web session: work is not cut by the clock.
- A web session that this appliance has never heard of may not have come by data-sync yet. Its consoles hold, and those
  of a terminal too, until the account says that all consoles from before are signed out.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from staffetta.site.accounts.models import Account, WebSession
from staffetta.wire.signed import from_milliseconds, milliseconds

_STEP: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class SignIn:
    """By what a console came online: the rep's credential, for the web session ``web`` or none.

    ``since`` is what the account's ``consoles_since`` was when it was signed in to; where nobody knows, when it was.
    """

    rep: str
    web: str
    since: datetime


def void_consoles(account: Account, now: datetime) -> None:
    """Sign out every console of an account but those of its web sessions that go on. Raises ``ReadOnlyHere``.

    In the caller's transaction. The value grows even if the clock stands behind the one that it was last set by.
    """
    known = Account.objects.values_list("consoles_since", flat=True).get(pk=account.pk)
    at = from_milliseconds(milliseconds(now))  # what a credential can say
    account.consoles_since = at if known is None else max(at, known + _STEP)
    account.save(update_fields=["consoles_since"])


def void_every_console(now: datetime) -> None:
    """The same for every account, after a restore: the backup does not know who was signed out since it was made."""
    for account in Account.objects.all():
        void_consoles(account, now)


def signed_out(consoles: Collection[SignIn], now: datetime, *, under_way: bool) -> frozenset[SignIn]:
    """Return which of these are signed out; ``under_way``: it is their sessions that are asked about.

    However many they are, it costs two queries.
    """
    if not consoles:
        return frozenset()
    since = dict(
        Account.objects.filter(pk__in={one.rep for one in consoles}, consoles_since__isnull=False).values_list(
            "pk", "consoles_since"
        )
    )
    known: dict[str, list[WebSession]] = {}
    named = {one.web for one in consoles if one.web}
    for row in WebSession.objects.filter(console__in=named).defer("data") if named else ():
        known.setdefault(row.console or "", []).append(row)
    return frozenset(
        one for one in consoles if not _holds(one, since.get(one.rep), known.get(one.web, ()), now, under_way)
    )


def _holds(
    console: SignIn, since: datetime | None, known: Iterable[WebSession], now: datetime, under_way: bool
) -> bool:
    """Pure. There are several rows of a web session when its token was drawn anew."""
    rows = tuple(known)
    if not rows:
        return since is None or console.since >= since
    return any(row.ended_at is None and (under_way or now < row.expires_at) for row in rows)
