"""Files on this computer: read as they were, stored whole or not at all, and never over something else by mistake."""

import os
import resource
import signal
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from staffetta.clients.runtime.file_errors import (
    FileDamaged,
    FileInTheWay,
    FileNoRoom,
    FileNotAllowed,
    FileNotThere,
    FileProblem,
    FileUnusable,
    TransferCancelled,
    problem,
    problem_of,
)
from staffetta.clients.runtime.local_files import Landing, Source, check_place, place_of
from staffetta.wire.files import Trouble


def stored(path: Path, content: bytes, overwrite: bool = False) -> None:
    landing = Landing(path, len(content), overwrite)
    landing.open()
    landing.write(content)
    landing.keep()
    landing.discard()


def test_a_file_is_there_only_when_it_is_whole(tmp_path: Path) -> None:
    landing = Landing(tmp_path / "a", 6, False)
    landing.open()
    landing.write(b"one")
    assert not (tmp_path / "a").exists()
    landing.write(b"two")
    landing.keep()
    assert (tmp_path / "a").read_bytes() == b"onetwo"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    landing.discard()
    assert (tmp_path / "a").exists(), "what was kept stays"


def test_what_is_discarded_leaves_nothing_and_cannot_be_used(tmp_path: Path) -> None:
    landing = Landing(tmp_path / "a", 3, False)
    landing.open()
    landing.write(b"one")
    landing.discard()
    landing.discard()
    landing.write(b"two")
    with pytest.raises(TransferCancelled):
        landing.keep()
    late = Landing(tmp_path / "b", 3, False)
    late.discard()
    late.open()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_came_meanwhile_is_not_replaced_unless_asked(tmp_path: Path) -> None:
    landing = Landing(tmp_path / "a", 3, False)
    landing.open()
    landing.write(b"new")
    (tmp_path / "a").write_bytes(b"came meanwhile")
    with pytest.raises(FileInTheWay):
        landing.keep()
    landing.discard()
    assert (tmp_path / "a").read_bytes() == b"came meanwhile"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_replaced_file_keeps_its_mode_and_a_link_is_replaced_itself(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "a").chmod(0o640)
    stored(tmp_path / "a", b"new", overwrite=True)
    assert (tmp_path / "a").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(FileInTheWay):
        check_place(tmp_path / "link", 0, overwrite=False)
    stored(tmp_path / "link", b"other", overwrite=True)
    assert not (tmp_path / "link").is_symlink() and (tmp_path / "a").read_bytes() == b"new"


def test_a_dangling_link_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    with pytest.raises(FileInTheWay):
        check_place(tmp_path / "link", 0, overwrite=False)


@pytest.fixture
def small_files() -> Iterator[None]:
    """This process may write no file above 64 KiB: as a full disk, but for the error's number."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_disk_that_is_full_in_the_middle_is_said_and_nothing_stays(tmp_path: Path, small_files: None) -> None:
    landing = Landing(tmp_path / "a", 100_000, False)
    landing.open()
    landing.write(bytes(60_000))
    with pytest.raises(FileNoRoom):
        landing.write(bytes(40_000))
    landing.discard()
    assert list(tmp_path.iterdir()) == []


def test_only_regular_files_are_read_and_what_was_added_later_is_not(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    source = Source(tmp_path / "a")
    source.open()
    assert source.size == 10
    with (tmp_path / "a").open("ab") as file:
        file.write(b"more")
    assert source.read(0, 4) + source.read(4, 6) == b"0123456789"
    os.truncate(tmp_path / "a", 5)
    with pytest.raises(FileDamaged):
        source.read(0, 10)
    source.close()
    source.close()
    with pytest.raises(TransferCancelled):
        source.read(0, 1)
    os.mkfifo(tmp_path / "pipe")
    for name, error in (("absent", FileNotThere), ("pipe", FileUnusable), (".", FileUnusable), ("a/b", FileNotThere)):
        with pytest.raises(error):
            Source(tmp_path / name).open()


def write_often(landing: Landing) -> None:
    for _ in range(20):
        landing.write(bytes(100_000))


def test_a_file_in_use_by_a_thread_is_closed_after_it(tmp_path: Path) -> None:
    """The event loop lets go while a thread still writes: no other file gets its bytes."""
    for _ in range(20):
        landing = Landing(tmp_path / "a", 10_000_000, False)
        landing.open()
        writing = threading.Thread(target=write_often, args=(landing,))
        writing.start()
        landing.discard()
        with (tmp_path / "other").open("wb") as other:
            other.write(b"mine")
            other.flush()
            writing.join()
        assert (tmp_path / "other").read_bytes() == b"mine"
        assert [path.name for path in tmp_path.iterdir()] == ["other"]


@pytest.mark.parametrize(
    ("text", "path"),
    [("a", "/home/rita/a"), ("~/a b", "/home/rita/a b"), ("/srv/a", "/srv/a"), ("x/../a", "/home/rita/x/../a")],
)
def test_what_is_relative_is_below_the_home_folder(text: str, path: str) -> None:
    assert place_of(text, Path("/home/rita")) == Path(path)


@pytest.mark.parametrize("text", ["", "a\0b", "/", "a/", "~", ".", ".."])
def test_what_cannot_be_a_file_is_said(text: str) -> None:
    with pytest.raises(FileUnusable):
        place_of(text, Path("/home/rita"))


def test_every_word_has_its_class_and_an_unknown_one_too() -> None:
    assert {problem(word, "x").exit_status for word in Trouble} == {1, 2, 3, 4, 5, 7, 8, 130}
    newer = problem("eaten-by-a-virus-scanner", "x")
    assert type(newer) is FileProblem and newer.word == "eaten-by-a-virus-scanner"
    denied = problem_of(PermissionError(13, "Permission denied"), Path("/etc/shadow"))
    assert isinstance(denied, FileNotAllowed) and denied.message == "No permission for /etc/shadow."
    assert problem_of(OSError(5, "Input/output error"), Path("/a")).word == "failed"
