"""Building real releases out of this source tree by the public command, and starting them (U1, U14)."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from staffetta.kernel.clock import utc_now
from staffetta.packages import Installed, Kind, PackageInfo, Version
from staffetta.packages.errors import OlderPackage
from staffetta.packages.manifest import RegularFile
from staffetta.packages.selection import require_installable
from staffetta.releases import ReleaseTree, open_bundle, open_client_bundle
from staffetta.releases.package_file import read_manifest
from staffetta.vendor.interpreter import reachable_by_others

SOURCE = Path(__file__).parents[2]
pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]


def staffetta(*arguments: object) -> "subprocess.CompletedProcess[str]":
    code = "import sys; sys.argv[0] = 'staffetta'; from staffetta.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=200
    )


def succeed(*arguments: object) -> None:
    result = staffetta(*arguments)
    assert result.returncode == 0, result.stderr


@dataclass
class Built:
    folder: Path
    source: Path

    @property
    def root(self) -> bytes:
        return (self.folder / "repository/metadata/1.root.json").read_bytes()

    def package(self, name: str) -> Path:
        return self.folder / f"{name}.tar.zst"

    def build(self, kind: str, version: str, *more: object, name: str | None = None) -> None:
        output = self.package(name or f"{kind}-{version}")
        succeed(
            "vendor", "build", "--kind", kind, "--version", version, "--source", self.source, "--output", output,
            "--cache", self.folder / "cache", *more,
        )  # fmt: skip


def copy_of_the_source(place: Path) -> Path:
    """Return a copy with what a developer's folder also holds, which must not get into a release."""
    place.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "locks", "src"):
        origin = SOURCE / name
        copy = shutil.copytree if origin.is_dir() else shutil.copyfile
        copy(origin, place / name)
    for name in (".git", ".venv", ".cache"):
        (place / name).mkdir()
        (place / name / "pyproject.toml").write_text("not a project")
    (place / "src/staffetta/__pycache__").mkdir(exist_ok=True)
    (place / "src/staffetta/__pycache__/left.cpython-311.pyc").write_bytes(b"left over")
    return place


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("b")
    made = Built(folder, copy_of_the_source(folder / "source"))
    overlay = folder / "overlay/src/staffetta/clients"
    overlay.mkdir(parents=True)
    (overlay / "visible_change.py").write_text('"""A visible change."""\n\nTEXT = "the baton goes on"\n')
    succeed("vendor", "init", "--repository", folder / "repository", "--keys", folder / "keys")
    (folder / "eula.txt").write_text("Be kind.\n")
    made.build("client", "1.0")
    made.build("client", "1.1", "--overlay", folder / "overlay", "--notes", "New", "--eula", folder / "eula.txt")
    succeed(
        "vendor", "publish", "--repository", folder / "repository", "--keys", folder / "keys",
        made.package("client-1.0"), made.package("client-1.1"),
    )  # fmt: skip
    succeed(
        "vendor", "bundle", "--repository", folder / "repository", "client/1.1", "--output", folder / "clients.bundle"
    )
    return made


@pytest.fixture(scope="module")
def installed(built: Built) -> Iterator[tuple[ReleaseTree, PackageInfo]]:
    # Not in pytest's own folder, which each run closes to other users again.
    with tempfile.TemporaryDirectory(prefix="staffetta-test-") as folder:
        place = Path(folder)
        place.chmod(0o755)
        opened = open_client_bundle(built.folder / "clients.bundle", place / "state", built.root, utc_now())
        (info,) = opened.infos
        opened.extract(info, place / "package")
        tree = ReleaseTree(place / "releases")
        tree.stage(place / "package", info)
        tree.check(info.version)
        tree.flip(info.version)
        yield tree, info


