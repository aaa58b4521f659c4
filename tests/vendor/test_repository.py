"""The publisher's repository: signed once, never half visible, renewed in time, its keys kept private (U14, V3)."""

import hashlib
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata

from releases.served import served
from staffetta.kernel import files
from staffetta.packages import Kind
from staffetta.releases import open_repository
from staffetta.releases.errors import PackageDamaged
from staffetta.vendor.errors import AlreadyPublished, KeyMissing, RepositoryMissing
from staffetta.vendor.keys import KeyFolder, KeyName
from staffetta.vendor.repository import Repository
from staffetta.vendor.server import ServerOrder, make_server
from vendor.publisher import LATER, NOW, Publisher

pytestmark = pytest.mark.req("U14")


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    return Publisher(tmp_path)


def names(publisher: Publisher) -> list[str]:
    return sorted(path.name for path in publisher.repository.metadata.iterdir())


def versions_seen(publisher: Publisher, trust: Path) -> list[str]:
    with served(make_server(ServerOrder(publisher.repository, publisher.keys))) as url:
        return [str(info.version) for info in open_repository(url, trust, publisher.root).refresh(LATER)]


def test_keys_are_private_and_never_written_over(publisher: Publisher) -> None:
    paths = sorted((publisher.folder / "keys").rglob("*.pem"))
    assert len(paths) == len(KeyName)
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in paths)
    with pytest.raises(AlreadyPublished):
        publisher.keys.create()
    with pytest.raises(AlreadyPublished):
        Repository.create(publisher.repository.folder, publisher.keys, NOW)


def test_every_root_and_every_version_is_kept(publisher: Publisher) -> None:
    publisher.release(Kind.BASE, "1.0")
    publisher.release(Kind.CLIENT, "1.0")
    assert names(publisher) == [
        "1.clients.json", "1.root.json", "1.snapshot.json", "1.targets.json",
        "2.clients.json", "2.snapshot.json", "2.targets.json", "3.snapshot.json", "timestamp.json",
    ]  # fmt: skip


def test_the_same_file_again_changes_nothing_and_another_under_its_name_is_refused(publisher: Publisher) -> None:
    file = publisher.package(Kind.BASE, "1.0")
    (first,) = publisher.publish(file)
    before = names(publisher)
    (second,) = publisher.publish(file, now=LATER)
    assert first == second and names(publisher) == before
    other = publisher.package(Kind.BASE, "1.0", content={"lib/more.py": b""}, name="other.tar.zst")
    with pytest.raises(AlreadyPublished, match="as another file"):
        publisher.publish(publisher.package(Kind.BASE, "1.1"), other)
    assert names(publisher) == before, "one that is refused takes the others with it"


def test_a_damaged_package_is_never_signed(publisher: Publisher) -> None:
    file = publisher.package(Kind.BASE, "1.0")
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(PackageDamaged):
        publisher.publish(file)
    assert publisher.repository.infos() == ()


@pytest.mark.parametrize("stop_at", range(1, 5))
def test_stopped_at_any_write_the_old_state_stands_and_the_next_publication_works(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    publisher.release(Kind.BASE, "1.0")
    packages = [publisher.package(Kind.BASE, "1.1"), publisher.package(Kind.CLIENT, "1.1")]
    writes = 0

    def failing(path: Path, data: bytes, mode: int = 0o600) -> None:
        nonlocal writes
        writes += 1
        if writes == stop_at:
            raise InterruptedError
        files.write_atomically(path, data, mode)

    with monkeypatch.context() as patched:
        patched.setattr("staffetta.vendor.repository.write_atomically", failing)
        with pytest.raises(InterruptedError):
            publisher.publish(*packages)
    assert versions_seen(publisher, tmp_path / "trust") == ["1.0"]
    publisher.publish(*packages)
    assert versions_seen(publisher, tmp_path / "trust") == ["1.0", "1.1"]


def test_a_server_renews_with_its_two_keys_alone(publisher: Publisher, tmp_path: Path) -> None:
    online = KeyFolder(tmp_path / "machine")
    (tmp_path / "machine").mkdir()
    (publisher.folder / "keys/online").rename(tmp_path / "machine/online")
    repository = publisher.repository
    assert not repository.renew(online, NOW + timedelta(days=6))
    assert repository.renew(online, NOW + timedelta(days=8))
    assert not repository.renew(online, NOW + timedelta(days=9))
    assert repository.renew(online, NOW + timedelta(days=45)), "the snapshot too is renewed in time"
    assert "2.snapshot.json" in names(publisher)
    timestamp = Metadata.from_file(str(repository.metadata / "timestamp.json"))
    assert timestamp.signed.version == 3
    with pytest.raises(KeyMissing):
        online.private(KeyName.TARGETS)


@pytest.mark.live
def test_two_publications_at_the_same_time_are_both_visible(publisher: Publisher) -> None:
    packages = [publisher.package(Kind.BASE, f"1.{n}") for n in range(4)]
    command = "import sys; from staffetta.cli.main import main; main()"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", command, "vendor", "publish", "--repository", publisher.repository.folder,
             "--keys", publisher.folder / "keys", package],
            stdout=subprocess.DEVNULL,
        )
        for package in packages
    ]  # fmt: skip
    assert [process.wait(100) for process in running] == [0, 0, 0, 0]
    assert [str(info.version) for info in publisher.repository.infos()] == ["1.0", "1.1", "1.2", "1.3"]


@pytest.mark.req("U4")
def test_a_bundle_names_what_is_not_published(publisher: Publisher) -> None:
    publisher.release(Kind.BASE, "1.0")
    with pytest.raises(RepositoryMissing, match=r"site/1\.0 is not published; published are: base/1\.0"):
        publisher.bundle("site/1.0")
    with pytest.raises(RepositoryMissing):
        Repository.open(publisher.folder / "elsewhere")


@pytest.mark.req("U8")
def test_an_agreement_is_published_beside_its_package(publisher: Publisher) -> None:
    info = publisher.release(Kind.BASE, "1.0", eula=b"Be kind.\n")
    assert info.eula_sha256 == hashlib.sha256(b"Be kind.\n").hexdigest()
    (file,) = (publisher.repository.targets / "agreements").iterdir()
    assert file.read_bytes() == b"Be kind.\n"
