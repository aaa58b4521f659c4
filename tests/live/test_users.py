"""Real user ids: what each program runs as, and what the site's user cannot write."""

import os
import stat
from pathlib import Path

import pytest

from staffetta.lab.appliance import BASE_USER, SITE_USER
from staffetta.lab.story import Single

pytestmark = [
    pytest.mark.live,
    pytest.mark.root,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="programs have users of their own only when keeper is root"),
]


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


def test_the_sites_user_cannot_write_releases_journals_or_the_data_of_base(alpha: Single) -> None:
    root = alpha.appliance.folder
    protected = [
        root,
        root / "releases",
        root / "keeper",
        root / "base",
        root / "certificates",
        root / "run",
        *(root / "releases").rglob("*"),
        *(root / "base").rglob("*"),
        *(root / "keeper").rglob("*"),
        root / "appliance.json",
        root / "root.json",
    ]
    checked = [path for path in protected if not path.is_symlink()]
    assert any("journal" in str(path) for path in checked)
    assert any(path.name == "manifest.json" for path in checked)
    wrong = [path for path in checked[:4000] if try_to_write(SITE_USER, SITE_USER, path)]
    assert wrong == []
    assert try_to_write(SITE_USER, SITE_USER, root / "site"), "the check itself must be able to fail"
    (root / "site" / "intruder").unlink()


def test_others_read_no_secret(alpha: Single) -> None:
    root = alpha.appliance.folder
    for path in [*(root / "base").rglob("*"), *(root / "site").rglob("*")]:
        if path.is_file() and ("key" in path.name or path.suffix in {".sqlite3", ".pem"}):
            assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0 or not root.joinpath("site").stat().st_mode & 0o007, (
                path
            )
    assert (root / "base").stat().st_mode & 0o077 == 0
    assert (root / "site").stat().st_mode & 0o077 == 0
