"""What a restore refuses, and that it changes nothing then; what it takes from older and newer releases."""

import contextlib
import hashlib
import io
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from staffetta.kernel.clock import utc_now
from staffetta.kernel.errors import StaffettaError
from staffetta.site.accounts import service as accounts
from staffetta.site.accounts.models import Account
from staffetta.site.accounts.sign_ins import SignIn, signed_out
from staffetta.site.backup import archive, lines, manifest, restoring, service, work
from staffetta.site.backup.age import EncryptingWriter
from staffetta.site.backup.archive import ArchiveReader, ArchiveWriter
from staffetta.site.backup.errors import (
    BackupDamaged,
    NoRoomForBackup,
    NotRestorable,
    PasswordNeeded,
    RestoreRunning,
    WrongPassword,
)
from staffetta.site.backup.manifest import Content
from staffetta.site.backup.service import Wanted
from staffetta.site.data import blobs, documents, records
from staffetta.site.data.blobs import BlobWriter
from staffetta.site.data.errors import DocumentDamaged, ReadOnlyHere, RecordGap
from staffetta.site.data.models import Blob, Incarnation, KeptDocument, Record, SiteInstance
from staffetta.site.data.roles import Role
from staffetta.site.data.sync import Sync
from staffetta.site.management import files
from staffetta.site.management.models import StoredFile
from staffetta.site.worker.jobs import tidy

pytestmark = [pytest.mark.django_db, pytest.mark.req("B3")]

Members = dict[str, bytes]


@pytest.fixture
def plain() -> bytes:
    """A backup without a password, of a site with a file; the site has changed since."""
    writer = BlobWriter()
    writer.write(b"bytes")
    files.store("admin", "kept.txt", writer)
    sink = io.BytesIO()
    service.create(sink, Wanted(), None, "admin")
    StoredFile.objects.all().delete()
    records.append("test.later", {})
    return sink.getvalue()


def members_of(tar: bytes) -> Members:
    return {one.name: one.read(1 << 24) for one in ArchiveReader(io.BytesIO(tar)).members()}


