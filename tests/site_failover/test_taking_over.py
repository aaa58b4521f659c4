"""Becoming primary while the peer is silent: how long it is waited for (F4)."""

from typing import Any

import pytest

from staffetta.kernel.clock import utc_now
from staffetta.site.data import identity
from staffetta.site.data.models import SiteInstance
from staffetta.site.data.roles import Role
from staffetta.site.failover import taking_over
from staffetta.site.failover.errors import PeerUnreachable
from staffetta.site.failover.models import Relationship
from staffetta.site.failover.reaching import Limits

pytestmark = [pytest.mark.django_db, pytest.mark.req("F4")]


class Silent:
    """A peer that does not answer."""

    def __enter__(self) -> "Silent":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def get(self, path: str) -> dict[str, Any]:
        raise PeerUnreachable("It is silent.")


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[Limits]:
    """This appliance is the backup of a silent primary; the limits of each connection to it."""
    Relationship.objects.create(
        peer_origin="peerpeerpeerpeerpeerpeerpe",
        peer_key=b"k" * 32,
        peer_host="peer",
        peer_port=443,
        own_host="own",
        own_port=443,
        peer_leaf="00",
        peer_term=6,
        established_at=utc_now(),
    )
    SiteInstance.objects.update(role=Role.BACKUP, role_term=5)
    limits: list[Limits] = []

    def peer_of(_: Relationship, of_it: Limits | None = None) -> Silent:
        limits.append(of_it or Limits())
        return Silent()

    monkeypatch.setattr(taking_over, "peer_of", peer_of)
    return limits


def test_without_a_data_sync_a_silent_peer_is_not_waited_for_as_long(waited: list[Limits]) -> None:
    with pytest.raises(PeerUnreachable, match="--no-sync"):
        taking_over.become_primary("admin", with_sync=True)
    assert identity.role() is Role.BACKUP
    taking_over.become_primary("admin", with_sync=False)
    assert (identity.role(), identity.role_term()) == (Role.PRIMARY, 7)
    patient, brief = waited
    assert brief.connect < patient.connect
    assert brief.whole < patient.whole
