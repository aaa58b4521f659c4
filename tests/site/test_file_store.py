"""The file store: streamed in, kept once by hash, handed out whole, removed; and what is no good upload."""

import hashlib
import io
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from own_site import body_of

from staffetta.kernel.clock import utc_now
from staffetta.site.accounts.models import Account
from staffetta.site.accounts.permissions import Allowed
from staffetta.site.data import blobs
from staffetta.site.data.models import Blob
from staffetta.site.management import files
from staffetta.site.management.errors import BadUpload
from staffetta.site.management.models import AuditEntry, StoredFile
from staffetta.site.worker.jobs import jobs
from staffetta.site.worker.settings import WorkerSettings

pytestmark = [pytest.mark.django_db, pytest.mark.req("S6")]
UPLOAD = "/login/files/upload"


@pytest.fixture
def keeper(browser: Callable[..., Client], person: Callable[..., Account]) -> Client:
    """The browser of who may manage files."""
    return browser(person("rita", Allowed.MANAGE_FILES))


@pytest.fixture(autouse=True)
def _commit(django_capture_on_commit_callbacks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for the commit is done at once: a test's transaction never commits."""
    monkeypatch.setattr("django.db.transaction.on_commit", lambda work, *_, **__: work())


def _upload(client: Client, name: str, data: bytes) -> Any:
    return client.post(UPLOAD, {"file": SimpleUploadedFile(name, data)}, follow=True)


def _kept(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "blobs").rglob("*") if path.is_file())


def test_a_file_is_stored_listed_and_comes_back_whole(keeper: Client, tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    page = _upload(keeper, "tool ü.bin", data).text
    assert "tool ü.bin is stored" in page and "1.3 MB" in page
    stored = StoredFile.objects.get()
    assert (stored.size, stored.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    answer = keeper.get(f"/login/files/{stored.pk}/download")
    assert body_of(answer) == data
    assert answer["Content-Length"] == str(len(data))
    assert answer["Content-Disposition"].startswith("attachment")
    assert "sandbox" in answer["Content-Security-Policy"]
    assert _kept(tmp_path) == [stored.sha256]


def test_the_same_bytes_are_kept_once_until_nobody_holds_them(keeper: Client, tmp_path: Path) -> None:
    for name in ("one.bin", "two.bin"):
        _upload(keeper, name, b"same")
    assert (StoredFile.objects.count(), Blob.objects.count(), len(_kept(tmp_path))) == (2, 1, 1)
    one, two = StoredFile.objects.order_by("name")
    keeper.post(f"/login/files/{one.pk}/delete")
    assert body_of(keeper.get(f"/login/files/{two.pk}/download")) == b"same"
    keeper.post(f"/login/files/{two.pk}/delete")
    assert (Blob.objects.count(), _kept(tmp_path)) == (0, [])
    assert keeper.get(f"/login/files/{two.pk}/download").status_code == 404


def test_a_file_of_the_same_name_is_replaced(keeper: Client, tmp_path: Path) -> None:
    _upload(keeper, "notes.txt", b"old")
    assert "notes.txt is replaced" in _upload(keeper, "notes.txt", b"newer").text
    assert [(row.name, row.size) for row in files.list_files()] == [("notes.txt", 5)]
    assert _kept(tmp_path) == [hashlib.sha256(b"newer").hexdigest()]


def test_an_empty_file_is_a_file(keeper: Client) -> None:
    _upload(keeper, "empty", b"")
    assert files.list_files()[0].size == 0


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"file": "no file but text"},
        {"other": SimpleUploadedFile("x", b"x")},
    ],
)
def test_a_bad_upload_is_refused_and_leaves_nothing(keeper: Client, tmp_path: Path, sent: dict[str, Any]) -> None:
    answer = keeper.post(UPLOAD, sent)
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert not StoredFile.objects.exists()
    assert _kept(tmp_path) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b\r\n",
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\nhalf',
        b"not multipart at all",
    ],
)
def test_a_body_that_is_cut_or_none_stores_nothing_whole(keeper: Client, tmp_path: Path, body: bytes) -> None:
    answer = keeper.post(UPLOAD, io.BytesIO(body).read(), content_type="multipart/form-data; boundary=b")
    assert answer.status_code in (302, 400)
    if answer.status_code == 400:
        assert _kept(tmp_path) == []


