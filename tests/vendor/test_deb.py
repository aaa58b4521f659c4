"""The Debian package in a Debian of its own: installed, booted, serving a site, restarted, removed with all it made."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from staffetta.lab.world import wait_until
from staffetta.packages import Version
from staffetta.vendor.deb import debian_version
from vendor.machine import Machine, clean, overlaid
from vendor.releases import Vendor

UNIT = "staffetta-keeper.service"
FACE = """
import ssl, sys, urllib.request
print(urllib.request.urlopen(sys.argv[1], context=ssl._create_unverified_context(), timeout=10).status)
"""


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("1.2.3", "1.2.3"), ("1.2rc1", "1.2~rc1"), ("2.0a3", "2.0~a3"), ("1.0.dev4", "1.0~dev4")],
)
def test_what_comes_before_a_release_is_older_for_debian_too(ours: str, theirs: str) -> None:
    assert debian_version(Version(ours)) == theirs


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Vendor:
    """A vendor's Debian package with a base in it, and a bundle with a site."""
    made = Vendor(tmp_path_factory.mktemp("d"))
    made.release("1.0")
    made.bundle("site/1.0")
    made.make_deb("1.0", "http://192.0.2.1:8470")
    return made


@pytest.mark.live
@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="installing a package and booting a system need root")
@pytest.mark.req("U8", "U10", "B1", "B3")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("system", [overlaid, pytest.param(clean, marks=pytest.mark.soak)])
def test_an_appliance_is_installed_serves_and_is_removed(
    built: Vendor, system: Callable[[], AbstractContextManager[Machine]]
) -> None:
    with system() as machine:
        machine.bring(built.deb, "/root/staffetta.deb")
        machine.bring(built.folder / "site.bundle", "/root/site.bundle")
        _install(machine)
        said = machine.run("staffetta", "appliance", "init", "--name", "alpha", "--address", "127.0.0.1")
        assert "systemctl start staffetta-keeper" in said
        machine.boot()
        machine.run("systemctl", "start", UNIT)
        wait_until("base", lambda: "base 1.0" in machine.try_run("staffetta", "appliance", "status").stdout, 60)
        refused = machine.try_run("staffetta", "appliance", "install-file", "/root/site.bundle", "--wait")
        assert "staffetta appliance eula accept" in refused.stderr
        machine.run("staffetta", "appliance", "eula", "accept")
        machine.run("staffetta", "appliance", "install-file", "/root/site.bundle", "--wait")
        _serves(machine)
        _commands_are_those_of_the_installed_site(machine)
        machine.run("staffetta", "doctor", "--offline", "--level", "error")
        _processes_have_no_more_rights_than_they_need(machine)
        _a_restart_and_a_kill_bring_everything_back(machine)
        _an_upgrade_of_the_package_cuts_nobody_off(machine)
        _removed_it_leaves_the_data_and_purged_it_leaves_nothing(machine)


def _install(machine: Machine) -> None:
    if machine.try_run("test", "-e", "/var/lib/apt/lists/lock").returncode != 0:
        machine.run("apt-get", "update", "-qq")
    machine.run("apt-get", "install", "-y", "-qq", "/root/staffetta.deb")
    assert machine.run("systemctl", "is-enabled", UNIT).strip() == "enabled"
    for account in ("staffetta-base", "staffetta-site"):
        assert machine.run("getent", "passwd", account).strip().endswith("nologin")
    asked = "source /usr/share/bash-completion/completions/staffetta; COMP_WORDS=(staffetta fail); COMP_CWORD=1; "
    completed = machine.run(
        "bash", "-c", asked + '_staffetta_completion staffetta staffetta fail; echo "${COMPREPLY[*]}"'
    )
    assert completed.strip() == "failover"
    for place in ("zsh/vendor-completions/_staffetta", "fish/vendor_completions.d/staffetta.fish"):
        assert "_STAFFETTA_COMPLETE" in machine.run("cat", f"/usr/share/{place}")


def _serves(machine: Machine) -> None:
    for url in ("https://127.0.0.1/login/sign-in", "https://127.0.0.1:8443/appliance/sign-in"):
        assert machine.run("python3.11", "-c", FACE, url).strip() == "200"


