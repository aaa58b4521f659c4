"""The doctor in the folder of a program that somebody took over: it ends in time, names what it met, and lends root's
rights to nobody."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from staffetta.base.doctor import databases, machine
from staffetta.base.doctor.apart import LARGEST_ANSWER, Apart
from staffetta.base.doctor.facts import DatabaseSeen, DatabaseState, ReleaseSeen, Unseen
from staffetta.base.doctor.findings import Finding, Level
from staffetta.base.doctor.looking import owners, release
from staffetta.base.doctor.rules import judge
from staffetta.base.doctor.service import examine
from staffetta.base.installs.journal import JOURNAL_NAME
from staffetta.base.layout import User
from staffetta.cli.doctor_cmd import group
from staffetta.control.paths import AppliancePaths, read_description
from staffetta.kernel.clock import utc_now
from staffetta.packages import Link, Manifest, Version
from staffetta.packages.manifest import INTERPRETER_LINK, MANIFEST_NAME
from staffetta.releases import ReleaseTree

from .test_doctor import AS_ROOT, errors, found, paths, publisher

__all__ = ["paths", "publisher"]
pytestmark = [pytest.mark.req("U18"), pytest.mark.timeout(120)]
root_only = pytest.mark.skipif(not AS_ROOT, reason="only root has rights to lose")
ME = User(20001, 20001) if AS_ROOT else None


@dataclass(frozen=True)
class Said:
    """An answer of a child."""

    text: str


def name_interpreter(paths: AppliancePaths, script: str) -> Path:
    """Have the release name a program of its own, as whoever may write the release can."""
    program = paths.root.parent / "python"
    program.write_text(script)
    program.chmod(0o755)
    tree = ReleaseTree(paths.releases("base"))
    folder, manifest = tree.path(Version("1.0")), tree.manifest(Version("1.0"))
    files = tuple(
        Link(INTERPRETER_LINK, str(program)) if isinstance(one, Link) and one.path == INTERPRETER_LINK else one
        for one in manifest.files
    )
    (folder / INTERPRETER_LINK).unlink()
    (folder / INTERPRETER_LINK).symlink_to(program)
    (folder / MANIFEST_NAME).write_bytes(replace(manifest, interpreter=str(program), files=files).to_bytes())
    assert Manifest.parse((folder / MANIFEST_NAME).read_bytes()).interpreter == str(program)
    return program


@pytest.mark.root
@root_only
def test_a_program_that_a_manifest_names_never_runs_as_root(paths: AppliancePaths) -> None:
    open_to_all = paths.root.parent / "all"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    name_interpreter(
        paths,
        f"#!/bin/sh\n: > {open_to_all}/ran\n(: < /dev/tty) 2>/dev/null && : > {open_to_all}/terminal\n"
        f'[ -n "$SECRET" ] && : > {open_to_all}/environment\n'
        f'[ "$(readlink /proc/self/fd/0)" = /dev/null ] || : > {open_to_all}/input\n',
    )
    os.environ["SECRET"] = "root's"
    try:
        seen = found(paths)["release base"]
    finally:
        del os.environ["SECRET"]
    assert seen[0].level is Level.ERROR
    left = {path.name: path.stat().st_uid for path in open_to_all.iterdir()}
    assert left == {"ran": 20001}, "by base's user if at all, and without what is root's"


@pytest.mark.root
@root_only
def test_where_programs_run_as_root_a_manifest_names_no_program_to_run(paths: AppliancePaths) -> None:
    name_interpreter(paths, f"#!/bin/sh\n: > {paths.root.parent}/ran\n")
    whose = replace(owners(paths), base=User(0, 0))
    seen = release(paths, "base", whose, Apart.begin())
    assert isinstance(seen, ReleaseSeen)
    assert (seen.trouble, seen.asked) == (None, False)
    assert not (paths.root.parent / "ran").exists()


def test_a_program_that_hangs_is_ended(paths: AppliancePaths) -> None:
    name_interpreter(paths, "#!/bin/sh\nexec sleep 4321\n")
    begun = time.monotonic()
    seen = release(paths, "base", owners(paths), Apart.begin(longest=2.0))
    assert isinstance(seen, Unseen)
    assert "in time" in seen.why
    assert time.monotonic() - begun < 60
    while _runs("sleep\x004321\0"):  # a process that was killed is gone a moment later
        assert time.monotonic() - begun < 120


def _runs(command: str) -> bool:
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            if process.name.isdigit() and (process / "cmdline").read_text() == command:
                return True
    return False


PLACES = {
    "updates": "base/updates.json",
    "time": "base/trust/time.json",
    "journal": f"base/journal/{JOURNAL_NAME}",
    "certificate": "certificates/site.pem",
    "manifest": f"releases/base/1.0/{MANIFEST_NAME}",
    "database": "base/base.sqlite3",
    "site's database": "site/site.sqlite3",
}


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        pytest.param(place, kind, id=f"{kind}-{name}")
        for name, place in PLACES.items()
        for kind in ("pipe", "endless", "huge")
        if kind != "huge" or not place.endswith("sqlite3")  # a database may be large; its check is broken off
    ],
)
def test_what_is_no_file_is_named_and_not_read(paths: AppliancePaths, place: str, kind: str) -> None:
    path = paths.root / place
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as file:
            file.truncate(1 << 40)
    if AS_ROOT:
        parent = path.parent.stat()
        os.chown(path, parent.st_uid, parent.st_gid, follow_symlinks=False)
    begun = time.monotonic()
    every = found(paths)
    assert time.monotonic() - begun < 30
    assert str(path) in " ".join(errors(every).values()), every


def test_a_child_that_looks_has_its_bounds() -> None:
    def forever() -> Said:
        time.sleep(1000)
        return Said("")

    children = Apart.begin(longest=1.0)
    begun = time.monotonic()
    for question, why in (
        (forever, "in time"),
        (lambda: Said(str(len(Path("/dev/zero").read_bytes()))), "memory"),
        (lambda: Said("x" * LARGEST_ANSWER), "too much to tell"),
        (lambda: Said(str(1 // 0)), "ZeroDivisionError"),
        (lambda: Unseen("not today"), "not today"),
    ):
        patient = replace(children, longest=20.0) if why == "memory" else children
        seen = patient.look("It", ME, Said, question)
        assert isinstance(seen, Unseen), why
        assert why in seen.why
    assert time.monotonic() - begun < 60
    assert Apart.begin(seconds=0.0).look("It", ME, Said, forever) == Unseen("It could not be seen in time.")


@pytest.mark.root
@root_only
def test_bases_user_cannot_write_what_keeper_and_root_go_by(paths: AppliancePaths) -> None:
    theirs = (paths.root, paths.keeper, paths.keeper / "config.json", paths.description, paths.trust_root)

    def told() -> Said:
        return Said(" ".join(str(path) for path in (*theirs, paths.base) if os.access(path, os.W_OK)))

    assert Apart.begin().look("It", ME, Said, told) == Said(str(paths.base))


@pytest.mark.parametrize("endless", [b"{", b"x" * 65536], ids=["slow", "large"])
def test_a_base_that_answers_without_end_is_not_waited_for(paths: AppliancePaths, endless: bytes) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(str(paths.control_socket))
        server.listen()
        base = subprocess.Popen(
            [sys.executable, "-c", ENDLESS, str(server.fileno()), endless.decode()], pass_fds=(server.fileno(),)
        )
        try:
            begun = time.monotonic()
            facts = examine(paths, "ann", utc_now(), online=False, apart=Apart.begin(longest=4.0))
            assert time.monotonic() - begun < 40
        finally:
            base.kill()
            base.wait()
    assert isinstance(facts.base, Unseen)
    assert "What base answers could not be seen" in facts.base.why


@pytest.mark.root
@root_only
def test_a_child_that_looks_has_its_owners_rights_and_nothing_of_roots() -> None:
    def told() -> Said:
        ids = f"{os.getresuid()} {os.getresgid()} {os.getgroups()} {Path.cwd()} {len(os.environ)}"
        return Said(f"{ids} {Path('/proc/self/fd/0').readlink()} {os.getsid(0) == os.getpid()}")

    seen = Apart.begin().look("It", User(20001, 20003), Said, told)
    assert seen == Said("(20001, 20001, 20001) (20003, 20003, 20003) [] / 0 /dev/null True")
    nobodys = Apart.begin().look("It", None, Said, told)
    assert isinstance(nobodys, Unseen), "root does not look at what belongs to nobody known"


def test_a_link_in_place_of_a_folder_is_an_error_without_a_command(paths: AppliancePaths) -> None:
    for name in ("trust", "packages"):
        shutil.rmtree(paths.base / name)
        (paths.base / name).symlink_to("/etc")
    linked = [one for one in found(paths)["folders"] if one.level is Level.ERROR]
    assert [one.seen.partition(" is a link")[0] for one in linked] == [
        str(paths.base / "trust"),
        str(paths.base / "packages"),
    ], "and nothing of what lies behind one"
    assert not any(word in one.todo for one in linked for word in ("chown", "chmod"))


@pytest.mark.root
@root_only
def test_a_path_in_a_remedy_is_quoted(paths: AppliancePaths) -> None:
    moved = paths.root.with_name("a b;reboot")
    paths.root.rename(moved)
    os.chown(moved / "site", 0, 0)
    (one,) = found(AppliancePaths(moved))["folders"]
    assert one.todo == f"Run `chown -h 20002:20002 '{moved}/site'`."


@pytest.mark.root
@root_only
def test_names_cannot_steer_the_terminal(paths: AppliancePaths) -> None:
    (paths.base / "\x1b[2J\x1b]0;owned\x07\u202e\x9b2Jx\n✓ all").write_text("")  # belongs to root, and so is named
    said = CliRunner().invoke(group, ["--appliance", str(paths.root), "--offline"], color=True)
    assert "?[2J?]0;owned???2Jx ✓ all belong to another user" in said.output
    text = re.sub(r"\x1b\[\d*m", "", said.output)  # the colours of the marks, which are the doctor's own
    assert [sign for sign in text if not sign.isprintable() and sign != "\n"] == []


ENDLESS = """
import socket, sys, time
server, piece = socket.socket(fileno=int(sys.argv[1])), sys.argv[2].encode()
end = server.accept()[0]
end.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 1000000000000\\r\\n\\r\\n")
while True:
    end.sendall(piece)
    time.sleep(0.1 if len(piece) == 1 else 0)