def test_two_files_in_one_form_are_refused(keeper: Client, tmp_path: Path) -> None:
    two = {"file": SimpleUploadedFile("one", b"1"), "more": SimpleUploadedFile("two", b"2")}
    assert keeper.post(UPLOAD, two).status_code == 400
    assert files.list_files() == ()
    assert _kept(tmp_path) == []


@pytest.mark.parametrize("name", ["", " ", ".", "a/..", "x" * 256, "a\u202eb", "a\x00b"])
def test_a_name_that_cannot_be_shown_or_saved_is_refused(name: str) -> None:
    with pytest.raises(BadUpload):
        files.checked_name(name)


def test_a_name_never_leads_out_of_the_store(keeper: Client) -> None:
    for name in ("../../etc/passwd", "..\\..\\boot.ini", "/absolute"):
        _upload(keeper, name, b"x")
    assert {row.name for row in files.list_files()} == {"passwd", "boot.ini", "absolute"}


def test_a_full_disk_is_said_and_leaves_nothing(
    keeper: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs, "SPARE_BYTES", 2**60)
    answer = keeper.post(UPLOAD, {"file": SimpleUploadedFile("x", b"x" * 100)})
    assert answer.status_code == 507
    assert "nearly full" in answer.text
    assert _kept(tmp_path) == []


def test_who_may_not_or_comes_from_elsewhere_stores_nothing(
    browser: Callable[..., Client], person: Callable[..., Account], tmp_path: Path
) -> None:
    assert browser(person("eve")).post(UPLOAD, {"file": SimpleUploadedFile("x", b"x")}).status_code == 403
    assert browser().post(UPLOAD, {"file": SimpleUploadedFile("x", b"x")}).status_code == 401
    assert not (tmp_path / "blobs").exists()  # refused before a byte was read
    strict = browser(person("rita", Allowed.MANAGE_FILES), enforce_csrf_checks=True)
    assert strict.post(UPLOAD, {"file": SimpleUploadedFile("x", b"x")}).status_code == 403
    assert not StoredFile.objects.exists()
    assert _kept(tmp_path) == []


def test_what_was_done_is_in_the_audit_log(browser: Callable[..., Client], keeper: Client, admin: Account) -> None:
    _upload(keeper, "notes.txt", b"old")
    keeper.post(f"/login/files/{StoredFile.objects.get().pk}/delete")
    page = browser(admin).get("/login/audit-log").text
    assert "stored the file notes.txt" in page and "deleted the file notes.txt" in page
    assert "on another appliance" not in page
    AuditEntry.objects.filter(action="file.deleted").update(origin="theotherone")
    assert browser(admin).get("/login/audit-log").text.count("on another appliance") == 1
    assert "Nothing matches" in browser(admin).get("/login/audit-log?search=zzz").text


def test_what_killed_processes_left_is_swept(keeper: Client, tmp_path: Path) -> None:
    _upload(keeper, "kept", b"kept")
    orphan = tmp_path / "blobs" / "ab" / f"ab{'0' * 62}"
    orphan.parent.mkdir()
    orphan.write_bytes(b"no row")
    half = tmp_path / "blobs" / "incoming" / "half"
    half.write_bytes(b"half")
    now = utc_now()
    assert blobs.sweep(now - timedelta(days=1)) == 0
    assert blobs.sweep(now + timedelta(seconds=5)) == 2
    assert _kept(tmp_path) == [hashlib.sha256(b"kept").hexdigest()]


def test_the_workers_tidying_sweeps_what_is_older_than_a_day(keeper: Client, tmp_path: Path, settings: Any) -> None:
    settings.STAFFETTA_SITE_FOLDER = tmp_path
    _upload(keeper, "kept", b"kept")
    incoming = tmp_path / "blobs" / "incoming"
    now = utc_now()
    for name, age in (("old", timedelta(hours=25)), ("young", timedelta(hours=23))):
        (incoming / name).write_bytes(b"half")
        os.utime(incoming / name, times=((now - age).timestamp(),) * 2)
    (tidy,) = (job for job in jobs(WorkerSettings()) if job.name == "tidy")
    tidy.work(now)
    assert not (incoming / "old").exists()
    assert (incoming / "young").exists()
    (incoming / "young").unlink()
    assert _kept(tmp_path) == [hashlib.sha256(b"kept").hexdigest()]
