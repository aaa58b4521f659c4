"""A bundle for clients: verified without an update server, taken out whole, never older than before (U14, C1, C4)."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Root

from staffetta.packages import Kind
from staffetta.packages.bundle import read_index
from staffetta.packages.errors import DocumentInvalid, Expired, NotTrusted, OlderMetadata
from staffetta.releases import ReleaseTree, open_client_bundle
from staffetta.releases.errors import PackageDamaged, ReleaseMissing
from staffetta.vendor.keys import KeyName
from vendor.publisher import LATER, NOW, Publisher

pytestmark = pytest.mark.req("U14", "C4")


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    made = Publisher(tmp_path / "vendor")
    made.release(Kind.CLIENT, "1.0")
    made.release(Kind.CLIENT, "1.1")
    return made


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def test_a_client_installs_out_of_a_bundle(publisher: Publisher, state: Path, tmp_path: Path) -> None:
    file = publisher.bundle("client/1.1")
    opened = open_client_bundle(file, state, publisher.root, LATER)
    (info,) = opened.infos
    opened.extract(info, tmp_path / "got")
    tree = ReleaseTree(tmp_path / "releases")
    tree.stage(tmp_path / "got", info)
    tree.flip(tree.check(info.version).version)
    assert str(tree.current()) == "1.1"


def test_it_is_good_for_years_and_then_not(publisher: Publisher, state: Path) -> None:
    file = publisher.bundle("client/1.0")
    assert open_client_bundle(file, state, publisher.root, NOW + timedelta(days=1800)).infos
    with pytest.raises(Expired):
        open_client_bundle(file, state, publisher.root, NOW + timedelta(days=1900))


def test_an_older_bundle_is_refused_after_a_newer_one(publisher: Publisher, state: Path) -> None:
    old = publisher.bundle("client/1.1", output="old")
    publisher.release(Kind.CLIENT, "1.2")
    open_client_bundle(publisher.bundle("client/1.2", output="new"), state, publisher.root, LATER)
    with pytest.raises(OlderMetadata):
        open_client_bundle(old, state, publisher.root, LATER)


def test_the_bundle_of_another_vendor_is_refused(publisher: Publisher, state: Path, tmp_path: Path) -> None:
    stranger = Publisher(tmp_path / "stranger")
    stranger.release(Kind.CLIENT, "9.0")
    with pytest.raises(NotTrusted):
        open_client_bundle(stranger.bundle("client/9.0"), state, publisher.root, LATER)
    assert not state.exists()


def test_a_new_root_is_followed_and_remembered(publisher: Publisher, state: Path) -> None:
    before = publisher.bundle("client/1.1", output="before")
    root = Metadata[Root].from_bytes(publisher.root).signed
    root.version = 2
    second = Metadata(root)
    second.sign(publisher.keys.signer(KeyName.ROOT_2))
    (publisher.repository.metadata / "2.root.json").write_bytes(second.to_bytes())
    open_client_bundle(publisher.bundle("client/1.1", output="after"), state, publisher.root, LATER)
    assert (state / "root.json").read_bytes() == second.to_bytes()
    # The same packages, in a bundle made before: its root is known to be superseded, its lists are not older.
    assert open_client_bundle(before, state, publisher.root, LATER).infos


def flip(data: bytearray, offset: int, size: int) -> None:
    data[offset + size // 2] ^= 1


def cut(data: bytearray, offset: int, size: int) -> None:
    del data[offset + size // 2 :]


@pytest.mark.parametrize("damage", [flip, cut])
def test_damage_is_found_and_nothing_is_left(
    publisher: Publisher, state: Path, tmp_path: Path, damage: Callable[[bytearray, int, int], None]
) -> None:
    file = publisher.bundle("client/1.1")
    with file.open("rb") as stream:
        (place,) = read_index(stream).targets.values()
    data = bytearray(file.read_bytes())
    damage(data, place.offset, place.size)
    file.write_bytes(data)
    with pytest.raises((PackageDamaged, DocumentInvalid)):
        opened = open_client_bundle(file, state, publisher.root, LATER)
        opened.extract(opened.infos[0], tmp_path / "got")
    assert list(tmp_path.glob("got*")) == []


def test_a_package_that_the_bundle_does_not_hold(publisher: Publisher, state: Path, tmp_path: Path) -> None:
    opened = open_client_bundle(publisher.bundle("client/1.0"), state, publisher.root, LATER)
    (missing,) = (info for info in publisher.repository.infos() if info not in opened.infos)
    with pytest.raises(ReleaseMissing):
        opened.extract(missing, tmp_path / "got")
