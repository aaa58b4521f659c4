"""What an appliance accepts from an update server or a bundle, and in what words it refuses the rest (U3, U4, U14)."""

import os
import shutil
import tarfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Root

from releases.served import misbehaving, served
from staffetta.packages import Installed, Kind, PackageInfo, Version
from staffetta.packages.bundle import read_index
from staffetta.packages.errors import (
    DocumentInvalid,
    Expired,
    NotTrusted,
    OlderMetadata,
    OlderPackage,
    PrerequisiteUnmet,
)
from staffetta.releases import TrustedRepository, open_bundle, open_repository
from staffetta.releases.errors import PackageDamaged, ReleaseMissing, ServerUnreachable
from staffetta.vendor.keys import ROOT_KEYS, KeyFolder, KeyName
from staffetta.vendor.server import ServerOrder, make_server
from vendor.publisher import LATER, NOW, Publisher

pytestmark = pytest.mark.req("U14")
FRESH = Installed(Version("1.0"))


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    made = Publisher(tmp_path / "vendor")
    made.release(Kind.BASE, "1.1", eula=b"Be kind.\n")
    made.release(Kind.SITE, "1.0", requires=("base>=1.1",))
    made.release(Kind.CLIENT, "1.0")
    return made


@pytest.fixture
def url(publisher: Publisher) -> Iterator[str]:
    with served(make_server(ServerOrder(publisher.repository, publisher.keys))) as address:
        yield address


@pytest.fixture
def trust(tmp_path: Path) -> Path:
    return tmp_path / "trust"


@pytest.fixture
def repository(publisher: Publisher, url: str, trust: Path) -> TrustedRepository:
    return open_repository(url, trust, publisher.root)


def target_file(publisher: Publisher, info: PackageInfo) -> Path:
    return publisher.repository.target_file(info.target, info.sha256)


@pytest.mark.req("U1", "U3", "U8")
def test_what_was_signed_is_listed_and_comes_whole(repository: TrustedRepository, tmp_path: Path) -> None:
    base, site = repository.refresh(LATER)
    assert [(info.kind, str(info.version)) for info in (base, site)] == [(Kind.BASE, "1.1"), (Kind.SITE, "1.0")]
    assert repository.eula(base) == "Be kind.\n"
    assert repository.eula(site) is None
    seen: list[tuple[int, int]] = []
    repository.download(base, tmp_path / "got", lambda done, total: seen.append((done, total)))
    assert (tmp_path / "got").stat().st_size == base.size
    assert seen[-1] == (base.size, base.size) and seen == sorted(seen)
    assert not (tmp_path / "got.part").exists()


@pytest.mark.req("U2")
def test_an_older_package_or_one_with_unmet_requirements_is_not_downloaded(
    repository: TrustedRepository, tmp_path: Path
) -> None:
    base, site = repository.refresh(LATER)
    with pytest.raises(OlderPackage, match="not newer"):
        repository.download(base, tmp_path / "got", installed=Installed(Version("1.1")))
    with pytest.raises(PrerequisiteUnmet, match=r"Needs base 1\.1 or newer first; base 1\.0 is installed"):
        repository.download(site, tmp_path / "got", installed=FRESH)
    assert not (tmp_path / "got").exists()


def test_a_flipped_byte_is_refused_and_nothing_is_kept(
    publisher: Publisher, repository: TrustedRepository, tmp_path: Path
) -> None:
    base, _ = repository.refresh(LATER)
    file = target_file(publisher, base)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(PackageDamaged, match="not what was signed"):
        repository.download(base, tmp_path / "got")
    assert list(tmp_path.glob("got*")) == []


def test_more_data_than_signed_ends_at_the_first_byte_too_many(
    publisher: Publisher, trust: Path, tmp_path: Path
) -> None:
    (base,) = (info for info in publisher.repository.infos() if info.kind is Kind.BASE)
    path = target_file(publisher, base).relative_to(publisher.repository.folder)
    with served(misbehaving(str(publisher.repository.folder), f"/{path}")) as url:
        repository = open_repository(url, trust, publisher.root)
        repository.refresh(LATER)
        with pytest.raises(PackageDamaged, match="More came"):
            repository.download(base, tmp_path / "got")
    assert list(tmp_path.glob("got*")) == []


def test_metadata_without_end_is_refused(publisher: Publisher, trust: Path) -> None:
    app = misbehaving(str(publisher.repository.folder), "/metadata/timestamp.json")
    with served(app) as url, pytest.raises(PackageDamaged, match="not what was signed"):
        open_repository(url, trust, publisher.root).refresh(LATER)


