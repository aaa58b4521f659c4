"""A backup made by the command restores the site: on a new appliance, on the same one, and not by halves."""

import json
import os
import re
import sqlite3
import subprocess
import tarfile
from pathlib import Path

import pexpect
import pytest

from site_backup.world import PASSWORD, Appliance

pytestmark = pytest.mark.live

OTHER_USER = 65534


def names_in(path: Path) -> list[str]:
    with tarfile.open(path) as tar:
        return tar.getnames()


def content(path: Path, member: str) -> bytes:
    with tarfile.open(path) as tar:
        file = tar.extractfile(member)
        assert file is not None
        return file.read()


@pytest.mark.req("B1", "B2", "B3")
def test_a_full_backup_makes_a_new_appliance_the_old_site(
    old: Appliance, new: Appliance, tmp_path: Path, password: tuple[str, str]
) -> None:
    before, fresh = old.state(), new.state()
    assert before["identity"] != fresh["identity"] and fresh["term"] == 1
    made = old.done("create", tmp_path / "b.age", "--full", *password)
    assert "Left out" not in made and PASSWORD not in made
    assert (tmp_path / "b.age").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "b.age").read_bytes().startswith(b"age-encryption.org/v1\n")
    assert re.search(r"^Recordings: +1 session$", made, re.MULTILINE), made
    told = new.done("restore", tmp_path / "b.age", "--yes", *password)
    assert "documents" not in told and "and all settings" in told
    assert "identity is now the backup's" in told and "Without bytes" not in told
    after = new.state()
    for part in ("documents", "reports", "segments", "blobs", "bytes", "identity", "term"):
        assert after[part] == before[part], part
    assert set(before["records"]) < set(after["records"])
    assert after["origin"] == fresh["origin"]  # its own records stay its own
    assert set(fresh["records"]) < set(after["records"])
    assert not old.left_overs() and not new.left_overs()


@pytest.mark.req("B1")
def test_a_restored_site_signs_its_users_in_and_writes_on(
    old: Appliance, new: Appliance, tmp_path: Path, password: tuple[str, str]
) -> None:
    old.run(
        "from staffetta.site.accounts.models import Account\n"
        "rita = Account.objects.get(username='rita'); rita.set_password('rita pass word'); rita.save()"
    )
    old.done("create", tmp_path / "b.age", *password)
    new.done("restore", tmp_path / "b.age", "--yes", *password)
    printed = new.run(
        "from staffetta.site.accounts.models import Account\n"
        "from staffetta.site.data import records\n"
        "rita = Account.objects.get(username='rita')\n"
        "print(rita.check_password('rita pass word'), rita.has_perm('accounts.start_sessions'))\n"
        "print(records.append('test', {}).sequence)"
    )
    assert printed.split()[0] == "True" and printed.split()[2] == "1"


@pytest.mark.req("B1", "B3")
def test_the_version_is_that_of_the_installed_site_not_of_the_command(
    old: Appliance, new: Appliance, tmp_path: Path
) -> None:
    old.names_installed("97.1")
    made = old.done("create", tmp_path / "b.tar", "--no-password")
    assert "version 97.1" in made and json.loads(content(tmp_path / "b.tar", "manifest.json"))["site_version"] == "97.1"
    new.names_installed("97.0")
    refused = new.command("restore", tmp_path / "b.tar", "--yes")
    assert refused.returncode != 0 and "made by version 97.1, this site is 97.0" in refused.stderr
    new.names_installed("98.0")
    assert "version 97.1" in new.done("restore", tmp_path / "b.tar", "--yes")


@pytest.mark.req("B1")
def test_the_default_leaves_out_large_files_and_recordings_and_says_so(
    old: Appliance, new: Appliance, tmp_path: Path
) -> None:
    made = old.done("create", tmp_path / "b.tar", "--no-password")
    assert "large.bin (300000 bytes)" in made and "Recordings were left out, those of 1 session." in made
    assert "documents" not in made and "records" not in made
    for line in (
        r"Contents: +[1-9][\d.]+ [KM]B",
        r"Configuration: \d+ users?, \d+ Jump Clients?, and all settings",
        r"History: +1 session, and the audit log",
        r"Recordings: +0 sessions",
        r"Files: +3",
    ):
        assert re.search(f"^{line}$", made, re.MULTILINE), (line, made)
    names = names_in(tmp_path / "b.tar")
    assert names[:3] == ["manifest.json", "documents.jsonl", "records.jsonl"]
    assert names[-2:] == ["database.sqlite3", "SHA256SUMS"]
    assert sum(name.startswith("blobs/") for name in names) == 3
    said = json.loads(content(tmp_path / "b.tar", "manifest.json"))
    assert [one["name"] for one in said["files_left_out"]] == ["large.bin"] and said["recordings_left_out"] == 1
    new.done("restore", tmp_path / "b.tar", "--yes")
    listed = [name for name in new.state()["documents"] if name.startswith("management.StoredFile")]
    assert len(listed) == 3


