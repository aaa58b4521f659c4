"""The documents are true: links lead somewhere, commands exist, nothing points outside of the project."""

import re
import subprocess
from pathlib import Path

import click
import pytest

from staffetta.cli.main import GROUPS, cli

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(document: Path) -> None:
    for target in LINK.findall(document.read_text()):
        if "://" not in target and not target.startswith("mailto:"):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_exist_with_their_options(document: Path) -> None:
    text = re.sub(r"\\\n\s*", "", document.read_text())
    for line in text.splitlines():
        for match in re.finditer(r"(?<![\w/.`-])`?staffetta (" + "|".join(GROUPS) + r")\b([^`|]*)", line):
            if "`" in line or line.startswith(("staffetta", "  ")):
                _check_command(document, match.group(1), match.group(2))


def _check_command(document: Path, group: str, rest: str) -> None:
    context = click.Context(cli)
    command = cli.get_command(context, group)
    assert command is not None, f"{document.name} names `staffetta {group}`"
    words = rest.split()
    while words and isinstance(command, click.Group) and re.fullmatch(r"[a-z][a-z-]*", words[0]):
        found = command.get_command(context, words[0])
        assert found is not None, f"{document.name} names `staffetta {group} … {words[0]}`, which does not exist"
        command, words = found, words[1:]
    known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help"}
    for word in words:
        if word.startswith("--"):
            assert word.strip("[].,;:)`") in known, f"{document.name}: {command.name} has no option {word}"


def test_nothing_points_outside_of_the_project() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    outside = re.compile(r"\.\./" + "shared|/" + "work/|/" + r"root/\.")
    for name in tracked:
        path = ROOT / name
        if name and path.is_file() and path.suffix in {".py", ".md", ".toml", ".sh", ".html", ".txt", ".json", ""}:
            found = outside.search(path.read_text(errors="replace"))
            assert not found, f"{name} names {found.group()!r}" if found else name


def test_no_module_of_ours_is_longer_than_it_should_be() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        if "migrations" not in path.parts:
            assert len(path.read_text().splitlines()) <= 450, f"{path} knows more than one thing"


def test_every_module_says_in_its_first_line_what_it_knows() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        text = path.read_text()
        assert not text.strip() or text.startswith(('"""', 'r"""', "#!")) or "migrations" in path.parts, path
