"""The previous release is taken out of the history, runs its own code, and its absence is a clear error."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from staffetta.kernel.errors import InvalidInput
from staffetta.lab.previous import NAMED, NoHistory, commit_of, previous_tree
from worlds import ROOT, run_lab

ABSENT = "0123456789abcdef" * 2 + "01234567"


def git(folder: Path, *arguments: str) -> str:
    """Run git as nobody in particular."""
    done = subprocess.run(
        ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.com", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """A tree with two releases in its history; the first is the previous one."""
    tree = tmp_path / "tree"
    package = tree / "src" / "staffetta"
    package.mkdir(parents=True)
    for name in ("__init__.py", "cli/__init__.py"):
        (package / name).parent.mkdir(exist_ok=True)
        (package / name).write_text("")
    (package / "cli/main.py").write_text("def main() -> None:\n    print('old')\n")
    git(tree, "init", "-q")
    git(tree, "add", "-A")
    git(tree, "commit", "-q", "-m", "Release")
    (tree / NAMED).write_text(f"# The previous release.\n{git(tree, 'rev-parse', 'HEAD')}\n")
    (package / "cli/main.py").write_text("def main() -> None:\n    print('new')\n")
    git(tree, "add", "-A")
    git(tree, "commit", "-q", "-m", "Next release")
    return tree


def test_the_tree_is_the_old_one_and_its_command_runs_the_old_code(history: Path, tmp_path: Path) -> None:
    older = previous_tree(history, tmp_path / "older")
    assert older.source == tmp_path / "older"
    assert not (older.source / NAMED).exists()
    for command in (older.staffetta, (*older.python, "-c", "from staffetta.cli.main import main; main()")):
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "old\n"


def test_a_shallow_clone_says_what_is_missing(history: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--depth", "1", history.as_uri(), str(tmp_path / "shallow"))
    with pytest.raises(NoHistory, match="git fetch --unshallow"):
        previous_tree(tmp_path / "shallow", tmp_path / "older")
    assert not (tmp_path / "older").exists()


def test_a_tree_without_a_history_says_so(history: Path, tmp_path: Path) -> None:
    shutil.rmtree(history / ".git")
    with pytest.raises(NoHistory, match="whole clone"):
        previous_tree(history, tmp_path / "older")


def test_a_machine_without_git_says_so(history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "PATH", str(tmp_path))
    with pytest.raises(NoHistory, match="no git"):
        previous_tree(history, tmp_path / "older")


@pytest.mark.parametrize("text", ["", "# nothing\n", f"{ABSENT}\n{ABSENT}\n", "c5ce819\n"])
def test_the_file_names_one_whole_commit(tmp_path: Path, text: str) -> None:
    (tmp_path / NAMED).write_text(text)
    with pytest.raises(NoHistory, match="one line"):
        commit_of(tmp_path)
    (tmp_path / NAMED).unlink()
    with pytest.raises(NoHistory, match="missing"):
        commit_of(tmp_path)


def test_ours_is_a_commit_of_this_history() -> None:
    assert git(ROOT, "cat-file", "-t", commit_of(ROOT)) == "commit"


def test_a_story_of_a_pair_cannot_begin_there(tmp_path: Path) -> None:
    status, report, output = run_lab(tmp_path / "report.json", "--from", "previous", story="asynchronous")
    assert (status, report) == (InvalidInput.exit_status, {})
    assert "cannot begin at the previous release" in output
