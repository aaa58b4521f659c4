"""Real user ids: what each program runs as, and what the site's user cannot write."""

import json
import os
import socket
import stat
from pathlib import Path

import pytest

from staffetta.control.paths import AppliancePaths
from staffetta.lab.appliance import BASE_USER, SITE_USER
from staffetta.lab.single import Single

pytestmark = [
    pytest.mark.live,
    pytest.mark.root,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="programs have users of their own only when keeper is root"),
]

NOBODY = 65534
RELEASE_FILES_TRIED = 1500
"""Each is tried by a process of its own; the releases have many thousands."""


def ids(pid: int) -> tuple[set[int], set[int], set[int]]:
    """The user ids, group ids and supplementary groups of a process."""
    lines = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    numbers = [{int(one) for one in lines[name].split()} for name in ("Uid", "Gid", "Groups")]
    return numbers[0], numbers[1], numbers[2]


def try_to_write(uid: int, gid: int, path: Path) -> bool:
    """Whether a process with these ids can write a file, or into a folder."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
            if path.is_dir():
                (path / "intruder").write_text("x")
            else:
                with path.open("r+b"):
                    pass
            status = 0
        except OSError:
            status = 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def status_read_as(uid: int, gid: int, path: Path) -> int | None:
    """With which status a process with these ids is answered on a local socket of base; None: it may not open it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(20)
                line.connect(str(path))
                line.sendall(b"GET /v1/status HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                os.write(writing, line.recv(4096).split()[1])
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return int(said) if said else None


@pytest.mark.req("F7", "U10")
def test_the_sites_user_may_open_the_site_door_and_never_the_control_socket(alpha: Single) -> None:
    paths = AppliancePaths(alpha.appliance.folder)
    assert status_read_as(SITE_USER, SITE_USER, paths.site_door_socket) == 200
    assert status_read_as(SITE_USER, SITE_USER, paths.control_socket) is None
    assert status_read_as(BASE_USER, BASE_USER, paths.control_socket) == 200
    assert status_read_as(NOBODY, NOBODY, paths.site_door_socket) is None
    lines = [json.loads(line) for line in (paths.base / "audit-site-door.jsonl").read_text().splitlines()]
    assert [(line["uid"], line["path"], line["status"]) for line in lines if line["socket"] == "site-door"] == [
        (SITE_USER, "/v1/status", 200)
    ]


@pytest.mark.req("U10")
def test_each_program_runs_as_its_own_user(alpha: Single) -> None:
    for program, user in (("base", BASE_USER), ("site", SITE_USER)):
        pids = alpha.appliance.processes(program)
        assert pids
        for pid in pids:
            users, groups, others = ids(pid)
            assert users == {user}
            assert 0 not in groups | others
    assert ids(alpha.appliance.processes("site")[0])[2] <= {SITE_USER}


def below(folder: Path) -> list[Path]:
    """A folder and everything in it but symbolic links, in order."""
    return [folder, *sorted(path for path in folder.rglob("*") if not path.is_symlink())]


def sample(paths: list[Path], most: int) -> list[Path]:
    """At most so many of the paths, evenly spread."""
    return paths[:: -(-len(paths) // most)]


def exposed(path: Path, root: Path) -> bool:
    """Whether others than the file's owner and group can read it, by its own mode and the folders' up to ``root``."""
    if stat.S_IMODE(path.stat().st_mode) & 0o007 == 0:
        return False
    return all(stat.S_IMODE(folder.stat().st_mode) & 0o077 for folder in path.parents if folder.is_relative_to(root))


def test_the_sites_user_cannot_write_releases_journals_or_the_data_of_base(alpha: Single) -> None:
    root = alpha.appliance.folder
    released = below(root / "releases")
    tried = [
        root,
        root / "appliance.json",
        root / "root.json",
        root / "run",
        *below(root / "keeper"),
        *below(root / "base"),
        *below(root / "certificates"),
        *[path for path in released if path.name == "manifest.json" or path.parent == root / "releases"],
        *sample(released, RELEASE_FILES_TRIED),
    ]
    assert {root / "root.json", root / "keeper" / "config.json", root / "base" / "base.sqlite3"} <= set(tried)
    assert any(path.is_file() and root / "base" / "journal" in path.parents for path in tried)
    for program in ("base", "site"):
        assert any(path.name == "manifest.json" and root / "releases" / program in path.parents for path in tried)
    assert [path for path in tried if try_to_write(SITE_USER, SITE_USER, path)] == []
    assert try_to_write(SITE_USER, SITE_USER, root / "site"), "the check itself must be able to fail"
    (root / "site" / "intruder").unlink()


def test_others_read_no_secret(alpha: Single) -> None:
    root = alpha.appliance.folder
    for folder in ("base", "site", "keeper"):
        assert stat.S_IMODE((root / folder).stat().st_mode) & 0o077 == 0, folder
    assert stat.S_IMODE((root / "certificates").stat().st_mode) & 0o027 == 0
    secrets = [
        path
        for part in root.iterdir()
        if part.name != "releases"
        for path in below(part)
        if path.suffix in {".key", ".pem", ".sqlite3"} and path.is_file()
    ]
    found = {path.relative_to(root).as_posix() for path in secrets}
    assert {"base/base.sqlite3", "site/site.sqlite3", "site/secret.key", "certificates/site.pem"} <= found
    assert [path for path in secrets if exposed(path, root)] == []
    assert exposed(root / "appliance.json", root), "the check itself must be able to fail"
