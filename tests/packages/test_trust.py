"""Client packages: only what the chain of roots, the delegation, the expiry and the floor all allow (U14, C1)."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Root, Targets

from staffetta.packages import Kind
from staffetta.packages.errors import DocumentInvalid, Expired, NotTrusted, OlderMetadata
from staffetta.packages.trust import TrustFloor, follow_roots, verify_clients
from staffetta.vendor.keys import ROOT_KEYS, KeyFolder, KeyName
from vendor.publisher import LATER, NOW, Publisher

pytestmark = pytest.mark.req("U14")
FLOOR = TrustFloor()


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    made = Publisher(tmp_path)
    made.release(Kind.CLIENT, "1.0")
    made.release(Kind.SITE, "1.0")
    return made


def metadata(publisher: Publisher, name: str) -> bytes:
    return (publisher.repository.metadata / name).read_bytes()


def next_root(publisher: Publisher, keys: KeyFolder, previous: bytes) -> bytes:
    root = Metadata[Root].from_bytes(previous).signed
    root.version += 1
    signed = Metadata(root)
    for name in ROOT_KEYS:
        signed.sign(keys.signer(name), append=True)
    return signed.to_bytes()


def test_a_client_believes_what_the_vendor_signed_for_clients(publisher: Publisher) -> None:
    trust = verify_clients(
        publisher.root, [publisher.root], metadata(publisher, "2.targets.json"), metadata(publisher, "2.clients.json"),
        now=LATER, floor=FLOOR,
    )  # fmt: skip
    assert [(info.kind, str(info.version)) for info in trust.infos] == [(Kind.CLIENT, "1.0")]
    assert trust.floor == TrustFloor(1, 2, 2)
    assert len(trust.root.statement_keys) == 1


def test_the_age_of_targets_is_not_judged_that_of_clients_is(publisher: Publisher) -> None:
    arguments = (publisher.root, [], metadata(publisher, "2.targets.json"), metadata(publisher, "2.clients.json"))
    assert verify_clients(*arguments, now=NOW + timedelta(days=1800), floor=FLOOR).infos
    with pytest.raises(Expired, match="client packages expired"):
        verify_clients(*arguments, now=NOW + timedelta(days=1830), floor=FLOOR)
    with pytest.raises(Expired, match="root"):
        verify_clients(*arguments, now=NOW + timedelta(days=3651), floor=FLOOR)


@pytest.mark.parametrize("part", ["root", "targets", "clients"])
def test_nothing_below_the_floor_is_accepted(publisher: Publisher, part: str) -> None:
    arguments = (publisher.root, [], metadata(publisher, "2.targets.json"), metadata(publisher, "2.clients.json"))
    with pytest.raises(OlderMetadata, match=part):
        verify_clients(*arguments, now=LATER, floor=replace(FLOOR, **{part: 3}))


def test_a_role_signed_by_other_keys_is_refused(publisher: Publisher, tmp_path: Path) -> None:
    stranger = Publisher(tmp_path / "stranger")
    stranger.release(Kind.CLIENT, "1.0")
    ours = [metadata(publisher, "2.targets.json"), metadata(publisher, "2.clients.json")]
    theirs = [metadata(stranger, "1.targets.json"), metadata(stranger, "2.clients.json")]
    for targets, clients in ((theirs[0], ours[1]), (ours[0], theirs[1]), (theirs[0], theirs[1])):
        with pytest.raises(NotTrusted):
            verify_clients(publisher.root, [], targets, clients, now=LATER, floor=FLOOR)


def test_the_clients_key_cannot_name_a_site(publisher: Publisher) -> None:
    clients = Metadata[Targets].from_bytes(metadata(publisher, "2.clients.json"))
    name = "site/site-1.0.tar.zst"
    clients.signed.targets[name] = next(iter(clients.signed.targets.values()))
    clients.sign(publisher.keys.signer(KeyName.CLIENTS))
    with pytest.raises(DocumentInvalid):
        verify_clients(
            publisher.root, [], metadata(publisher, "2.targets.json"), clients.to_bytes(), now=LATER, floor=FLOOR
        )


def test_a_chain_of_roots_is_followed_link_by_link(publisher: Publisher, tmp_path: Path) -> None:
    second = next_root(publisher, publisher.keys, publisher.root)
    third = next_root(publisher, publisher.keys, second)
    assert follow_roots(publisher.root, [publisher.root, second, third]).version == 3
    assert follow_roots(second, [publisher.root]).version == 2
    with pytest.raises(NotTrusted, match="missing"):
        follow_roots(publisher.root, [third])
    strange_keys = KeyFolder(tmp_path / "strange")
    strange_keys.create()
    with pytest.raises(NotTrusted):
        follow_roots(publisher.root, [next_root(publisher, strange_keys, publisher.root)])


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b"\xff", b'{"signed": {"_type": "root"}, "signatures": []}'])
def test_damaged_metadata_is_an_error_of_ours(publisher: Publisher, data: bytes) -> None:
    with pytest.raises(DocumentInvalid):
        follow_roots(data, [])
    with pytest.raises(DocumentInvalid):
        verify_clients(publisher.root, [], metadata(publisher, "2.targets.json"), data, now=LATER, floor=FLOOR)
