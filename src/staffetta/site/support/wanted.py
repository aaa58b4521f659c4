"""Which sessions somebody wants to see: the rows that match, and how an address says it."""

from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time
from typing import Final

from django.db.models import Q
from django.utils.http import urlencode

GOING_ON: Final = "going-on"
ENDED: Final = "ended"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Sessions that match everything that is named here.

    ``search`` is part of either name or begins the id; ``since`` and ``until`` are days in UTC, both included, on which
    a session was opened.
    """

    search: str = ""
    rep: str = ""
    computer: str = ""
    kind: str = ""
    state: str = ""
    since: date | None = None
    until: date | None = None

    @property
    def query(self) -> str:
        """The same as an address says it; empty when every session is wanted."""
        said = {one.name: getattr(self, one.name) for one in fields(self)}
        return urlencode({name: str(value) for name, value in said.items() if value})

    def matching(self) -> Q:
        """The condition on rows of ``SessionReport``."""
        found = Q()
        if self.search:
            names = Q(rep_name__icontains=self.search) | Q(client_name__icontains=self.search)
            found &= names | Q(pk__startswith=self.search)
        if self.rep:
            found &= Q(rep_name__icontains=self.rep)
        if self.computer:
            found &= Q(client_name__icontains=self.computer)
        if self.kind:
            found &= Q(kind=self.kind)
        if self.state:
            found &= Q(ended_at__isnull=self.state == GOING_ON)
        if self.since is not None:
            found &= Q(opened_at__gte=datetime.combine(self.since, time.min, UTC))
        if self.until is not None:
            found &= Q(opened_at__lte=datetime.combine(self.until, time.max, UTC))
        return found
