"""The tar and the manifest: any tar opens it, and nothing but what was written is accepted."""

import dataclasses
import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staffetta.site.backup import archive, manifest, rules
from staffetta.site.backup.archive import ArchiveReader, ArchiveWriter
from staffetta.site.backup.errors import BackupDamaged, NotABackup, NotRestorable
from staffetta.site.backup.manifest import Content, Holds, LeftOutFile, Manifest
from staffetta.site.backup.rules import File, Wanted

WHEN = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
BLOBS = sorted((hashlib.sha256(data).hexdigest(), data) for data in (b"", b"one", bytes(100_000)))
SAID = Manifest(
    site_version="1.0.0",
    origin="origin",
    role_term=3,
    made_at=WHEN,
    full=False,
    secrets_in_the_clear=False,
    documents=Content(1, 3, "ab" * 32),
    records=None,
    database=None,
    blobs=2,
    blob_bytes=9,
    files_left_out=(LeftOutFile("id", "größe.bin", 10),),
    recordings_left_out=1,
    left_out=("Recordings were left out.",),
    holds=Holds(1, 2, 3, 4, 0),
)


def written(names: tuple[str, ...] = (archive.MANIFEST, archive.DOCUMENTS, archive.RECORDS)) -> bytes:
    sink = io.BytesIO()
    writer = ArchiveWriter(sink, WHEN)
    for name in names:
        writer.add_bytes(name, f"content of {name}".encode())
    for sha256, data in BLOBS:
        writer.add_bytes(archive.blob_name(sha256), data)
    writer.finish()
    return sink.getvalue()


def read(tar: bytes) -> dict[str, bytes]:
    return {member.name: member.read(1 << 20) for member in ArchiveReader(io.BytesIO(tar)).members()}


def test_what_was_written_is_read_back() -> None:
    found = read(written())
    assert found["records.jsonl"] == b"content of records.jsonl"
    assert [found[archive.blob_name(sha256)] for sha256, _ in BLOBS] == [data for _, data in BLOBS]
    assert next(iter(found)) == "manifest.json" and "SHA256SUMS" not in found


@pytest.mark.req("B1")
def test_tar_and_sha256sum_check_it_without_us(tmp_path: Path) -> None:
    (tmp_path / "b.tar").write_bytes(written())
    done = subprocess.run(
        "tar xf b.tar && rm b.tar && sha256sum -c SHA256SUMS && ls -l", shell=True, cwd=tmp_path, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b": OK") == 6 and done.stdout.count(b"-rw-------") == 4
    assert done.stderr == b""


def test_members_that_are_not_read_are_checked_all_the_same() -> None:
    tar = bytearray(written())
    tar[tar.index(b"content of records")] ^= 1
    with pytest.raises(BackupDamaged, match="list of hashes"):
        for _member in ArchiveReader(io.BytesIO(tar)).members():
            pass


TAR = written()


@settings(max_examples=200, deadline=None)
@given(place=st.integers(0, len(TAR) - 1), bit=st.integers(0, 7))
def test_any_flipped_bit_that_means_something_is_noticed(place: int, bit: int) -> None:
    """What is left are bits of a header that `tar` does not look at either (a mode, a time, a filler)."""
    tar = bytearray(TAR)
    tar[place] ^= 1 << bit
    try:
        found = read(bytes(tar))
    except (BackupDamaged, NotABackup):
        return
    assert found == read(TAR)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(TAR) - 1))
def test_a_tar_that_is_cut_anywhere_is_noticed(length: int) -> None:
    with pytest.raises((BackupDamaged, NotABackup)):
        read(TAR[:length])


def test_more_zeros_at_the_end_are_tars_own_and_anything_else_is_refused() -> None:
    assert read(TAR + bytes(10240)) == read(TAR)
    for behind in (b"x", bytes(512) + b"x", TAR):
        with pytest.raises(BackupDamaged, match="added behind"):
            read(TAR + behind)


@pytest.mark.parametrize(
    "names",
    [
        (archive.MANIFEST, archive.DOCUMENTS, archive.DOCUMENTS),
        (archive.MANIFEST, archive.RECORDS, archive.DOCUMENTS),
        (archive.MANIFEST, archive.DATABASE),  # comes behind the blobs
        (archive.MANIFEST, archive.MANIFEST),
        (archive.MANIFEST, "other.json"),
        (archive.MANIFEST, "../documents.jsonl"),
        (archive.MANIFEST, "/etc/passwd"),
        (archive.MANIFEST, "blobs/" + "A" * 64),
        (archive.MANIFEST, "blobs/../" + "a" * 60),
        (archive.MANIFEST, "blobs/"),
    ],
)
def test_a_member_that_does_not_belong_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(BackupDamaged):
        read(written(names))


def test_what_is_no_backup_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("notes")
    other = io.BytesIO()
    with tarfile.open(fileobj=other, mode="w") as tar:
        tar.add(tmp_path / "notes.txt", "notes.txt")
    for content in (b"", b"short", bytes(4096), b"PK" + bytes(5000), other.getvalue(), written((archive.DOCUMENTS,))):
        with pytest.raises(NotABackup):
            read(content)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.XHDTYPE])
def test_only_regular_files_are_taken(kind: bytes) -> None:
    out = io.BytesIO()
    writer = ArchiveWriter(out, WHEN)
    writer.add_bytes(archive.MANIFEST, b"{}")
    info = tarfile.TarInfo(archive.DOCUMENTS)
    info.type, info.linkname = kind, "/etc/passwd"
    out.write(info.tobuf(tarfile.GNU_FORMAT, "ascii", "strict") + bytes(1024))
    with pytest.raises(BackupDamaged, match="no regular file"):
        read(out.getvalue())