def _commands_are_those_of_the_installed_site(machine: Machine) -> None:
    """The package's own code for the site's data is taken away: what still works is the installed site's."""
    own = machine.run("find", "/usr/lib/staffetta", "-type", "d", "-path", "*/staffetta/site", "-prune").strip()
    for room in ("failover", "accounts", "data"):
        machine.run("mv", f"{own}/{room}", f"/root/{room}.away")
    try:
        _backup_and_restore(machine)
        machine.run("sh", "-c", "umask 077; staffetta failover key --generate > /root/key")
        machine.run("staffetta", "failover", "key", "--generate")
        machine.run("staffetta", "failover", "key", "--file", "/root/key")
        assert machine.run("staffetta", "failover", "key", "--show").strip() == machine.run("cat", "/root/key").strip()
        assert "site version 1.0" in machine.run("staffetta", "failover", "status")
        assert "One-time password" in machine.run("staffetta", "site", "reset-password", "admin")
        unknown = machine.try_run("staffetta", "site", "reset-password", "nobody")
        assert unknown.returncode == 4
        assert "nobody" in unknown.stderr
    finally:
        for room in ("failover", "accounts", "data"):
            machine.run("mv", f"/root/{room}.away", f"{own}/{room}")
    foreign = "find /var/lib/staffetta/site ! -user staffetta-site | head -1"
    assert machine.run("sh", "-c", foreign) == ""


def _backup_and_restore(machine: Machine) -> None:
    machine.run("sh", "-c", "umask 077; echo 'correct horse' > /root/password")
    secret = ("--password-file", "/root/password")
    file = "/var/backups/site.age"
    for _ in "night", "the next night":
        assert "version 1.0" in machine.run("staffetta", "backup", "create", file, *secret)
    assert machine.run("stat", "-c", "%U %a", file).strip() == "root 600"
    assert machine.run("head", "-c", "21", file) == "age-encryption.org/v1"
    restored = machine.run("sh", "-c", "cd /var/backups; staffetta backup restore site.age --yes " + " ".join(secret))
    assert "Restored:" in restored
    machine.run("sh", "-c", "umask 077; echo wrong > /root/password")
    refused = machine.try_run("staffetta", "backup", "restore", file, *secret, "--yes")
    assert refused.returncode != 0
    assert "password" in refused.stderr


def _processes_have_no_more_rights_than_they_need(machine: Machine) -> None:
    keeper = machine.main_process(UNIT)
    children = machine.run("cat", f"/proc/{keeper}/task/{keeper}/children").split()
    assert len(children) == 5, "two processes of base, three of the site"
    users = set()
    for number in children:
        status = dict(
            line.split(":\t", 1) for line in machine.run("cat", f"/proc/{number}/status").splitlines() if ":\t" in line
        )
        users.add(status["Uid"].split()[1])
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
        assert status["NoNewPrivs"] == "1"
    accounts = {machine.run("id", "-u", name).strip() for name in ("staffetta-base", "staffetta-site")}
    assert users == accounts
    writable = (
        "find /usr/lib/staffetta -not -type l -perm /022 | head -1; find /usr/lib/staffetta ! -user root | head -1"
    )
    assert machine.run("sh", "-c", writable) == ""


def _a_restart_and_a_kill_bring_everything_back(machine: Machine) -> None:
    before = machine.main_process(UNIT)
    machine.run("kill", "-KILL", before)
    wait_until("another keeper", lambda: machine.main_process(UNIT) not in ("0", before), 60)
    wait_until("the site", lambda: "site 1.0" in machine.try_run("staffetta", "appliance", "status").stdout, 60)
    machine.run("systemctl", "restart", UNIT)
    wait_until(
        "the faces",
        lambda: machine.try_run("python3.11", "-c", FACE, "https://127.0.0.1/login/sign-in").stdout.strip() == "200",
        60,
    )
    _serves(machine)


def _an_upgrade_of_the_package_cuts_nobody_off(machine: Machine) -> None:
    before = machine.main_process(UNIT)
    said = machine.run("dpkg", "--install", "/root/staffetta.deb")
    assert "systemctl restart staffetta-keeper" in said
    assert machine.main_process(UNIT) == before
    _serves(machine)


def _removed_it_leaves_the_data_and_purged_it_leaves_nothing(machine: Machine) -> None:
    machine.run("dpkg", "--remove", "staffetta")
    assert not machine.active(UNIT)
    assert machine.try_run("staffetta", "--help").returncode != 0
    machine.run("test", "-f", "/var/lib/staffetta/site/site.sqlite3")
    machine.run("dpkg", "--install", "/root/staffetta.deb")
    machine.run("systemctl", "start", UNIT)
    wait_until("the site", lambda: "site 1.0" in machine.try_run("staffetta", "appliance", "status").stdout, 60)
    _serves(machine)
    machine.run("dpkg", "--purge", "staffetta")
    assert not machine.active(UNIT)
    for place in ("/var/lib/staffetta", "/usr/lib/staffetta", f"/etc/systemd/system/multi-user.target.wants/{UNIT}"):
        assert machine.try_run("test", "-e", place).returncode == 1, place
    for account in ("staffetta-base", "staffetta-site"):
        assert machine.try_run("getent", "passwd", account).returncode == 2
        assert machine.try_run("getent", "group", account).returncode == 2
