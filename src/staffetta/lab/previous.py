"""The release before this one: the commit that `previous-release` names, taken out of the tree's history."""

import io
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Final

from staffetta.kernel.errors import NotFound
from staffetta.lab.world import Tree

NAMED: Final = "previous-release"
"""The file in the tree's root that names it."""
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_MAIN: Final = "from staffetta.cli.main import main; main()"


class NoHistory(NotFound):
    """The previous release cannot be taken out of the history: there is none here, or not far enough back."""

    code = "no-history"


def commit_of(source: Path) -> str:
    """Return the full id of the commit that is the previous release of a source tree."""
    try:
        text = (source / NAMED).read_text()
    except FileNotFoundError:
        raise NoHistory(f"{source / NAMED} is missing; it names the commit of the previous release.") from None
    found = [line for line in text.splitlines() if _COMMIT.fullmatch(line)]
    if len(found) != 1:
        raise NoHistory(f"{source / NAMED} must hold one line with the full id of a commit; it holds {len(found)}.")
    return found[0]


def previous_tree(source: Path, folder: Path) -> Tree:
    """Write the previous release's source tree into a new folder and return it, with its own commands."""
    commit = commit_of(source)
    try:
        done = subprocess.run(
            ["git", "-C", str(source), "archive", "--format=tar", commit], capture_output=True, check=False
        )
    except FileNotFoundError:
        raise NoHistory("The previous release is taken out of the history by git, and there is no git here.") from None
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise NoHistory(
            f"The commit {commit} of the previous release is not in the history of {source}: it needs a whole clone "
            f"(`git fetch --unshallow` completes a shallow one). git says: {words[-1] if words else 'nothing'}"
        )
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    python = ("env", f"PYTHONPATH={folder / 'src'}", sys.executable, "-P")
    return Tree(folder, (*python, "-c", _MAIN), python)
