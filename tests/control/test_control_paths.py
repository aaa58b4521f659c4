"""Where things lie on an appliance, and what a process is told about itself."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from staffetta.control.paths import (
    ApplianceDescription,
    AppliancePaths,
    BadDescription,
    NotAnAppliance,
    ProcessEnvironment,
    read_description,
)
from staffetta.kernel.ids import new_id

GOOD = ApplianceDescription(
    name="a",
    hostname="support.example",
    appliance_url="https://127.0.10.1:9443/appliance",
    site_url="https://127.0.10.1:8443",
    addresses=("127.0.10.1:8443",),
    update_server="https://127.0.10.100:7443",
)
ENVIRONMENT = {
    "STAFFETTA_GENERATION": "site-abc",
    "STAFFETTA_PROGRAM": "site",
    "STAFFETTA_PROCESS": "gateway",
    "STAFFETTA_VERSION": "1.0",
    "STAFFETTA_RELEASE": "/a/releases/site/1.0",
    "STAFFETTA_APPLIANCE": "/a",
    "STAFFETTA_RUN": "/a/run/site-abc",
}


def test_paths_are_those_of_the_contract() -> None:
    paths = AppliancePaths(Path("/a"))
    assert paths.run("site-x") == Path("/a/run/site-x")
    assert paths.private_socket("site-x") == Path("/a/run/site-x/private.sock")
    assert paths.control_socket == Path("/a/run/control.sock")
    assert paths.releases("base") == Path("/a/releases/base")
    assert (paths.base, paths.site, paths.data("site")) == (Path("/a/base"), Path("/a/site"), Path("/a/site"))
    assert (paths.certificates, paths.logs) == (Path("/a/certificates"), Path("/a/logs"))
    assert (paths.settings, paths.description) == (Path("/a/settings.toml"), Path("/a/appliance.json"))


def test_a_private_socket_fits_a_socket_address() -> None:
    place = AppliancePaths(Path("/var/lib/staffetta")).private_socket(new_id("site"))
    assert len(str(place)) < 108


def test_a_description_is_read_back(tmp_path: Path) -> None:
    paths = AppliancePaths(tmp_path)
    with pytest.raises(NotAnAppliance, match="appliance init"):
        read_description(paths)
    paths.description.write_bytes(GOOD.to_bytes())
    assert read_description(paths) == GOOD
    assert b"shared" not in GOOD.to_bytes(), "as older versions wrote it"
    pair = replace(GOOD, shared_address="127.0.10.3", shared_interface="eth0")
    paths.description.write_bytes(pair.to_bytes())
    assert read_description(paths) == pair
    paths.description.write_bytes(replace(GOOD, shared_address="").to_bytes())
    with pytest.raises(BadDescription, match="shared_address"):
        read_description(paths)


@pytest.mark.req("F9")
def test_an_address_that_was_written_as_it_was_typed_is_read_in_canonical_form(tmp_path: Path) -> None:
    paths = AppliancePaths(tmp_path)
    typed = replace(
        GOOD,
        hostname="2001:DB8:0:0::3",
        appliance_url="https://[2001:0db8::1]:9443",
        site_url="https://[2001:DB8:0:0::3]",
        addresses=("[2001:DB8:0:0::3]:443", "[2001:0db8::1]:443"),
        shared_address="2001:DB8:0:0::3",
    )
    paths.description.write_bytes(typed.to_bytes())
    assert read_description(paths) == replace(
        typed,
        hostname="2001:db8::3",
        appliance_url="https://[2001:db8::1]:9443",
        site_url="https://[2001:db8::3]",
        addresses=("[2001:db8::3]:443", "[2001:db8::1]:443"),
        shared_address="2001:db8::3",
    )
    named = replace(GOOD, hostname="Support.Example", update_server="https://Updates.Example/[x]")
    paths.description.write_bytes(named.to_bytes())
    assert read_description(paths) == named, "names stay as they were given"


@pytest.mark.parametrize("change", [{"name": None}, {"addresses": "x"}, {"addresses": [1]}, {"hostname": ""}])
def test_a_wrong_description_is_named(tmp_path: Path, change: dict[str, object]) -> None:
    paths = AppliancePaths(tmp_path)
    paths.description.write_text(json.dumps(json.loads(GOOD.to_bytes()) | change))
    with pytest.raises(BadDescription, match=next(iter(change))):
        read_description(paths)


@pytest.mark.parametrize("text", ["", "[]", "{", "7"])
def test_a_damaged_description_is_named(tmp_path: Path, text: str) -> None:
    paths = AppliancePaths(tmp_path)
    paths.description.write_text(text)
    with pytest.raises(BadDescription):
        read_description(paths)


def test_a_process_knows_what_it_is() -> None:
    environment = ProcessEnvironment.read(ENVIRONMENT)
    assert (environment.program, environment.process, environment.version) == ("site", "gateway", "1.0")
    assert environment.paths.root == Path("/a")
    assert environment.run == environment.paths.run(environment.generation)


def test_a_process_that_keeper_did_not_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BadDescription, match="started by keeper"):
        ProcessEnvironment.read()
    with pytest.raises(BadDescription, match="lower-case"):
        ProcessEnvironment.read({**ENVIRONMENT, "STAFFETTA_PROCESS": "../x"})