def packed(members: Members, *, announce: bool = True) -> bytes:
    """Pack members, with right hashes: what is wrong with them is their sense."""
    if announce:
        said = json.loads(members[archive.MANIFEST])
        for name in ("documents", "records", "database"):
            content = members.get(archive.__dict__[name.upper()])
            if content is not None and said[name] is not None:
                count = content.count(b"\n") if name != "database" else 0
                said[name] = {"count": count, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        members = {**members, archive.MANIFEST: json.dumps(said).encode()}
    sink = io.BytesIO()
    writer = ArchiveWriter(sink, utc_now())
    for name, content in members.items():
        writer.add_bytes(name, content)
    writer.finish()
    return sink.getvalue()


def said_otherwise(members: Members, **changes: Any) -> Members:
    return {**members, archive.MANIFEST: json.dumps({**json.loads(members[archive.MANIFEST]), **changes}).encode()}


def line(members: Members, name: str, number: int, change: Callable[[dict[str, Any]], Any]) -> Members:
    """Change one line."""
    found = members[name].splitlines(keepends=True)
    found[number] = json.dumps(change(json.loads(found[number]))).encode() + b"\n"
    return {**members, name: b"".join(found)}


def document(members: Members, label: str, change: Callable[[dict[str, Any]], Any]) -> Members:
    """Change the body of the first document of a type."""
    types = [json.loads(one)["type"] for one in members[archive.DOCUMENTS].splitlines()]
    return line(members, archive.DOCUMENTS, types.index(label), lambda one: {**one, "body": change(one["body"])})


def state(folder: Path) -> Any:
    return (
        sorted((one.type, one.key, json.dumps(one.body)) for one in documents.collect(Sync.CONFIG, lines.InTheClear())),
        list(Record.objects.order_by("pk").values_list("pk", "kind")),
        sorted(Incarnation.objects.values_list("pk", "last_sequence")),
        sorted(Blob.objects.values_list("pk", flat=True)),
        list(KeptDocument.objects.values_list("type", "key")),
        list((folder / "backup-work").glob("*")),
    )


@contextmanager
def unchanged(folder: Path, error: type[StaffettaError], match: str | None = None) -> Iterator[None]:
    before = state(folder)
    with pytest.raises(error, match=match):
        yield
    assert state(folder) == before


def restore(tar: bytes, password: bytes | None = None) -> service.Restored:
    return service.restore(io.BytesIO(tar), password, "admin")


def test_it_is_restored(plain: bytes) -> None:
    done = restore(plain)
    assert (done.removed, done.records, done.identity_changed, done.files_without_bytes) == (0, 0, False, ())
    (row,) = StoredFile.objects.all()
    assert row.name == "kept.txt" and blobs.path_of(row.sha256).read_bytes() == b"bytes"
    assert done.former is not None and done.former.exists()
    assert Record.objects.filter(body__action="backup.restored", body__actor="admin").count() == 1


@pytest.mark.req("S12")
def test_consoles_that_were_signed_out_since_the_backup_stay_so(plain: bytes) -> None:
    """Those who were not are out too: on a new appliance nobody knows which is which."""
    account = Account.objects.get(username="admin")
    at_backup = SignIn(account.pk, "", utc_now())
    accounts.sign_out_elsewhere(account, "")
    later = SignIn(account.pk, "", account.consoles_since or utc_now())
    assert signed_out({at_backup, later}, utc_now(), under_way=True) == {at_backup}
    restore(plain)
    assert signed_out({at_backup, later}, utc_now(), under_way=True) == {at_backup, later}
    account.refresh_from_db()
    again = SignIn(account.pk, "", account.consoles_since or utc_now())
    assert not signed_out({again}, utc_now(), under_way=True)


@pytest.mark.req("F5")
def test_who_puts_the_copy_back_means_it_in_a_pair_too(plain: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that was set back by mishap is joined with what the peer has; an undone restore is not."""
    # The copy holds what was committed: the pair of this test is made in it.
    paired = "INSERT INTO failover_syncstate (only, common_with) VALUES (1, 'the peer')"
    monkeypatch.setattr(restoring, "WHEN_PUT_BACK", [paired, *restoring.WHEN_PUT_BACK])
    former = restore(plain).former
    assert former is not None
    with contextlib.closing(sqlite3.connect(former)) as copy:
        assert copy.execute("SELECT common_with FROM failover_syncstate").fetchall() == [("",)]


CHANGES: list[tuple[str, Callable[[Members], Members]]] = [
    ("a line that is no JSON", lambda m: {**m, archive.DOCUMENTS: m[archive.DOCUMENTS] + b"{\n"}),
    ("a line that is a list", lambda m: {**m, archive.DOCUMENTS: m[archive.DOCUMENTS] + b"[1]\n"}),
    ("a line without an end", lambda m: {**m, archive.DOCUMENTS: m[archive.DOCUMENTS] + b"{}"}),
    ("a document without a key", lambda m: line(m, archive.DOCUMENTS, 0, lambda one: {"type": "x", "body": {}})),
    ("a body that is a list", lambda m: line(m, archive.DOCUMENTS, 0, lambda one: {**one, "body": []})),
    ("a record without a time", lambda m: line(m, archive.RECORDS, 0, lambda one: {**one, "at": "soon"})),
    ("a record without a number", lambda m: line(m, archive.RECORDS, 0, lambda one: {**one, "sequence": "1"})),
    ("a secret that is none", lambda m: document(m, "data.SiteKey", lambda b: {**b, "seed": {"$secret": "?"}})),
    ("a secret of a wrong type", lambda m: document(m, "data.SiteKey", lambda b: {**b, "seed": {"$secret": 5}})),
    ("records that are not there", lambda m: {k: v for k, v in m.items() if k != archive.RECORDS}),
    ("records that were not announced", lambda m: said_otherwise(m, records=None)),
    ("a file too few", lambda m: {k: v for k, v in m.items() if not k.startswith("blobs/")}),
    ("a file with other bytes", lambda m: {k: b"other" if k.startswith("blobs/") else v for k, v in m.items()}),
]


@pytest.mark.parametrize(("what", "change"), CHANGES, ids=[what for what, _ in CHANGES])
def test_a_backup_that_contradicts_itself_changes_nothing(
    plain: bytes, tmp_path: Path, what: str, change: Callable[[Members], Members]
) -> None:
    with unchanged(tmp_path, BackupDamaged):
        restore(packed(change(members_of(plain))))


@pytest.mark.parametrize("name", [archive.DOCUMENTS, archive.RECORDS, archive.DATABASE])
def test_a_part_other_than_announced_changes_nothing(plain: bytes, tmp_path: Path, name: str) -> None:
    members = members_of(plain)
    with unchanged(tmp_path, BackupDamaged, "not what its manifest says"):
        restore(packed({**members, name: members[name] + b"\n"}, announce=False))


def test_contents_that_do_not_fit_are_refused_as_a_whole(plain: bytes, tmp_path: Path) -> None:
    """These are found in the middle of applying."""
    members = members_of(plain)
    twice = line(members, archive.RECORDS, -1, lambda one: {**one, "incarnation": "other", "sequence": 5})
    with unchanged(tmp_path, RecordGap):
        restore(packed(twice))
    nameless = document(members, "accounts.Account", lambda body: {**body, "created_at": "never"})
    with unchanged(tmp_path, DocumentDamaged):
        restore(packed(nameless))


def test_a_newer_version_is_refused_before_anything_is_laid_out(plain: bytes, tmp_path: Path) -> None:
    newer = packed(said_otherwise(members_of(plain), site_version="99.0"))
    with unchanged(tmp_path, NotRestorable, "update the site first"):
        restore(newer)
    # It is refused by its manifest: the rest is not even looked at.
    size = 512 + -(-len(members_of(newer)[archive.MANIFEST]) // 512) * 512
    with unchanged(tmp_path, NotRestorable):
        restore(newer[:size])


def test_an_older_version_is_taken_and_what_it_does_not_know_stays(plain: bytes, settings: Any) -> None:
    def older(body: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in body.items() if name != "must_change_password"}

    Account.objects.filter(username="admin").update(must_change_password=False)
    members = said_otherwise(document(members_of(plain), "accounts.Account", older), site_version="0.0.1")
    restore(packed(members))
    assert Account.objects.get(username="admin").must_change_password is False


def test_what_is_not_known_here_is_kept_and_is_in_the_next_backup(plain: bytes) -> None:
    members = members_of(plain)
    future = {"type": "future.Thing", "key": "k", "body": {"colour": "red"}}
    members[archive.DOCUMENTS] += json.dumps(future).encode() + b"\n"
    restore(packed(document(members, "accounts.Account", lambda body: {**body, "shoe_size": 44})))
    sink = io.BytesIO()
    service.create(sink, Wanted(), None, "admin")
    found = [json.loads(one) for one in members_of(sink.getvalue())[archive.DOCUMENTS].splitlines()]
    assert future in found and any(one["body"].get("shoe_size") == 44 for one in found)


@pytest.mark.req("B2")
def test_the_password_is_asked_for_and_must_be_right(plain: bytes, tmp_path: Path) -> None:
    sink = io.BytesIO()
    writer = EncryptingWriter(sink, b"right", 1)
    writer.write(plain)
    writer.finish()
    with unchanged(tmp_path, PasswordNeeded):
        restore(sink.getvalue())
    with unchanged(tmp_path, WrongPassword):
        restore(sink.getvalue(), b"wrong")
    assert service.read_manifest(io.BytesIO(sink.getvalue()), b"right").site_version == "0.1.0"
    assert restore(sink.getvalue(), b"right").manifest.documents.count > 0


def test_a_backup_appliance_and_a_frozen_one_refuse(plain: bytes, tmp_path: Path) -> None:
    SiteInstance.objects.update(role=Role.BACKUP.value)
    with unchanged(tmp_path, ReadOnlyHere):
        restore(plain)


def test_the_role_term_never_sinks_and_rises_only_alone(plain: bytes) -> None:
    higher = packed(said_otherwise(members_of(plain), role_term=9))
    SiteInstance.objects.update(role=Role.PRIMARY.value, role_term=2)
    restore(higher)
    assert SiteInstance.objects.get().role_term == 2
    SiteInstance.objects.update(role=Role.ALONE.value)
    restore(higher)
    assert SiteInstance.objects.get().role_term == 9
    restore(plain)
    assert SiteInstance.objects.get().role_term == 9


def test_two_restores_at_once_are_refused(plain: bytes, tmp_path: Path) -> None:
    with work.the_only_restore(), unchanged(tmp_path, RestoreRunning):
        restore(plain)
    restore(plain)


def test_too_small_a_disk_is_said_before_anything_is_written(
    plain: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = type("usage", (), {"free": work.SPARE_BYTES + 1000})
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: free)
    with unchanged(tmp_path, NoRoomForBackup, "Nothing was changed"):
        restore(plain)
    sink = io.BytesIO()
    with unchanged(tmp_path, NoRoomForBackup):
        service.create(sink, Wanted(), None, "admin")
    assert sink.getvalue() == b""


def test_files_whose_bytes_are_missing_are_named(plain: bytes) -> None:
    members = members_of(plain)
    without = {name: content for name, content in members.items() if not name.startswith("blobs/")}
    Blob.objects.all().delete()
    done = restore(packed(said_otherwise(without, blobs=0, blob_bytes=0)))
    assert done.files_without_bytes == ("kept.txt",)


def test_work_that_was_left_is_removed_and_work_under_way_is_not(tmp_path: Path) -> None:
    left = tmp_path / "backup-work" / "left"
    left.mkdir(parents=True)
    (left / "database.sqlite3").write_bytes(b"x")
    with work.work_folder() as mine, work.work_folder() as other:
        assert not left.exists() and mine.exists() and other.exists() and work.sweep() == 0
    left.mkdir()
    tidy(utc_now())
    assert list((tmp_path / "backup-work").iterdir()) == []


def test_a_backup_reads_one_picture_and_is_noted(plain: bytes) -> None:
    said = manifest.read(members_of(plain)[archive.MANIFEST])
    assert said.records is not None and said.records.count == Record.objects.count() - 2
    assert Record.objects.filter(body__action="backup.created", body__detail__encrypted=False).count() == 1
    assert isinstance(said.documents, Content) and said.secrets_in_the_clear


def test_an_empty_password_is_none(tmp_path: Path) -> None:
    with pytest.raises(PasswordNeeded), ExitStack():
        service.create_file(tmp_path / "b", Wanted(), b"", "admin")
    assert not list(tmp_path.glob("*b*"))