"""
LISTENER = """
import socket, sys, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print(1, flush=True)
time.sleep(99)
"""


@pytest.mark.root
@root_only
def test_a_port_that_another_program_has_is_not_keepers(paths: AppliancePaths) -> None:
    description = read_description(paths)
    port = int(description.addresses[0].rpartition(":")[2])
    other = int(description.appliance_url.rpartition(":")[2].strip("/"))
    with (paths.keeper / "lock").open("w") as lock, socket.create_server(("127.0.0.1", other)):
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert machine.keeper_process(paths) == os.getpid()
        stranger = subprocess.Popen([sys.executable, "-c", LISTENER, str(port)], stdout=subprocess.PIPE)
        try:
            assert stranger.stdout is not None
            stranger.stdout.readline()
            (one,) = found(paths)["ports"]
        finally:
            stranger.kill()
            stranger.communicate()
        assert one.level is Level.ERROR
        assert f"Keeper runs, but port {port} of 127.0.0.1 (site) is in use by another program" in one.seen
        assert f"({stranger.pid})" in one.seen
        with socket.create_server(("127.0.0.1", port)):
            (one,) = found(paths)["ports"]
        assert (one.level, one.seen.startswith("Keeper holds ")) == (Level.FINE, True)


def test_a_database_that_is_written_to_meanwhile_is_not_called_damaged(
    paths: AppliancePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real, times = paths.base / "base.sqlite3", databases._checked, iter((True, False))

    def written_meanwhile(*given: object, **more: object) -> tuple[DatabaseState, str]:
        if next(times, always):
            os.utime(path)
            return DatabaseState.DAMAGED, "torn"
        return real(*given, **more)  # type: ignore[arg-type]

    always = False
    monkeypatch.setattr(databases, "_checked", written_meanwhile)
    seen = databases.check_database(paths, "base")
    assert isinstance(seen, DatabaseSeen)
    assert seen.state is DatabaseState.WHOLE
    always = True
    seen = databases.check_database(paths, "base")
    assert isinstance(seen, DatabaseSeen)
    assert seen.state is DatabaseState.LEFT_ALONE


def test_an_update_server_that_trickles_is_not_waited_for(paths: AppliancePaths) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        trickle = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import socket, sys, time\nserver = socket.socket(fileno=int(sys.argv[1]))\nend = server.accept()[0]\n"
                "end.send(b'HTTP/1.1 200 OK\\r\\nContent-Length: 1000000\\r\\n\\r\\n')\n"
                "while True: end.send(b' '); time.sleep(0.2)",
                str(server.fileno()),
            ],
            pass_fds=(server.fileno(),),
        )
        try:
            description = replace(read_description(paths), update_server=url)
            paths.description.write_bytes(description.to_bytes())
            begun = time.monotonic()
            every: dict[str, Finding] = {
                one.check: one for one in judge(examine(paths, "ann", utc_now(), apart=Apart.begin(longest=3.0)))
            }
            assert time.monotonic() - begun < 40
        finally:
            trickle.kill()
            trickle.wait()
    assert every["update server"].level is Level.WARNING
    assert "in time" in every["update server"].seen
