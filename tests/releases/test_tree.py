"""A release tree: whole or not there, checked to the last file, flipped at once, pruned (U10, U14)."""

import contextlib
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from backports.zstd import ZstdFile

from staffetta.packages import Kind, Manifest, PackageInfo, Version
from staffetta.packages.errors import DocumentInvalid
from staffetta.packages.manifest import MANIFEST_NAME
from staffetta.releases import ReleaseTree
from staffetta.releases.errors import DiskFull, PackageDamaged, PlatformUnfit, ReleaseInUse, ReleaseMissing
from staffetta.releases.preflight import check_platform
from vendor.publisher import Publisher, interpreter

ONE, TWO, THREE = Version("1.0"), Version("2.0"), Version("3.0")


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    return Publisher(tmp_path / "vendor")


@pytest.fixture
def tree(tmp_path: Path) -> ReleaseTree:
    return ReleaseTree(tmp_path / "releases" / "site")


Made = tuple[Path, PackageInfo]


@pytest.fixture
def make(publisher: Publisher) -> Callable[..., Made]:
    def package(version: str = "1.0", **more: object) -> Made:
        file = publisher.package(Kind.SITE, version, **more)  # type: ignore[arg-type]
        return file, publisher.publish(file)[0]

    return package


@pytest.mark.req("U10")
def test_a_release_is_staged_checked_and_flipped(tree: ReleaseTree, make: Callable[..., Made]) -> None:
    seen: list[tuple[int, int]] = []
    path = tree.stage(*make(), progress=lambda done, total: seen.append((done, total)))
    assert path == tree.root / "1.0"
    assert tree.versions() == (ONE,) and tree.current() is None
    assert seen[-1][0] == seen[-1][1] == tree.check(ONE).installed_size
    tree.flip(ONE)
    assert tree.current() == ONE
    assert (tree.root / "current/lib/code.py").read_text() == "VERSION = '1.0'\n"
    assert (path / "bin/run").stat().st_mode & 0o777 == 0o755
    assert (path / "lib/code.py").stat().st_mode & 0o777 == 0o644
    assert (path / "bin/python").readlink() == interpreter().path
    tree.stage(*make("2.0"))
    tree.flip(TWO)
    assert tree.current() == TWO
    tree.flip(ONE)
    assert tree.current() == ONE


@pytest.mark.req("U10")
def test_modes_do_not_depend_on_the_umask(tree: ReleaseTree, make: Callable[..., Made]) -> None:
    made = make()
    before = os.umask(0o077)
    try:
        path = tree.stage(*made)
    finally:
        os.umask(before)
    for place in (path, path / "bin", path / "share/text"):
        assert place.stat().st_mode & 0o777 == 0o755
    assert (path / "share/text/a b.txt").stat().st_mode & 0o777 == 0o644


@pytest.mark.req("U10")
def test_a_release_that_is_there_whole_is_kept_and_a_damaged_one_made_anew(
    tree: ReleaseTree, make: Callable[..., Made]
) -> None:
    made = make()
    path = tree.stage(*made)
    inode = path.stat().st_ino
    assert tree.stage(*made).stat().st_ino == inode
    (path / "lib/code.py").write_text("changed")
    tree.stage(*made)
    tree.check(ONE)
    tree.flip(ONE)
    (path / "lib/code.py").write_text("changed")
    with pytest.raises(ReleaseInUse):
        tree.stage(*made)


def damage_content(path: Path) -> None:
    (path / "lib/code.py").write_text("VERSION = '6.6'\n")


def damage_mode(path: Path) -> None:
    (path / "lib/code.py").chmod(0o755)


def damage_missing(path: Path) -> None:
    (path / "lib/code.py").unlink()


def damage_extra(path: Path) -> None:
    (path / "lib/more.py").write_text("")


def damage_extra_link(path: Path) -> None:
    (path / "more").symlink_to("/etc")


def damage_link(path: Path) -> None:
    (path / "bin/python").unlink()
    (path / "bin/python").symlink_to("/bin/false")


def damage_file_to_link(path: Path) -> None:
    (path / "lib/code.py").unlink()
    (path / "lib/code.py").symlink_to("../share/text/a b.txt")


def damage_pipe(path: Path) -> None:
    (path / "lib/code.py").unlink()
    os.mkfifo(path / "lib/code.py")


def damage_manifest(path: Path) -> None:
    (path / MANIFEST_NAME).unlink()


@pytest.mark.req("U10", "U14")
@pytest.mark.parametrize(
    "damage",
    [
        damage_content, damage_mode, damage_missing, damage_extra, damage_extra_link, damage_link,
        damage_file_to_link, damage_pipe, damage_manifest,
    ],
)  # fmt: skip
def test_any_difference_to_the_manifest_is_found(
    tree: ReleaseTree, make: Callable[..., Made], damage: Callable[[Path], None]
) -> None:
    path = tree.stage(*make())
    tree.check(ONE)
    damage(path)
    with pytest.raises(PackageDamaged):
        tree.check(ONE)