def test_a_size_beyond_eight_gigabytes_needs_no_other_format() -> None:
    header = ArchiveWriter(io.BytesIO(), WHEN)._header(archive.blob_name("a" * 64), 100 * 2**30)
    assert len(header) == 512
    assert tarfile.TarInfo.frombuf(header, "ascii", "strict").size == 100 * 2**30


def test_a_member_that_is_too_large_to_be_held_is_refused() -> None:
    reader = ArchiveReader(io.BytesIO(written()))
    with pytest.raises(BackupDamaged, match="more than the 3"):
        next(reader.members()).read(3)


@pytest.mark.req("B1")
def test_the_manifest_says_what_was_left_out_and_is_read_back() -> None:
    raw = manifest.write(SAID)
    assert manifest.read(raw) == SAID
    assert json.loads(raw)["files_left_out"] == [{"id": "id", "name": "größe.bin", "size": 10}]


def test_what_a_newer_release_added_to_the_manifest_is_passed_over() -> None:
    body = json.loads(manifest.write(SAID))
    assert manifest.read(json.dumps({**body, "weather": "fine"}).encode()) == SAID


CHANGES: list[tuple[str, Callable[[dict[str, Any]], Any], type[Exception]]] = [
    ("a future format", lambda b: {**b, "format": 2}, NotRestorable),
    ("another kind", lambda b: {**b, "kind": "other"}, NotABackup),
    ("a list", lambda b: [b], NotABackup),
    ("no version", lambda b: {k: v for k, v in b.items() if k != "site_version"}, BackupDamaged),
    ("no documents", lambda b: {**b, "documents": None}, BackupDamaged),
    ("a text as a number", lambda b: {**b, "blobs": "2"}, BackupDamaged),
    ("a negative number", lambda b: {**b, "blobs": -2}, BackupDamaged),
    ("a number as a text", lambda b: {**b, "origin": 5}, BackupDamaged),
    ("no time", lambda b: {**b, "made_at": "yesterday"}, BackupDamaged),
    ("files that are none", lambda b: {**b, "files_left_out": [1]}, BackupDamaged),
]


@pytest.mark.parametrize(("what", "change", "error"), CHANGES, ids=[one[0] for one in CHANGES])
def test_a_manifest_that_is_not_quite_right_is_refused(
    what: str, change: Callable[[dict[str, Any]], Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        manifest.read(json.dumps(change(json.loads(manifest.write(SAID)))).encode())
    for raw in (b"", b"{", b"\xff", b"[" * 100_000):
        with pytest.raises(BackupDamaged):
            manifest.read(raw)


def file(number: int, size: int) -> File:
    return File(f"f{number}", f"{number}.bin", f"{number:064x}", size, WHEN + timedelta(seconds=number))


@pytest.mark.req("B1")
def test_only_small_files_and_at_most_fifty_go_in_unless_it_is_full() -> None:
    files = [file(number, 10) for number in range(60)] + [file(100, 200 * 1024), file(101, 200 * 1024 - 1)]
    chosen = rules.select_files(files, Wanted())
    assert len(chosen.taken) == 50 and {one.id for one in chosen.taken} >= {"f101", "f59", "f11"}
    assert {one.id for one in chosen.left_out} == {"f100", *(f"f{number}" for number in range(11))}
    assert len(rules.select_files(files, Wanted(full=True)).taken) == 62
    assert rules.select_files([], Wanted()) == rules.Selection((), ())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 300 * 1024), max_size=120), st.booleans())
def test_every_file_is_either_in_or_named_as_left_out(sizes: list[int], full: bool) -> None:
    files = [file(number, size) for number, size in enumerate(sizes)]
    chosen = rules.select_files(files, Wanted(full=full))
    assert sorted((*chosen.taken, *chosen.left_out), key=lambda one: one.id) == sorted(files, key=lambda one: one.id)


def test_recordings_go_in_only_with_the_history_they_belong_to() -> None:
    assert rules.holds_recordings(Wanted(full=True))
    assert not rules.holds_recordings(Wanted())
    assert not rules.holds_recordings(Wanted(full=True, logged_history=False))


def test_what_was_left_out_is_said() -> None:
    assert rules.left_out_sentences(Wanted(full=True), 0, 0, embedded=True) == ()
    said = " ".join(rules.left_out_sentences(Wanted(logged_history=False), 2, 3, embedded=True))
    assert all(part in said for part in ("logged history", "database", "2 files", "3 sessions"))
    assert "own tools" in rules.left_out_sentences(Wanted(), 0, 0, embedded=False)[0]


@pytest.mark.req("B3")
@pytest.mark.parametrize(
    ("made_by", "here", "refused"),
    [("1.0.0", "1.0.0", False), ("0.9", "1.10", False), ("1.10", "1.9", True), ("x", "1", True)],
)
def test_a_backup_of_a_newer_version_is_refused(made_by: str, here: str, refused: bool) -> None:
    assert (rules.refusal_to_restore(made_by, here) is not None) is refused


def test_the_manifest_counts_all_it_announces() -> None:
    both = dataclasses.replace(SAID, records=Content(1, 100, "x"), database=Content(0, 1000, "y"))
    assert (SAID.content_bytes, both.content_bytes) == (12, 1112)