@pytest.mark.req("B1", "S7")
def test_history_can_be_left_out_and_is_nowhere_then(old: Appliance, new: Appliance, tmp_path: Path) -> None:
    old.done("create", tmp_path / "b.tar", "--no-password", "--without-logged-history", "--full")
    names = names_in(tmp_path / "b.tar")
    assert "records.jsonl" not in names and "database.sqlite3" not in names
    raw = (tmp_path / "b.tar").read_bytes()
    assert b"session.opened" not in raw and b"user.made" not in raw and b"a recording's segment" not in raw
    assert b"small 1" in raw and sum(name.startswith("blobs/") for name in names) == 4
    new.done("restore", tmp_path / "b.tar", "--yes")
    after = new.state()
    assert after["documents"] == old.state()["documents"] and after["reports"] == []


@pytest.mark.req("B3")
def test_restoring_on_the_same_site_takes_configuration_back_and_adds_history(
    old: Appliance, tmp_path: Path, password: tuple[str, str]
) -> None:
    clients = json.loads((old.paths.root / "clients.json").read_text())
    before = old.state()
    old.done("create", tmp_path / "b.age", *password)
    old.run(
        "from staffetta.site.accounts import service as accounts\n"
        "from staffetta.site.accounts.models import Account\n"
        "from staffetta.site.data.blobs import BlobWriter\n"
        "from staffetta.site.fleet import service as fleet\n"
        "from staffetta.site.management import files\n"
        "admin = Account.objects.get(username='admin')\n"
        "accounts.make_account(admin, 'mallory', frozenset(), True)\n"
        "accounts.disable(admin, Account.objects.get(username='rita').id)\n"
        f"fleet.revoke_client('admin', {clients['laptop']!r})\n"
        f"fleet.delete_client('admin', {clients['server']!r})\n"
        "files.delete('admin', files.list_files()[-1].id)\n"
        "w = BlobWriter(); w.write(b'later'); files.store('admin', 'later.txt', w)\n"
    )
    changed = old.state()
    told = old.done("restore", tmp_path / "b.age", "--yes", *password)
    assert "identity" not in told
    assert re.search(r"^Removed: +2 \(users, ", told, re.MULTILINE), told
    after = old.state()
    laptop = f"fleet.JumpClient {clients['laptop']}"
    # Revoked is revoked, whatever the backup says of it; all else is as it was, the left-out file among it.
    assert before["documents"][laptop]["revoked_at"] is None
    assert after["documents"][laptop]["revoked_at"] == changed["documents"][laptop]["revoked_at"] is not None
    assert {**after["documents"], laptop: None} == {**before["documents"], laptop: None}
    assert set(changed["records"]) < set(after["records"])
    assert len(after["records"]) == len(changed["records"]) + 1
    assert after["audit"] == changed["audit"] + 1 and after["reports"] == changed["reports"]
    again = old.done("restore", tmp_path / "b.age", "--yes", *password)
    assert "0 records of sessions and the audit log" in again and "Removed:" not in again


@pytest.mark.req("B3")
def test_a_restore_can_be_undone(old: Appliance, tmp_path: Path) -> None:
    old.done("create", tmp_path / "b.tar", "--no-password")
    old.run(
        "from staffetta.site.data.blobs import BlobWriter\n"
        "from staffetta.site.management import files\n"
        "w = BlobWriter(); w.write(b'later'); files.store('admin', 'later.txt', w)\n"
    )
    changed = old.state()
    told = old.done("restore", tmp_path / "b.tar", "--yes")
    (former,) = [line.split(maxsplit=2)[2] for line in told.splitlines() if line.startswith("Before it:")]
    assert Path(former).parent == old.site / "before-restore" and old.state() != changed
    for name in ("site.sqlite3-wal", "site.sqlite3-shm"):
        (old.site / name).unlink(missing_ok=True)
    (old.site / "site.sqlite3").write_bytes(Path(former).read_bytes())
    assert old.state() == changed
    for sha256 in changed["blobs"]:
        assert (old.site / "blobs" / sha256[:2] / sha256).exists()