def test_a_download_that_breaks_off_is_said_to(
    publisher: Publisher, repository: TrustedRepository, tmp_path: Path
) -> None:
    base, _ = repository.refresh(LATER)
    file = target_file(publisher, base)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ServerUnreachable, match="broke off"):
        repository.download(base, tmp_path / "got")
    file.unlink()
    with pytest.raises(ServerUnreachable, match="cannot be had"):
        repository.download(base, tmp_path / "got")
    assert list(tmp_path.glob("got*")) == []


def test_a_repository_signed_by_another_is_refused(url: str, tmp_path: Path, trust: Path) -> None:
    stranger = Publisher(tmp_path / "stranger")
    with pytest.raises(NotTrusted, match="not signed by keys this appliance trusts"):
        open_repository(url, trust, stranger.root).refresh(LATER)


def test_roots_of_two_publishers_do_not_mix(publisher: Publisher, url: str, tmp_path: Path, trust: Path) -> None:
    stranger = Publisher(tmp_path / "stranger")
    root = Metadata[Root].from_bytes(stranger.root).signed
    root.version = 2
    second = Metadata(root)
    for name in ROOT_KEYS:
        second.sign(stranger.keys.signer(name), append=True)
    (publisher.repository.metadata / "2.root.json").write_bytes(second.to_bytes())
    with pytest.raises(NotTrusted):
        open_repository(url, trust, publisher.root).refresh(LATER)


def test_expired_metadata_is_refused_by_the_time_that_is_passed_in(repository: TrustedRepository) -> None:
    with pytest.raises(Expired, match="Check this appliance's clock"):
        repository.refresh(NOW + timedelta(days=15))
    assert repository.refresh(NOW + timedelta(days=13))


def test_a_server_that_does_not_answer(publisher: Publisher, trust: Path) -> None:
    with pytest.raises(ServerUnreachable):
        open_repository("http://127.0.0.1:9", trust, publisher.root).refresh(LATER)


