"""`staffetta site reset-password`: a lost password, from the appliance's command line."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from own_site import run_site, site_environment

from staffetta.control.paths import ApplianceDescription, AppliancePaths

OTHER_USER = 65534


@pytest.fixture
def appliance(migrated: Path) -> Iterator[AppliancePaths]:
    """An appliance with a site, in a folder that every user can reach."""
    root = Path(tempfile.mkdtemp(prefix="appliance-"))
    root.chmod(0o755)
    paths = AppliancePaths(root)
    description = ApplianceDescription(
        "a", "localhost", "https://localhost:9443/appliance", "https://localhost:8443", ("localhost:8443",), "none"
    )
    paths.description.write_bytes(description.to_bytes())
    shutil.copytree(migrated, paths.site)
    yield paths
    shutil.rmtree(root)


def _reset(paths: AppliancePaths, username: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [
            sys.executable, "-c", "from staffetta.cli.main import main; main()",
            "site", "reset-password", username, "--appliance", str(paths.root),
        ],
        env={name: value for name, value in site_environment(paths.site).items() if "SITE_DATABASE" not in name},
        capture_output=True,
        text=True,
        timeout=60,
    )  # fmt: skip


def _signs_in(paths: AppliancePaths, username: str, password: str) -> bool:
    printed = run_site(
        paths.site,
        "-c",
        "import django; django.setup()\n"
        "from staffetta.site.accounts.models import Account\n"
        f"account = Account.objects.get(username={username!r})\n"
        f"print(account.check_password({password!r}), account.must_change_password)",
    )
    return printed.split() == ["True", "True"]


def test_a_lost_password_is_replaced_by_one_for_once(appliance: AppliancePaths) -> None:
    done = _reset(appliance, "Admin")
    assert done.returncode == 0, done.stderr
    found = re.search(r"One-time password: (\S+)", done.stdout)
    assert found is not None
    assert _signs_in(appliance, "admin", found[1])
    with sqlite3.connect(appliance.site / "site.sqlite3") as database:
        (body,) = database.execute("SELECT body FROM data_record WHERE kind = 'audit'").fetchone()
    assert '"actor": "command line"' in body and found[1] not in body


def test_what_is_wrong_is_said(appliance: AppliancePaths, tmp_path: Path) -> None:
    unknown = _reset(appliance, "nobody")
    assert (unknown.returncode, "no user 'nobody'" in unknown.stderr) == (4, True)
    nowhere = _reset(AppliancePaths(tmp_path), "admin")
    assert (nowhere.returncode, "holds no appliance" in nowhere.stderr) == (4, True)
    shutil.rmtree(appliance.site)
    empty = _reset(appliance, "admin")
    assert (empty.returncode, "holds no site yet" in empty.stderr) == (4, True)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_works_as_the_sites_user(appliance: AppliancePaths) -> None:
    """Nothing in the site's folder may end up belonging to root."""
    appliance.site.chmod(0o700)
    for path in (appliance.site, *appliance.site.rglob("*")):
        os.chown(path, OTHER_USER, OTHER_USER)
    done = _reset(appliance, "admin")
    assert done.returncode == 0, done.stderr
    owners = {path.stat().st_uid for path in (appliance.site, *appliance.site.rglob("*"))}
    assert owners == {OTHER_USER}
