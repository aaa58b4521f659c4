"""Killed anywhere, and with a full disk: a backup appears whole or not at all, a restore did nothing or everything."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from site_backup.world import SOURCE, STATE, Appliance
from staffetta.kernel.files import appearing_whole

pytestmark = pytest.mark.live

KILL = "import os, signal; kill = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)\n"
SERVICE = "from pathlib import Path; from staffetta.site.backup import service, restoring, opening, making\n"
RESTORE = "service.restore(open({path!r}, 'rb'), None, 'admin')\n"

POINTS = {
    "while it is laid out": "opening._check_lines = kill\n",
    "before the copy": "restoring.snapshot = kill\n",
    "before it is applied": "restoring._apply = kill\n",
    "in the middle": "restoring.documents.apply = kill\n",
    "before the commit": (
        "note = restoring.audit.note\nrestoring.audit.note = lambda *a, **k: (note(*a, **k), kill())\n"
    ),
    "after the commit": (
        "from django.db import transaction\nnote = restoring.audit.note\n"
        "restoring.audit.note = lambda *a, **k: (note(*a, **k), transaction.on_commit(kill))\n"
    ),
}


KILLED_AT = """
import sys
from django.db import connections

def after_a_kill(point, patch):
    connections.close_all()
    child = os.fork()
    if child == 0:
        exec(patch, globals())
        service.restore(open(PATH, "rb"), None, "admin")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, point
    return state()

print(json.dumps({point: after_a_kill(point, patch) for point, patch in POINTS.items()}))
"""


@pytest.mark.req("B3")
def test_a_killed_restore_did_nothing_or_everything(old: Appliance, tmp_path: Path) -> None:
    path = tmp_path / "b.tar"
    old.done("create", path, "--no-password", "--full")
    backed_up = old.state()
    old.run(
        "from staffetta.site.management import files\n"
        "for one in files.list_files(): files.delete('admin', one.id)\n"
        "from staffetta.site.accounts.models import Account\n"
        "Account.objects.filter(username='rita').delete()"
    )
    before = old.state()
    assert before["documents"] != backed_up["documents"]
    script = f"PATH, POINTS = {str(path)!r}, {POINTS!r}\n"
    found = json.loads(old.run(KILL + SERVICE + STATE + script + KILLED_AT))
    committed = found.pop("after the commit")
    assert len(found) == 5
    for point, after in found.items():
        assert {**after, "bytes": None} == {**before, "bytes": None}, point
    assert committed["documents"] == backed_up["documents"]
    assert set(committed["blobs"]) <= set(committed["bytes"])
    assert old.left_overs()
    told = old.done("restore", path, "--yes")
    assert "Removed:" not in told and not old.left_overs()


@pytest.mark.req("B2")
def test_a_killed_backup_leaves_no_file_and_the_next_one_tidies_up(old: Appliance, tmp_path: Path) -> None:
    path = tmp_path / "b.tar"
    for patch in ("making._link = kill\n", "making.ArchiveWriter.finish = kill\n"):
        create = f"service.create_file(Path({str(path)!r}), service.Wanted(), None, 'admin')"
        assert old.try_run(KILL + SERVICE + patch + create).returncode == -9
        assert not path.exists() and old.left_overs()
    killed = subprocess.run(
        [
            sys.executable, "-c",
            KILL + "import staffetta.site.backup.archive as a; a.ArchiveWriter.finish = kill\n"
            "from staffetta.cli.main import main; main()",
            "backup", "create", str(path), "--no-password", "--appliance", str(old.paths.root),
        ],
        env=old.environment(), capture_output=True, timeout=100,
    )  # fmt: skip
    assert killed.returncode != 0 and not path.exists()
    old.done("create", path, "--no-password")
    assert path.exists() and not old.left_overs()


def test_a_file_appears_whole_with_its_mode_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "b"
    path.write_bytes(b"former")
    path.chmod(0o644)
    with pytest.raises(RuntimeError), appearing_whole(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"former" and list(tmp_path.iterdir()) == [path]
    with appearing_whole(path) as file:
        file.write(b"whole")
        assert path.read_bytes() == b"former"
    assert path.read_bytes() == b"whole" and path.stat().st_mode & 0o777 == 0o600


def test_a_disk_that_fills_up_meanwhile_is_said_and_changes_nothing(old: Appliance, tmp_path: Path) -> None:
    """The system refuses to write a file larger than this, as it refuses to write on a full disk."""
    path = tmp_path / "b.tar"
    old.done("create", path, "--no-password", "--full")
    before = old.state()
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
    for work in (
        RESTORE.format(path=str(path)),
        f"service.create_file(Path({str(tmp_path / 'c')!r}), service.Wanted(True, False), None, 'admin')",
    ):
        done = old.try_run(SERVICE + limit + work)
        assert "NoRoomForBackup" in done.stderr, done.stderr
    assert old.state() == before
    assert not old.left_overs() and sorted(one.name for one in tmp_path.iterdir()) == ["b.tar"]


@pytest.fixture
def tiny() -> Iterator[Path]:
    """A disk with less room than the database needs."""
    place = Path(tempfile.mkdtemp(prefix="tiny-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)
    place.rmdir()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_full_destination_is_said_and_nothing_lies_there(old: Appliance, tiny: Path) -> None:
    done = old.command("create", tiny / "b.tar", "--no-password", "--full")
    assert (done.returncode, "disk became full" in done.stderr) == (8, True), done.stderr
    assert list(tiny.iterdir()) == []
    copied = old.try_run(
        "from pathlib import Path; from staffetta.site.backup import work; from staffetta.site.processes import tasks\n"
        f"with work.full_disk_said(): tasks.copy_database(Path({str(tiny / 'x')!r}))"
    )
    assert "NoRoomForBackup" in copied.stderr, copied.stderr


@pytest.mark.req("B1", "B3")
def test_a_serving_site_goes_on_writing_beside_a_backup_and_a_restore(old: Appliance, tmp_path: Path) -> None:
    writing = subprocess.Popen(
        [
            sys.executable, "-c",
            "import django, os, sys, time; django.setup()\n"
            "from staffetta.site.data import records\n"
            "count = 0\n"
            "print('begun', flush=True)\n"
            f"while not os.path.exists({str(tmp_path / 'stop')!r}):\n"
            "    records.append('test.tick', {'n': count}); count += 1; time.sleep(0.005)\n"
            "print(count)",
        ],
        env={**old.environment(), "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert writing.stdout is not None and writing.stdout.readline() == "begun\n"
    try:
        old.done("create", tmp_path / "b.tar", "--no-password", "--full")
        old.done("restore", tmp_path / "b.tar", "--yes")
    finally:
        (tmp_path / "stop").touch()
        told = writing.communicate(timeout=60)[0]
    assert writing.returncode == 0
    ticks = [one for one in old.state()["records"] if " test.tick " in one]
    assert sorted(json.loads(one[one.index("{") :])["n"] for one in ticks) == list(range(int(told)))
    assert int(told) > 20