def python(tree: ReleaseTree, code: str, user: int | None = None) -> str:
    result = subprocess.run(
        [tree.root / "current/bin/python", "-B", "-P", "-c", code],
        capture_output=True, text=True, check=False, timeout=60, cwd="/", user=user, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.req("U1", "C4")
def test_a_built_client_runs_from_where_it_was_staged(installed: tuple[ReleaseTree, PackageInfo]) -> None:
    tree, _ = installed
    text = "import staffetta.clients.visible_change as m; print(m.TEXT, m.__file__)"
    place = f"{tree.root}/current/lib/python3.11/site-packages/staffetta/clients/visible_change.py"
    assert python(tree, text) == f"the baton goes on {place}"
    imports = "import aiohttp, backports.zstd, tuf, cryptography, staffetta.releases; print('ok')"
    assert python(tree, imports) == "ok"
    started = subprocess.run(
        [tree.root / "current/bin/staffetta", "--version"], capture_output=True, text=True, check=True, timeout=60
    )
    assert started.stdout.startswith("staffetta, version ")
    tree.check(tree.versions()[0])  # running it has written nothing into it


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="changing the user needs root")
def test_other_users_can_run_it(installed: tuple[ReleaseTree, PackageInfo]) -> None:
    assert python(installed[0], "import os, staffetta; print(os.getuid())", user=65534) == "65534"


@pytest.mark.req("U10")
def test_a_process_stays_with_its_own_release_when_current_moves_on(
    installed: tuple[ReleaseTree, PackageInfo], tmp_path: Path
) -> None:
    tree, info = installed
    run = (tree.root / "current/bin/run").read_text()
    assert run.splitlines()[-1] == 'exec "${self%/*}/python" -B -P -m staffetta.clients "$@"'
    release = tmp_path / "releases/1"
    (release / "bin").mkdir(parents=True)
    shutil.copy(tree.root / "current/bin/run", release / "bin/run")
    (release / "bin/python").write_text('#!/bin/sh\necho "$0" "$@"\n')
    (release / "bin/python").chmod(0o755)
    (tmp_path / "releases/current").symlink_to("1")
    said = subprocess.run(
        [tmp_path / "releases/current/bin/run", "web", "a b"], capture_output=True, text=True, check=True
    ).stdout
    assert said == f"{release}/bin/python -B -P -m staffetta.clients web a b\n"
    assert str(info.version) == "1.1"


@pytest.mark.req("U14")
def test_a_release_holds_no_path_of_the_machine_it_was_built_on(built: Built) -> None:
    manifest = read_manifest(built.package("client-1.1"))
    paths = {entry.path for entry in manifest.files}
    assert {"bin/run", "bin/staffetta", "bin/python", "pyvenv.cfg", "EULA.txt"} <= paths
    assert {path for path in paths if path.startswith("bin/")} == {
        "bin/run", "bin/staffetta", "bin/python", "bin/python3", "bin/python3.11",
    }  # fmt: skip
    assert not any("left.cpython" in path or path.startswith((".", "src")) for path in paths)
    modules = {path for path in paths if path.endswith(".py") and "/staffetta/" in path}
    compiled = {
        f"{path.rpartition('/')[0]}/__pycache__/{path.rpartition('/')[2][:-3]}.cpython-311.pyc" for path in modules
    }
    assert modules and compiled <= paths
    assert manifest.requires == () and manifest.notes == "New"


@pytest.mark.req("U14")
def test_byte_code_is_trusted_as_it_is_and_names_relative_paths(installed: tuple[ReleaseTree, PackageInfo]) -> None:
    tree, _ = installed
    packages = tree.root / "current/lib/python3.11/site-packages"
    for pyc in (packages / "staffetta/kernel/__pycache__/ids.cpython-311.pyc", *packages.glob("tuf/__pycache__/*.pyc")):
        data = pyc.read_bytes()
        assert int.from_bytes(data[4:8], "little") == 0b01, "hash-based, not checked against the source"
        assert b"lib/python3.11/site-packages/" in data
        assert b"/tmp/" not in data and str(SOURCE).encode() not in data


