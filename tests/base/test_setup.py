"""Laying out an appliance: what is there afterwards, who owns it, and that a refusal leaves nothing."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from staffetta.base.errors import SetupRefused
from staffetta.base.layout import User
from staffetta.base.setup import LONGEST_SOCKET_PATH, NewAppliance, initialise
from staffetta.cli.appliance_cmd import group
from staffetta.control.paths import read_description
from staffetta.keeper.config import load_config
from staffetta.kernel.clock import utc_now
from staffetta.packages import Kind
from staffetta.packages.errors import NotTrusted
from vendor.publisher import Publisher


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    made = Publisher(tmp_path / "vendor", utc_now())
    for kind, version, requires in (
        (Kind.BASE, "1.0", ()),
        (Kind.BASE, "1.1", ()),
        (Kind.BASE, "1.2", ("site>=1",)),
        (Kind.SITE, "1.0", ()),
    ):
        made.publish(made.package(kind, version, requires=requires), now=utc_now())
    return made


@pytest.fixture
def new(publisher: Publisher) -> Iterator[NewAppliance]:
    folder = Path(tempfile.mkdtemp(prefix="sti-"))
    folder.chmod(0o755)
    (folder / "root.json").write_bytes(publisher.root)
    yield NewAppliance(
        folder=folder / "a",
        name="one",
        hostname="support.example.test",
        address="127.0.0.1",
        site_port=8443,
        appliance_port=9443,
        update_server="https://updates.example.test",
        bundle=publisher.bundle(*(f"base/base-{one}.tar.zst" for one in ("1.0", "1.1", "1.2"))),
        root=folder / "root.json",
        base_user=User(20001, 20001) if os.geteuid() == 0 else None,
        site_user=User(20002, 20002) if os.geteuid() == 0 else None,
    )
    shutil.rmtree(folder)


def quiet(_: str) -> None:
    pass


@pytest.mark.req("H2")
def test_the_standard_port_is_left_out_of_addresses_as_browsers_do(new: NewAppliance) -> None:
    described = read_description(initialise(replace(new, site_port=443), quiet))
    assert described.site_url == "https://support.example.test", (
        "with the port, sign-in and probe fail their origin check"
    )
    assert described.addresses == ("127.0.0.1:443",)
    assert described.own_site_url == "https://127.0.0.1"
    other = replace(new, folder=new.folder.with_name("b"), appliance_port=443)
    assert read_description(initialise(other, quiet)).appliance_url == "https://127.0.0.1"


@pytest.mark.req("H2")
def test_a_new_appliance_has_all_that_keeper_needs(new: NewAppliance) -> None:
    paths = initialise(new, quiet)
    described = read_description(paths)
    assert described.site_url == "https://support.example.test:8443"
    assert described.own_site_url == "https://127.0.0.1:8443"
    assert described.appliance_url == "https://127.0.0.1:9443"
    assert described.addresses == ("127.0.0.1:8443",)
    assert str((paths.releases("base") / "current").readlink()) == "1.1", "the newest that needs nothing else"
    config = load_config(paths.root)
    assert {spec.name for spec in config.sockets} == {"control", "site-door", "appliance", "site"}
    assert config.programs["site"].processes == ("web", "gateway", "worker")
    assert paths.base.stat().st_mode & 0o777 == 0o700
    assert (paths.base / "trust" / "floor.json").exists()
    assert list((paths.root / "run").iterdir()) == []
    assert list((paths.base / "packages").iterdir()) == [paths.base / "packages" / "uploads"]
    with pytest.raises(SetupRefused, match="not an empty folder"):
        initialise(new, quiet)
    assert read_description(paths) == described


@pytest.mark.req("F9", "H5")
def test_a_shared_address_comes_first_and_is_what_people_call_the_site(new: NewAppliance) -> None:
    pair = replace(new, hostname="127.0.10.3", address="127.0.10.1", shared_address="127.0.10.3")
    described = read_description(initialise(pair, quiet))
    assert described.site_url == "https://127.0.10.3:8443"
    assert described.appliance_url == "https://127.0.10.1:9443"
    assert described.addresses == ("127.0.10.3:8443", "127.0.10.1:8443")
    assert (described.shared_address, described.shared_interface) == ("127.0.10.3", None)
    config = load_config(new.folder)
    assert all(spec.address != "127.0.10.3" for spec in config.sockets), "keeper never restores it by itself"


@pytest.mark.req("F9")
def test_addresses_are_written_down_in_one_spelling_however_they_were_typed(new: NewAppliance) -> None:
    pair = replace(new, hostname="2001:DB8:0:0::3", address="2001:0db8::1", shared_address="2001:DB8::0:3")
    paths = initialise(pair, quiet)
    text = paths.description.read_text()
    assert json.loads(text)["shared_address"] == json.loads(text)["hostname"] == "2001:db8::3"
    assert json.loads(text)["addresses"] == ["[2001:db8::3]:8443", "[2001:db8::1]:8443"]
    assert json.loads(text)["appliance_url"] == "https://[2001:db8::1]:9443"


@pytest.mark.req("H2")
def test_what_cannot_be_is_refused_before_anything_is_made(new: NewAppliance) -> None:
    deep = new.folder.parent / ("x" * LONGEST_SOCKET_PATH)
    for wrong, words in (
        (replace(new, folder=deep), "characters too long"),
        (replace(new, address="support"), "not an IP address"),
        (replace(new, appliance_port=8443), "a port each"),
        (replace(new, site_port=0), "not a port"),
        (replace(new, update_server="updates"), "update server"),
        (replace(new, name=""), "printable characters"),
        (replace(new, base_user=User(7, 7), site_user=None), "or none for both"),
        (replace(new, shared_address="shared"), "not an IP address"),
        (replace(new, shared_address="127.0.0.1"), "one of its own"),
        (replace(new, shared_address="::"), "one of its own"),
        (replace(new, address="2001:db8::1", shared_address="2001:DB8:0:0::1"), "one of its own"),
        (replace(new, address="0.0.0.0", shared_address="127.0.10.3"), "stands for all"),
        (replace(new, shared_address="127.0.10.3", shared_interface="a b"), "not the name of a network interface"),
        (replace(new, shared_interface="eth0"), "no shared address"),
        (replace(new, bundle=new.folder.parent / "none"), "is not a file"),
        (replace(new, root=new.folder.parent / "none"), "cannot be read"),
    ):
        with pytest.raises(SetupRefused, match=words):
            initialise(wrong, quiet)
        assert not wrong.folder.exists()


@pytest.mark.req("U14")
def test_a_bundle_of_somebody_else_is_not_trusted_and_nothing_is_left(new: NewAppliance, tmp_path: Path) -> None:
    other = Publisher(tmp_path / "other", utc_now())
    new.root.write_bytes(other.root)
    new.folder.mkdir()
    with pytest.raises(NotTrusted):
        initialise(new, quiet)
    assert list(new.folder.iterdir()) == []


def test_a_bundle_with_no_base_or_a_base_that_fails_is_refused(new: NewAppliance, publisher: Publisher) -> None:
    with pytest.raises(SetupRefused, match="holds no base"):
        initialise(replace(new, bundle=publisher.bundle("site/site-1.0.tar.zst", output="s.bundle")), quiet)
    failing = publisher.package(Kind.BASE, "2.0", content={"bin/python-not": b""})
    publisher.publish(failing, now=utc_now())
    assert not new.folder.exists()


@pytest.mark.req("U14")
@pytest.mark.parametrize(
    ("base", "site"),
    [(None, None), (User(0, 0), User(20002, 20002)), (User(20001, 20001), User(20002, 0))],
)
def test_root_must_name_users_who_are_not_root(
    new: NewAppliance, base: User | None, site: User | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(SetupRefused, match="--base-user 20001 --site-user 20002"):
        initialise(replace(new, base_user=base, site_user=site), quiet)
    assert not new.folder.exists()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_each_program_owns_what_is_its_own_and_no_more(new: NewAppliance) -> None:
    base, site = User(20001, 20001), User(20002, 20002)
    for parent in (new.folder.parent, *new.folder.parent.parents):
        assert parent.stat().st_mode & 0o001
    paths = initialise(replace(new, base_user=base, site_user=site), quiet)
    owners = {
        path: (path.stat().st_uid, path.stat().st_gid, oct(path.stat().st_mode & 0o7777))
        for path in (paths.root, paths.keeper, paths.base, paths.site, paths.certificates, paths.releases("site"))
    }
    assert owners == {
        paths.root: (0, 0, "0o755"),
        paths.keeper: (0, 0, "0o700"),
        paths.base: (20001, 20001, "0o700"),
        paths.site: (20002, 20002, "0o700"),
        paths.certificates: (20001, 20002, "0o2750"),
        paths.releases("site"): (20001, 20001, "0o755"),
    }
    for folder in (paths.base, paths.releases("base")):
        assert {path.lstat().st_uid for path in folder.rglob("*")} == {20001}
    config = load_config(paths.root)
    assert config.programs["base"].groups == (20002,)
    control = next(spec for spec in config.sockets if spec.name == "control")
    assert (control.mode, control.group) == (0o660, 20001)
    door = next(spec for spec in config.sockets if spec.name == "site-door")
    assert (door.address, door.mode, door.group) == (str(paths.site_door_socket), 0o660, 20002)


def test_the_command_says_what_to_do_next(new: NewAppliance) -> None:
    arguments = [
        "init", "--appliance", str(new.folder), "--name", "one", "--bundle", str(new.bundle), "--root", str(new.root),
        "--address", "127.0.0.1", "--site-port", "8443", "--appliance-port", "9443",
        "--update-server", new.update_server,
    ]  # fmt: skip
    if os.geteuid() == 0:
        arguments += ["--base-user", "20001", "--site-user", "20002"]
    done = CliRunner().invoke(group, arguments)
    assert done.exit_code == 0, done.output
    assert "staffetta.keeper --appliance" in done.output
    assert json.loads((new.folder / "appliance.json").read_text())["hostname"] == "127.0.0.1"
    shared = list(arguments)
    shared[2] = str(new.folder.with_name("b"))
    done = CliRunner().invoke(group, [*shared, "--shared-address", "127.0.10.3", "--shared-interface", "lo"])
    assert done.exit_code == 0, done.output
    described = json.loads((new.folder.with_name("b") / "appliance.json").read_text())
    assert described["hostname"] == described["shared_address"] == "127.0.10.3"
    assert described["shared_interface"] == "lo"