def test_every_stored_file_is_on_the_disk_before_anybody_acts_on_it(
    repository: TrustedRepository, trust: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[int] = set()
    real = os.fsync

    def recording(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", recording)
    repository.refresh(LATER)
    stored = [path for path in trust.rglob("*") if not path.is_symlink()]
    assert {"timestamp.json", "snapshot.json", "targets.json", "1.root.json", "floor.json"} <= {p.name for p in stored}
    assert {path.stat().st_ino for path in stored} <= synced


@pytest.mark.parametrize("lost", ["nothing", "metadata"])
def test_older_metadata_is_refused_even_after_the_stored_files_were_lost(
    publisher: Publisher, repository: TrustedRepository, trust: Path, tmp_path: Path, lost: str
) -> None:
    old = tmp_path / "old"
    shutil.copytree(publisher.repository.metadata, old)
    publisher.release(Kind.BASE, "1.2")
    assert len(repository.refresh(LATER)) == 3
    if lost == "metadata":
        shutil.rmtree(trust / "metadata")
    shutil.rmtree(publisher.repository.metadata)
    shutil.copytree(old, publisher.repository.metadata)
    with pytest.raises(OlderMetadata, match=r"older|seen before"):
        repository.refresh(LATER)
    with pytest.raises(ReleaseMissing):
        repository.eula(publisher.repository.infos()[0])


def test_new_online_keys_free_an_appliance_from_versions_a_thief_has_raised(
    publisher: Publisher, repository: TrustedRepository
) -> None:
    timestamp = Metadata.from_file(str(publisher.repository.metadata / "timestamp.json"))
    timestamp.signed.version = 1_000_000
    timestamp.sign(publisher.keys.signer(KeyName.TIMESTAMP))
    good = (publisher.repository.metadata / "timestamp.json").read_bytes()
    (publisher.repository.metadata / "timestamp.json").write_bytes(timestamp.to_bytes())
    repository.refresh(LATER)
    (publisher.repository.metadata / "timestamp.json").write_bytes(good)
    with pytest.raises(OlderMetadata):
        repository.refresh(LATER)

    fresh = KeyFolder(publisher.folder / "fresh-keys")
    fresh.create()
    root = Metadata[Root].from_bytes(publisher.root).signed
    root.version = 2
    root.revoke_key(publisher.keys.signer(KeyName.TIMESTAMP).public_key.keyid, "timestamp")
    root.add_key(fresh.signer(KeyName.TIMESTAMP).public_key, "timestamp")
    second = Metadata(root)
    second.sign(publisher.keys.signer(KeyName.ROOT_1))
    (publisher.repository.metadata / "2.root.json").write_bytes(second.to_bytes())
    healed = Metadata.from_bytes(good)
    healed.sign(fresh.signer(KeyName.TIMESTAMP))
    (publisher.repository.metadata / "timestamp.json").write_bytes(healed.to_bytes())
    assert len(repository.refresh(LATER)) == 2
    assert repository.root.version == 2


def test_what_was_listed_by_an_earlier_refresh_is_no_longer_on_offer(
    publisher: Publisher, repository: TrustedRepository, tmp_path: Path
) -> None:
    base, _ = repository.refresh(LATER)
    other = Publisher(tmp_path / "other").release(Kind.BASE, "9.9")
    with pytest.raises(ReleaseMissing, match="no longer on offer"):
        repository.download(other, tmp_path / "got")
    assert base.kind is Kind.BASE


@pytest.mark.req("U4")
def test_a_bundle_is_verified_offline_and_keeps_its_order(publisher: Publisher, trust: Path, tmp_path: Path) -> None:
    file = publisher.bundle("site/1.0", "base/1.1")
    bundle = open_bundle(file, trust, publisher.root)
    site, base = bundle.refresh(LATER)
    assert (site.kind, base.kind) == (Kind.SITE, Kind.BASE)
    bundle.download(base, tmp_path / "got", installed=FRESH)
    assert (tmp_path / "got").read_bytes() == target_file(publisher, base).read_bytes()
    assert bundle.eula(base) == "Be kind.\n"


@pytest.mark.req("U4")
def test_a_bundle_stays_good_while_only_the_timestamp_was_renewed(
    publisher: Publisher, repository: TrustedRepository, trust: Path
) -> None:
    file = publisher.bundle("base/1.1")
    assert publisher.repository.renew(publisher.keys, NOW + timedelta(days=8))
    repository.refresh(NOW + timedelta(days=8))
    assert open_bundle(file, trust, publisher.root).refresh(NOW + timedelta(days=8))


@pytest.mark.req("U4")
def test_an_older_bundle_is_refused_and_so_is_an_older_server_after_a_newer_bundle(
    publisher: Publisher, repository: TrustedRepository, trust: Path, tmp_path: Path
) -> None:
    old_bundle = publisher.bundle("base/1.1")
    old = tmp_path / "old"
    shutil.copytree(publisher.repository.metadata, old)
    publisher.release(Kind.BASE, "1.2")
    open_bundle(publisher.bundle("base/1.2", output="new.bundle"), trust, publisher.root).refresh(LATER)
    with pytest.raises(OlderMetadata, match="make a new one"):
        open_bundle(old_bundle, trust, publisher.root).refresh(LATER)
    shutil.rmtree(publisher.repository.metadata)
    shutil.copytree(old, publisher.repository.metadata)
    with pytest.raises(OlderMetadata):
        repository.refresh(LATER)


@pytest.mark.req("U4")
def test_a_bundle_with_a_flipped_byte_or_none_at_all(publisher: Publisher, trust: Path, tmp_path: Path) -> None:
    file = publisher.bundle("base/1.1")
    data = bytearray(file.read_bytes())
    with file.open("rb") as stream:
        place = next(iter(read_index(stream).targets.values()))
    data[place.offset + place.size // 2] ^= 1
    file.write_bytes(data)
    bundle = open_bundle(file, trust, publisher.root)
    (base,) = bundle.refresh(LATER)
    with pytest.raises(PackageDamaged, match="not what was signed"):
        bundle.download(base, tmp_path / "got")
    for junk in (b"", b"no tar at all" * 100, bytes(10_240)):
        (tmp_path / "junk").write_bytes(junk)
        with pytest.raises(DocumentInvalid):
            open_bundle(tmp_path / "junk", trust, publisher.root)


@pytest.mark.req("U4")
def test_a_bundle_whose_header_claims_gigabytes_is_refused_unread(trust: Path, publisher: Publisher) -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 7 << 30
    file = publisher.folder / "greedy.bundle"
    with file.open("wb") as stream:
        stream.write(header.tobuf(tarfile.GNU_FORMAT))
        stream.truncate(8 << 30)  # a hole: nothing of it is on the disk
    with pytest.raises(DocumentInvalid, match="larger than any it needs"):
        open_bundle(file, trust, publisher.root)
    file.unlink()
