"""A command on the site is given on to the installed release's own, with the arguments, files and signals it got."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from staffetta.control.paths import ApplianceDescription, AppliancePaths
from staffetta.lab.world import wait_until

MAIN = "from staffetta.cli.main import main; main()"
TOLD = """#!{python} -I
import json, os, sys
print(json.dumps([sys.argv[1:], sys.stdin.readline(), os.getuid(), os.getsid(0) == os.getpid(), sorted(os.environ)]))
sys.exit(7 if "jobs" in sys.argv else 0)
"""
WAITING = """#!{python} -I
import pathlib, signal, sys
signal.signal(signal.SIGINT, lambda *_: sys.exit(5))
pathlib.Path({started!r}).touch()
signal.pause()
"""
SITE_USER = 54321 if os.geteuid() == 0 else os.geteuid()


@pytest.fixture
def appliance(tmp_path: Path) -> AppliancePaths:
    """An appliance whose site's installed release has another `staffetta` command than this one."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o055 != 0o055:
            folder.chmod(0o755)  # pytest keeps its folders to itself
    paths = AppliancePaths(tmp_path / "appliance")
    release = paths.releases("site") / "2.0" / "bin"
    release.mkdir(parents=True)
    (paths.releases("site") / "current").symlink_to("2.0")
    paths.description.write_bytes(
        ApplianceDescription("a", "a.example", "https://a", "https://s", ("127.0.0.1",), "https://u").to_bytes()
    )
    paths.site.mkdir()
    for name in ("site.sqlite3", "secret.key"):
        (paths.site / name).touch()
    os.chown(paths.site, SITE_USER, SITE_USER)
    _installed(paths, TOLD)
    return paths


def _installed(paths: AppliancePaths, text: str) -> None:
    command = paths.releases("site") / "2.0/bin/staffetta"
    command.write_text(text.format(python="/usr/bin/python3", started=str(paths.site / "started")))
    command.chmod(0o755)


def _staffetta(paths: AppliancePaths, *arguments: str | Path, given: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", MAIN, *map(str, arguments)], input=given, capture_output=True, text=True,
        env={**os.environ, "STAFFETTA_APPLIANCE": str(paths.root), "SECRET": "1", "SUDO_USER": "rita"},
    )  # fmt: skip


@pytest.mark.req("B1", "F4")
def test_arguments_are_given_on_as_they_were_given_and_defaults_are_left_to_the_release(
    appliance: AppliancePaths,
) -> None:
    done = _staffetta(appliance, "failover", "become-primary", "--no-sync", "--yes")
    told, _, uid, own_session, environment = json.loads(done.stdout)
    assert told == ["failover", "become-primary", "--appliance", str(appliance.root), "--no-sync", "--yes"]
    assert uid == SITE_USER
    assert own_session
    assert "SECRET" not in environment
    named = json.loads(_staffetta(appliance, "site", "reset-password", "--", "-rita").stdout)[0]
    assert named == ["site", "reset-password", "--appliance", str(appliance.root), "--", "-rita"]


def test_a_file_that_only_the_giver_may_read_is_its_standard_input(appliance: AppliancePaths, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("a key\n")
    key.chmod(0o600)
    told, given, *_ = json.loads(_staffetta(appliance, "failover", "key", "--file", key).stdout)
    assert told[-1] == "--file=-"
    assert given == "a key\n"
    assert json.loads(_staffetta(appliance, "failover", "key", "--file", "-", given="typed\n").stdout)[1] == "typed\n"


def test_its_exit_status_is_ours(appliance: AppliancePaths) -> None:
    assert _staffetta(appliance, "failover", "jobs").returncode == 7


def test_one_that_cannot_be_started_is_named(appliance: AppliancePaths) -> None:
    (appliance.releases("site") / "2.0/bin/staffetta").unlink()
    done = _staffetta(appliance, "failover", "jobs")
    assert done.returncode == 6
    assert "cannot be started" in done.stderr


def test_ctrl_c_reaches_it(appliance: AppliancePaths) -> None:
    _installed(appliance, WAITING)
    running = subprocess.Popen(
        [sys.executable, "-c", MAIN, "failover", "jobs", "--appliance", str(appliance.root)], stderr=subprocess.PIPE
    )
    wait_until("its start", (appliance.site / "started").exists, 30)
    running.send_signal(signal.SIGINT)
    assert running.wait(30) == 5
