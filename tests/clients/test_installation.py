"""Installing a Jump Client from the site: only what the vendor signed gets onto the disk, and nothing else changes."""

import json
import subprocess
from pathlib import Path

import pytest

from clients.conftest import run
from clients.simulated_gateway import Gateway, Site
from staffetta.kernel.clock import utc_now
from staffetta.packages import Kind
from vendor.publisher import Publisher

pytestmark = pytest.mark.live

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    folder = tmp_path / "vendor"
    folder.mkdir()
    return Publisher(folder, utc_now())


def _handed_out(site: Site, publisher: Publisher, *versions: str) -> Path:
    """Let the site hand out these versions; return the file with the vendor's root of trust."""
    infos = publisher.publish(*(publisher.package(Kind.CLIENT, version) for version in versions), now=utc_now())
    bundle = publisher.bundle(*(info.target for info in infos))
    (site.folder / "clients.bundle").write_bytes(bundle.read_bytes())
    root = site.folder / "root.json"
    root.write_bytes(publisher.root)
    return root


def _install(site: Site, root: Path, state: Path, status: int = 0) -> str:
    done = run(
        "jump-client", "install", "--token", "-", "--state", str(state), "--root", str(root),
        "--name", "desk", text=f"{site.installer_token()}\n", status=status,
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.mark.req("U14")
def test_the_newest_signed_client_is_put_in_place(
    site: Site, gateway: Gateway, publisher: Publisher, tmp_path: Path
) -> None:
    state = tmp_path / "computer"
    said = _install(site, _handed_out(site, publisher, "1.0.0", "1.2.0", "1.10.0"), state)
    assert (state / "releases" / "current").readlink() == Path("1.10.0")
    assert f"{state}/releases/current/bin/run jump-client --state {state}" in said
    enrolled = json.loads((state / "client.json").read_text())
    assert enrolled["id"] in site.clients and enrolled["name"] == "desk"
    assert not [path for path in state.iterdir() if path.name.startswith(".installing")]
    assert "already holds" in _install(site, site.folder / "root.json", state, status=5)


@pytest.mark.req("U14")
@pytest.mark.parametrize("harm", ["package", "metadata", "other vendor", "empty", "cut"])
def test_what_the_vendor_did_not_sign_is_refused_and_the_token_is_not_used(
    site: Site, gateway: Gateway, publisher: Publisher, tmp_path: Path, harm: str
) -> None:
    root = _handed_out(site, publisher, "1.0.0")
    bundle = site.folder / "clients.bundle"
    content = bytearray(bundle.read_bytes())
    match harm:
        case "package":
            content[content.index(ZSTD_MAGIC) + 100] ^= 1
        case "metadata":
            content[content.index(b"installed_size") + 3] ^= 1
        case "other vendor":
            other = tmp_path / "other"
            other.mkdir()
            root.write_bytes(Publisher(other, utc_now()).root)
        case "empty":
            content = bytearray()
        case "cut":
            content = content[: len(content) // 2]
    bundle.write_bytes(content)
    said = _install(site, root, tmp_path / "computer", status=7)
    assert said.startswith("Site found"), said
    assert site.clients == {}
    assert not (tmp_path / "computer" / "releases" / "current").exists()
    assert not (tmp_path / "computer" / "client.json").exists()


def test_a_site_without_clients_says_so(site: Site, gateway: Gateway, publisher: Publisher, tmp_path: Path) -> None:
    infos = publisher.publish(publisher.package(Kind.SITE, "1.0.0"), now=utc_now())
    (site.folder / "clients.bundle").write_bytes(publisher.bundle(infos[0].target).read_bytes())
    root = site.folder / "root.json"
    root.write_bytes(publisher.root)
    assert "no client that the vendor has signed" in _install(site, root, tmp_path / "computer", status=4)


def test_the_unit_of_an_installed_client_is_one_that_systemd_takes(
    site: Site, gateway: Gateway, publisher: Publisher, tmp_path: Path
) -> None:
    state = tmp_path / "a computer at 100% $HOME"
    assert "install" in run("jump-client", "unit", "--state", str(state), status=4).stderr
    _install(site, _handed_out(site, publisher, "1.0.0"), state)
    text = run("jump-client", "unit", "--state", str(state)).stdout
    place = tmp_path / "staffetta-jump-client.service"
    place.write_text(text)
    seen = subprocess.run(["systemd-analyze", "verify", place], capture_output=True, text=True, timeout=60)
    assert (seen.returncode, seen.stderr) == (0, "")
    assert f"User={state.owner()}\n" in text