@pytest.mark.req("B1", "B2")
def test_age_and_tar_open_a_backup_without_us(old: Appliance, tmp_path: Path, password: tuple[str, str]) -> None:
    old.done("create", tmp_path / "b.age", "--full", *password)
    (tmp_path / "out").mkdir()
    child = pexpect.spawn("sh", ["-c", f"age -d {tmp_path}/b.age | tar x -C {tmp_path}/out"], timeout=60)
    child.expect("assphrase")
    child.sendline(PASSWORD)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, child.before
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=tmp_path / "out", check=True)
    with sqlite3.connect(tmp_path / "out" / "database.sqlite3") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        records = database.execute("SELECT count(*) FROM data_record").fetchone()[0]
    assert len((tmp_path / "out" / "records.jsonl").read_bytes().splitlines()) == records > 10
    # An unpacked backup that was packed again is one.
    members = names_sorted(tmp_path / "out")
    subprocess.run(["tar", "cf", tmp_path / "again.tar", *members], cwd=tmp_path / "out", check=True)
    again = old.done("restore", tmp_path / "again.tar", "--yes")
    assert "0 records of sessions and the audit log" in again and "Removed:" not in again


def names_sorted(folder: Path) -> list[str]:
    blobs = sorted(f"blobs/{path.name}" for path in (folder / "blobs").iterdir())
    return ["manifest.json", "documents.jsonl", "records.jsonl", *blobs, "database.sqlite3", "SHA256SUMS"]


@pytest.mark.req("B2")
def test_what_a_password_is_needed_for_is_said(old: Appliance, tmp_path: Path, password: tuple[str, str]) -> None:
    path = tmp_path / "b.age"
    unasked = old.command("create", path)
    assert unasked.returncode != 0 and not path.exists()  # nobody is there to be asked
    both = old.command("create", path, "--no-password", *password)
    assert (both.returncode, path.exists()) == (2, False)
    (tmp_path / "empty").write_text("\n")
    empty = old.command("create", path, "--password-file", tmp_path / "empty")
    assert (empty.returncode, "password is empty" in empty.stderr, path.exists()) == (3, True, False)
    (tmp_path / "weak").write_text("guessed\n")
    weak = old.command("create", tmp_path / "weak.age", "--password-file", tmp_path / "weak")
    assert weak.returncode == 0 and "fewer than 12 characters can be guessed" in weak.stderr
    assert "can be guessed" not in old.command("create", tmp_path / "strong.age", *password).stderr
    plain = old.command("create", tmp_path / "plain", "--no-password")
    assert plain.returncode == 0 and "anybody who can read the file" in plain.stderr
    nowhere = old.command("create", tmp_path / "no" / "where", *password)
    assert (nowhere.returncode, "cannot be written" in nowhere.stderr) == (4, True)
    assert sorted(one.name for one in tmp_path.iterdir() if one.name.startswith(".")) == []


@pytest.mark.req("B2", "B3")
def test_a_wrong_password_and_a_damaged_file_are_told_apart_and_change_nothing(
    old: Appliance, tmp_path: Path, password: tuple[str, str]
) -> None:
    path = tmp_path / "b.age"
    old.done("create", path, *password)
    before = old.stored()
    (tmp_path / "wrong").write_text("another")
    wrong = old.command("restore", path, "--yes", "--password-file", tmp_path / "wrong")
    assert (wrong.returncode, "password is wrong" in wrong.stderr) == (3, True)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    cut = old.command("restore", path, "--yes", *password)
    assert (cut.returncode, "cut short" in cut.stderr) == (7, True), cut.stderr
    path.write_bytes(b"not a backup at all")
    assert old.command("restore", path, "--yes", *password).returncode == 2
    assert old.stored() == before
    assert not old.left_overs() and not (old.site / "before-restore").exists()


def test_a_restore_is_asked_for_and_can_be_declined(old: Appliance, tmp_path: Path) -> None:
    old.done("create", tmp_path / "b.tar", "--no-password")
    before = old.stored()
    assert old.command("restore", tmp_path / "b.tar").returncode == 1
    assert old.stored() == before


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_keeps_its_files_and_the_site_its_own(old: Appliance, tmp_path: Path, password: tuple[str, str]) -> None:
    """The backup lies where only root may go; nothing in the site's folder ends up belonging to root."""
    for path in (old.site, *old.site.rglob("*")):
        os.chown(path, OTHER_USER, OTHER_USER)
    secret = tmp_path / "roots"
    secret.mkdir(mode=0o700)
    told = old.done("create", secret / "b.age", *password)
    assert "Backup:" in told and [path.name for path in secret.iterdir()] == ["b.age"]
    assert (secret / "b.age").stat().st_uid == 0
    old.done("restore", secret / "b.age", "--yes", *password)
    assert {path.stat().st_uid for path in (old.site, *old.site.rglob("*"))} == {OTHER_USER}
    (tmp_path / "wrong").write_text("another")
    wrong = old.command("restore", secret / "b.age", "--yes", "--password-file", tmp_path / "wrong")
    assert (wrong.returncode, wrong.stderr.count("password is wrong")) == (3, 1)
