"""Whole sites in this process: a database, a folder and an incarnation each; what runs ``with site:`` runs there."""

import itertools
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from staffetta.kernel.errors import StaffettaError
from staffetta.kernel.ids import new_id
from staffetta.site.data import identity, records
from staffetta.site.data.models import SiteInstance
from staffetta.site.data.roles import Role
from staffetta.site.data.secrets import Secret
from staffetta.site.failover.answers import ANSWERS, Asked
from staffetta.site.failover.errors import PeerRefused, PeerUnreachable
from staffetta.site.failover.models import PairIdentity
from staffetta.site.failover.sync import service

KEY = b"a key of thirty-two bytes at all"
_NUMBERS = itertools.count()


class Site:
    """One site. A copy of another is made by ``copy``; ``draw`` gives the id of an incarnation of the site named."""

    def __init__(self, name: str, folder: Path, draw: Callable[[str], str] = new_id) -> None:
        self.name = name
        self.folder = folder
        self.draw = draw
        self.incarnation = draw(name)
        alias = f"site{next(_NUMBERS)}"
        database = {**connections.settings["default"], "NAME": f"file:{alias}?mode=memory&cache=shared"}
        database["OPTIONS"] = {**database["OPTIONS"], "uri": True}
        self._keep = sqlite3.connect(database["NAME"], uri=True, check_same_thread=False)
        connections.settings[alias] = database
        self._wrapper: BaseDatabaseWrapper = connections[alias]
        self._alias = alias
        self._before: list[tuple[BaseDatabaseWrapper, Any, str]] = []
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        self._before.append((connections["default"], settings.STAFFETTA_SITE_FOLDER, records.current_incarnation()))
        self._wrapper.alias = "default"
        connections["default"] = self._wrapper
        settings.STAFFETTA_SITE_FOLDER = self.folder
        records._DRAWN.id, records._DRAWN.again = self.incarnation, self._again  # type: ignore[method-assign]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.incarnation = records.current_incarnation()
        connections["default"], settings.STAFFETTA_SITE_FOLDER, records._DRAWN.id = self._before.pop()

    def _again(self) -> None:
        records._DRAWN.id = self.draw(self.name)

    def restart(self) -> None:
        """The processes start anew: another incarnation."""
        self.incarnation = self.draw(self.name)

    def saved(self) -> sqlite3.Connection:
        """A copy of the database as it is."""
        copy = sqlite3.connect(":memory:")
        self._keep.backup(copy)
        return copy

    def put_back(self, copy: sqlite3.Connection) -> None:
        """The database is as it was; nothing else of the appliance is."""
        self._wrapper.close()
        copy.backup(self._keep)

    def close(self) -> None:
        """Forget the database."""
        self._wrapper.alias = self._alias
        self._wrapper.close()
        self._keep.close()
        del connections.settings[self._alias]


class LocalPeer:
    """The other site, asked directly; every call goes through JSON as on the wire, and may be cut off."""

    def __init__(self, site: Site, cut: Callable[[], bool] = lambda: False) -> None:
        self._site = site
        self._cut = cut
        with site:
            self._origin = identity.origin()
        self.asker = ""

    @property
    def origin(self) -> str:
        return self._origin

    def get(self, path: str, parameters: Mapping[str, str] | None = None) -> dict[str, Any]:
        return self._ask("GET", path, Asked(self.asker, parameters=dict(parameters or {})))

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._ask("POST", path, Asked(self.asker, body=json.loads(json.dumps(body))))

    def stream(self, path: str, start: int) -> Iterator[bytes]:
        head, _, rest = path.partition("/")
        self._fail()
        with self._refusing(), self._site:
            found = ANSWERS["GET", f"{head}/"](Asked(self.asker, rest=rest))
        assert isinstance(found, Path)
        whole = found.read_bytes()[start:]
        for place in range(0, len(whole), 1000):
            self._fail()
            yield whole[place : place + 1000]

    def _ask(self, method: str, path: str, asked: Asked) -> dict[str, Any]:
        self._fail()
        with self._refusing(), self._site:
            answer = json.loads(json.dumps(ANSWERS[method, path](asked)))
        self._fail()  # what was asked is done, and the answer is lost
        assert isinstance(answer, dict)
        return answer

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except StaffettaError as error:
            raise PeerRefused(error.message, error.code) from error

    def _fail(self) -> None:
        if self._cut():
            raise PeerUnreachable("the cable was pulled")


def pair_of(template: Site, folder: Path, draw: Callable[[str], str] = new_id) -> tuple[Site, Site]:
    """Two sites with the same key: A is primary, B its backup."""
    made = (Site("A", folder / "a", draw), Site("B", folder / "b", draw))
    copy = template.saved()
    for site in made:
        site.put_back(copy)
        with site:
            SiteInstance.objects.all().delete()
            identity.ensure()
            PairIdentity.objects.create(seed=Secret(b"s" * 32), preshared_key=Secret(KEY))
    establish(*made)
    return made


def establish(primary: Site, backup: Site) -> None:
    """Roles as after establishing a relationship; the handshake itself is tested elsewhere."""
    terms = []
    for site in (primary, backup):
        with site:
            terms.append(identity.role_term())
    for site, role in ((primary, Role.PRIMARY), (backup, Role.BACKUP)):
        with site:
            SiteInstance.objects.update(role=role, role_term=max(terms) + 1)
            service.begin_role()


def break_up(*sites: Site) -> None:
    """Both serve alone."""
    for site in sites:
        with site:
            SiteInstance.objects.update(role=Role.ALONE)


def swap(primary: Site, backup: Site) -> None:
    """The backup becomes primary and the primary steps down."""
    with backup:
        term = identity.role_term() + 1
        SiteInstance.objects.update(role=Role.PRIMARY, role_term=term)
        service.begin_role()
    with primary:
        SiteInstance.objects.update(role=Role.BACKUP, role_term=term)
        service.begin_role()


def round_of(site: Site, other: Site, cut: Callable[[], bool] = lambda: False) -> None:
    """One round of data-sync on a site."""
    peer = LocalPeer(other, cut)
    with site:
        peer.asker = identity.origin()
        service._PACE._next = 0.0  # each round is looked at by itself
        service.pull(peer)