@pytest.mark.req("U14")
def test_a_flipped_byte_in_the_file_is_found_before_anything_is_written(
    tree: ReleaseTree, make: Callable[..., Made]
) -> None:
    file, info = make()
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(PackageDamaged, match="SHA-256 is not the signed one"):
        tree.stage(file, info)
    file.write_bytes(bytes(data) + b"more")
    with pytest.raises(PackageDamaged, match="were signed"):
        tree.stage(file, info)
    assert not tree.root.exists()


@pytest.mark.req("U14")
def test_a_package_signed_under_another_name_is_refused(tree: ReleaseTree, make: Callable[..., Made]) -> None:
    file, info = make()
    with pytest.raises(PackageDamaged, match="not the one that was signed"):
        tree.stage(file, replace(info, version=TWO))
    assert not tree.root.exists()


@pytest.mark.req("U14")
@pytest.mark.parametrize(
    ("attack", "words"),
    [
        ("escape", "leads out of it"),
        ("wrong-hash", "its SHA-256 is not the manifest's"),
        ("extra", "which its manifest does not name"),
        ("missing", "which its manifest names"),
        ("mode", "not the file its manifest states"),
        ("link", "not the file its manifest states"),
    ],
)
def test_a_package_that_is_not_what_its_manifest_says_leaves_nothing(
    tree: ReleaseTree, publisher: Publisher, tmp_path: Path, attack: str, words: str
) -> None:
    """The file's own hash is signed here: these are packages of a vendor who was deceived, or is not to be trusted."""
    file = publisher.package(Kind.SITE, "1.0")
    rewrite(file, attack)
    info = described(file, publisher)
    with pytest.raises((PackageDamaged, DocumentInvalid), match=words):
        tree.stage(file, info)
    assert tree.versions() == ()
    assert not tree.root.exists() or list(tree.root.iterdir()) == []
    assert not (tmp_path / "escaped").exists()


def rewrite(file: Path, attack: str) -> None:
    """Pack the package again by other means, with one thing wrong."""
    with ZstdFile(file) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        members: list[tuple[tarfile.TarInfo, bytes]] = []
        while (member := archive.next()) is not None:
            content = archive.extractfile(member) if member.isreg() else None
            members.append((member, b"" if content is None else content.read()))
    by_name = {member.name: n for n, (member, _) in enumerate(members)}
    position = by_name["lib/code.py"]
    member, data = members[position]
    if attack == "escape":
        manifest = json.loads(members[0][1])
        for entry in manifest["files"]:
            if entry["path"] == "lib/code.py":
                entry["path"] = "../../../escaped"
        members[0] = (members[0][0], json.dumps(manifest).encode())
        members[0][0].size = len(members[0][1])
        member.name = "../../../escaped"
    elif attack == "wrong-hash":
        members[position] = (member, b"X" * len(data))
    elif attack == "extra":
        extra = tarfile.TarInfo("lib/extra.py")
        members.append((extra, b""))
    elif attack == "missing":
        members.pop(position)
    elif attack == "mode":
        member.mode = 0o4755
    elif attack == "link":
        member.type, member.linkname, member.size = tarfile.SYMTYPE, "/etc/passwd", 0
        members[position] = (member, b"")
    with ZstdFile(file, "w") as stream, tarfile.open(fileobj=stream, mode="w|") as archive:
        for member, data in members:
            archive.addfile(member, io.BytesIO(data))


def described(file: Path, publisher: Publisher) -> PackageInfo:
    """Return what would be signed for this file, made of the untouched package of the same kind and version."""
    whole = publisher.package(Kind.SITE, "1.0", name="whole.tar.zst")
    info = publisher.publish(whole)[0]
    return replace(info, size=file.stat().st_size, sha256=hashlib.sha256(file.read_bytes()).hexdigest())


@pytest.mark.req("U9", "U10")
def test_a_package_for_another_python_or_without_one_is_refused_before_it_is_unpacked(
    tree: ReleaseTree, make: Callable[..., Made], publisher: Publisher, tmp_path: Path
) -> None:
    with pytest.raises(PlatformUnfit, match="but the one there is"):
        tree.stage(*make(python_abi="cpython-399-x86_64-linux-gnu"))
    assert not tree.root.exists()
    file, info = make("2.0")
    path = tree.stage(file, info)
    manifest = json.loads((path / MANIFEST_NAME).read_bytes())
    missing = str(tmp_path / "no-python")
    manifest["interpreter"] = missing
    for entry in manifest["files"]:
        if entry["path"] == "bin/python":
            entry["link"] = missing
    (path / MANIFEST_NAME).write_bytes(json.dumps(manifest).encode())
    (path / "bin/python").unlink()
    (path / "bin/python").symlink_to(missing)
    with pytest.raises(PlatformUnfit, match="not on this machine"):
        tree.check(TWO)
    Path(missing).write_text("#!/bin/sh\nexit 3\n")
    Path(missing).chmod(0o644)
    with pytest.raises(PlatformUnfit, match="may not run"):
        tree.check(TWO)
    Path(missing).chmod(0o755)
    with pytest.raises(PlatformUnfit, match="does not run"):
        tree.check(TWO)