@pytest.mark.req("U14")
def test_the_same_source_gives_the_same_bytes_and_the_dependencies_come_from_the_cache(built: Built) -> None:
    environments = built.folder / "cache/environments"
    before = {path.name: path.stat().st_mtime_ns for path in environments.iterdir() if path.is_dir()}
    more = ("--overlay", built.folder / "overlay", "--notes", "New", "--eula", built.folder / "eula.txt")
    built.build("client", "1.1", *more, name="again")
    assert built.package("again").read_bytes() == built.package("client-1.1").read_bytes()
    assert {path.name: path.stat().st_mtime_ns for path in environments.iterdir() if path.is_dir()} == before


def test_two_builds_share_a_cache_at_the_same_time(built: Built, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    code = "import sys; from staffetta.cli.main import main; main()"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, "vendor", "build", "--kind", "client", "--version", version,
             "--source", built.source, "--output", tmp_path / version, "--cache", cache],
            stdout=subprocess.DEVNULL,
        )
        for version in ("2.0", "2.1")
    ]  # fmt: skip
    assert [process.wait(200) for process in running] == [0, 0]
    (environment,) = (path for path in (cache / "environments").iterdir() if path.is_dir())
    first, second = (read_manifest(tmp_path / version) for version in ("2.0", "2.1"))
    assert first.files == second.files
    kept = json.loads((environment / "files.json").read_text())
    assert len(kept) < len(first.files)


@pytest.mark.req("U2", "U4", "C4")
def test_a_site_carries_its_clients_and_its_requirements(built: Built, tmp_path: Path) -> None:
    built.build("site", "3.0", "--require", "base>=2.5", "--client-bundle", built.folder / "clients.bundle")
    manifest = read_manifest(built.package("site-3.0"))
    entry = next(entry for entry in manifest.files if entry.path == "share/clients.bundle")
    assert any(one.path.endswith("staffetta/ui/locale/it/LC_MESSAGES/django.mo") for one in manifest.files)
    assert isinstance(entry, RegularFile) and entry.size == (built.folder / "clients.bundle").stat().st_size
    repository = built.folder / "repository"
    succeed("vendor", "publish", "--repository", repository, "--keys", built.folder / "keys", built.package("site-3.0"))
    succeed("vendor", "bundle", "--repository", repository, "site/3.0", "--output", tmp_path / "site.bundle")
    (info,) = open_bundle(tmp_path / "site.bundle", tmp_path / "trust", built.root).refresh(utc_now())
    assert (info.kind, [str(one) for one in info.requires]) == (Kind.SITE, ["base>=2.5"])
    with pytest.raises(OlderPackage):
        require_installable(Installed(Version("3.0"), Version("3.0")), info)


def test_a_build_that_cannot_be_done_says_why_and_leaves_nothing(built: Built, tmp_path: Path) -> None:
    lock = tmp_path / "source/locks/client.txt"
    source = copy_of_the_source(tmp_path / "source")
    lines = lock.read_text().splitlines()
    wrong = [line if "--hash" not in line else "    --hash=sha256:" + "0" * 64 + " \\" for line in lines]
    lock.write_text("\n".join(wrong).rstrip("\\ ") + "\n")
    for arguments, words in (
        (("--kind", "client", "--version", "1.0", "--source", source), "Could not install the dependencies"),
        (("--kind", "client", "--version", "one", "--source", source), "is no version"),
        (("--kind", "client", "--version", "1.0", "--source", tmp_path), "is no source tree"),
        (("--kind", "base", "--version", "1.0", "--source", source, "--require", "base"), "is no requirement"),
        (("--kind", "base", "--version", "1.0", "--source", source, "--client-bundle", lock), "Only a site"),
        (("--kind", "client", "--version", "1.0", "--source", source, "--python", "/bin/false"), "does not run"),
    ):
        result = staffetta(
            "vendor", "build", *arguments, "--output", tmp_path / "out.tar.zst", "--cache", tmp_path / "cache"
        )
        assert result.returncode != 0 and words in result.stderr, result.stderr
        assert list(tmp_path.glob("*out*")) == []


def test_an_interpreter_in_a_private_home_is_not_chosen(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("an ordinary user may use what it can run")
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    shutil.copy("/bin/true", home / "python3")
    assert not reachable_by_others(home / "python3")
    assert reachable_by_others(Path("/bin/true"))
