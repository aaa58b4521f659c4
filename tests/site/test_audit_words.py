"""Every act that the site writes into its audit log has words there: found by reading the source."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest
from django.utils import timezone, translation

import staffetta.site
from staffetta.site.data.roles import Role
from staffetta.site.failover.job_states import JobState
from staffetta.site.management.audit_log import WORDS, Entry

SOURCE: Final = Path(staffetta.site.__file__).parent
COMPOSED: Final[Mapping[str, tuple[str, ...]]] = {
    "f'failover.established-as-{role}'": tuple(
        f"failover.established-as-{role}" for role in (Role.PRIMARY, Role.BACKUP)
    ),
    "f'failover.upgrade-{verb}'": tuple(f"failover.upgrade-{verb}" for verb in ("pause", "resume", "undo")),
    "f'failover.upgrade-{after.state}'": tuple(
        f"failover.upgrade-{state}" for state in (JobState.FINISHED, JobState.UNDONE, JobState.NEEDS_A_PERSON)
    ),
}
"""What an act that is put together when it is written can be."""


def acts_of(tree: ast.Module) -> Iterator[str]:
    """The acts that a module notes, wherever it does; one that cannot be read is an error."""
    constants: dict[str, ast.expr | None] = {}
    for statement in tree.body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                constants[name] = statement.value

    def read(act: ast.expr) -> Iterator[str]:
        match act:
            case ast.Constant(value=str(text)):
                yield text
            case ast.Name(id=name) if isinstance(value := constants.get(name), ast.Constant):
                yield from read(value)
            case ast.IfExp(body=one, orelse=other):
                yield from read(one)
                yield from read(other)
            case ast.JoinedStr() if (text := ast.unparse(act)) in COMPOSED:
                yield from COMPOSED[text]
            case _:
                raise AssertionError(f"line {act.lineno}: what act is {ast.unparse(act)}? Name it, or add it above.")

    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="audit"), attr="note"), args=[_, act, *_]):
                yield from read(act)
            case ast.Attribute(value=ast.Name(id="audit"), attr=other):
                assert other in ("note", "AUDIT"), f"line {node.lineno}: audit.{other}"
            case ast.ImportFrom(module="staffetta.site.data.audit", names=names):
                assert [one.name for one in names] == ["AUDIT"], "note acts with `audit.note`: so they are found"


def test_every_act_has_words() -> None:
    acts: set[str] = set()
    for path in sorted(SOURCE.rglob("*.py")):
        acts |= set(acts_of(ast.parse(path.read_text())))
    assert {"user.made", "file.replaced", "backup.created", "failover.conflict", "failover.upgrade-undo"} <= acts
    assert acts - WORDS.keys() == set(), "acts without words"
    assert WORDS.keys() - acts == set(), "words for what nobody does"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("audit.note(actor, 'a.b')", {"a.b"}),
        ("X: Final = 'a.b'\ndef f():\n    audit.note(actor, X, subject)", {"a.b"}),
        ("audit.note(actor, 'a.b' if new else 'a.c')", {"a.b", "a.c"}),
    ],
)
def test_acts_are_found_however_they_are_named(source: str, found: set[str]) -> None:
    assert set(acts_of(ast.parse(source))) == found


@pytest.mark.parametrize("source", ["audit.note(actor, given)", "audit.note(actor, f'a.{b}')"])
def test_an_act_that_cannot_be_read_is_an_error(source: str) -> None:
    with pytest.raises(AssertionError, match="what act is"):
        set(acts_of(ast.parse(source)))


@pytest.mark.req("S5")
@pytest.mark.parametrize(
    ("actor", "action", "subject", "who", "about"),
    [
        ("none", "client.revoked", "Site 12", "none", "Site 12"),
        ("backup", "file.stored", "site plan.pdf", "backup", "site plan.pdf"),
        ("anna", "user.made", "none", "anna", "none"),
        ("command line", "user.sign-in-failed", "", "command line", ""),
        ("command line", "user.password-reset", "alone", "riga di comando", "alone"),
        ("anna", "user.signed-in", "at the console", "anna", "dalla console"),
        ("pair job 3qfp-2", "failover.upgrade-finished", "", "l'aggiornamento della coppia", ""),
        ("installer token", "client.enrolled", "alone", "token di installazione", "alone"),
    ],
)
def test_names_are_shown_as_they_are(actor: str, action: str, subject: str, who: str, about: str) -> None:
    entry = Entry(timezone.now(), actor, action, "", subject, {"origin": "none", "kept": "none"})
    with translation.override("it"):
        assert (entry.who, entry.about) == (who, about)
        assert [value for _, value in entry.told] == ["none", "nessuno"]


@pytest.mark.req("S5")
@pytest.mark.parametrize(
    ("actor", "action", "subject", "detail", "said"),
    [
        ("pair job 6ej7a5, step a-site.1", "failover.became-primary", "", {"job": "6ej7a5", "term": 3}, ["3"]),
        ("pair upgrade 6ej7a5", "failover.upgrade-begun", "6ej7a5", {"site": "1.1.0"}, ["1.1.0"]),
    ],
)
def test_ids_of_programs_are_not_shown(
    actor: str, action: str, subject: str, detail: dict[str, object], said: list[str]
) -> None:
    entry = Entry(timezone.now(), actor, action, "", subject, detail)
    assert (entry.who, entry.about) == ("the pair's upgrade", "")
    assert [value for _, value in entry.told] == said
    with translation.override("it"):
        assert entry.who == "l'aggiornamento della coppia"


def test_a_name_that_only_looks_like_an_upgrade_of_the_pair_is_shown() -> None:
    entry = Entry(timezone.now(), "pair job x", "user.sign-in-failed", "", "", {})
    assert entry.who == "pair job x"