@pytest.mark.req("U10")
def test_pruning_keeps_the_current_and_what_is_asked_for_and_sweeps_what_was_half_done(
    tree: ReleaseTree, make: Callable[..., Made]
) -> None:
    for version in ("1.0", "2.0", "3.0"):
        tree.stage(*make(version))
    tree.flip(TWO)
    (tree.root / ".staging-4.0/lib").mkdir(parents=True)
    (tree.root / ".removing-x").mkdir()
    (tree.root / ".current-x").symlink_to("9.9")
    (tree.root / "notes").mkdir()
    with pytest.raises(ReleaseInUse):
        tree.remove(TWO)
    assert tree.prune({THREE}) == (ONE,)
    assert tree.versions() == (TWO, THREE)
    assert sorted(path.name for path in tree.root.iterdir()) == ["2.0", "3.0", "current", "notes"]
    with pytest.raises(ReleaseMissing):
        tree.flip(ONE)


class Stopped(Exception):
    """Stands for the moment of a kill."""


@pytest.mark.req("U10")
def test_stopped_in_the_middle_of_staging_nothing_new_is_there(tree: ReleaseTree, make: Callable[..., Made]) -> None:
    tree.stage(*make("1.0"))
    tree.flip(ONE)
    made = make("2.0")

    def stop(done: int, total: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        tree.stage(*made, progress=stop)
    assert sorted(path.name for path in tree.root.iterdir()) == ["1.0", "current"]
    # Killed without a chance to clear up, the next staging begins anew.
    (tree.root / ".staging-2.0/lib").mkdir(parents=True)
    (tree.root / ".staging-2.0/lib/code.py").write_text("half")
    tree.stage(*made)
    tree.check(TWO)


def test_there_is_nothing_in_a_tree_that_was_never_used(tree: ReleaseTree) -> None:
    assert tree.versions() == () and tree.current() is None and tree.prune(set()) == ()
    with pytest.raises(ReleaseMissing):
        tree.check(ONE)


@pytest.mark.req("U9", "U10")
def test_more_than_the_disk_holds_is_refused_with_both_figures(tree: ReleaseTree) -> None:
    with pytest.raises(DiskFull, match=r"are needed, .* [MGT]B are free"):
        tree.reserve(1 << 60)


@contextlib.contextmanager
def small_disk(place: Path, options: str) -> Iterator[Path]:
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.root
@pytest.mark.req("U9", "U10")
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_too_little_disk_is_refused_before_and_survived_in_the_middle(
    make: Callable[..., Made], tmp_path: Path
) -> None:
    file, info = make(content={f"lib/block{n}": os.urandom(1 << 20) for n in range(8)})
    with small_disk(tmp_path / "small", "size=20m") as disk:
        tree = ReleaseTree(disk / "site")
        with pytest.raises(DiskFull, match=r"Too little room on the disk: 25\.2 MB are needed, 21\.0 MB are free"):
            tree.stage(file, info)
        assert tree.versions() == () and list(tree.root.iterdir()) == []
    with small_disk(tmp_path / "filling", "size=26m") as disk:
        tree = ReleaseTree(disk / "site")

        def fill(done: int, total: int) -> None:
            # Somebody else takes the room while the release is being written.
            if not (disk / "other").exists():
                with contextlib.suppress(OSError), (disk / "other").open("wb") as other:
                    while True:
                        other.write(bytes(1 << 16))

        with pytest.raises(DiskFull, match="ran full"):
            tree.stage(file, info, fill)
        assert tree.versions() == () and list(tree.root.iterdir()) == []
        (disk / "other").unlink()
        tree.stage(file, info)
        tree.check(ONE)
    with small_disk(tmp_path / "few", "size=64m,nr_inodes=6") as disk, pytest.raises(DiskFull, match="many files"):
        ReleaseTree(disk).reserve(10, files=20)


@pytest.mark.root
@pytest.mark.req("U9")
@pytest.mark.skipif(os.geteuid() != 0, reason="changing the user needs root")
def test_an_interpreter_that_this_user_cannot_reach_is_found(
    tree: ReleaseTree, make: Callable[..., Made], publisher: Publisher, tmp_path: Path
) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    shutil.copy(interpreter().path.resolve(), private / "python3")
    path = tree.stage(*make())
    manifest = Manifest.parse((path / MANIFEST_NAME).read_bytes())
    unfit = replace(manifest, interpreter=str(private / "python3"))
    child = os.fork()
    if child == 0:
        os.setgid(65534)
        os.setuid(65534)
        try:
            check_platform(unfit)
        except PlatformUnfit:
            os._exit(7)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_packing_twice_gives_the_same_bytes(publisher: Publisher, tmp_path: Path) -> None:
    first = publisher.package(Kind.SITE, "1.0", name="first.tar.zst")
    second = publisher.package(Kind.SITE, "1.0", name="second.tar.zst")
    assert first.read_bytes() == second.read_bytes()
