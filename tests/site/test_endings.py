"""Every reason for which a session can end has words in its report: found by reading the source."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from django.utils import translation

import staffetta
from staffetta.site.support.service import SILENT
from staffetta.site.support.templatetags.support import ENDINGS, reason
from staffetta.wire.errors import FrameError, Problem
from staffetta.wire.files import Trouble
from staffetta.wire.signed import SIGNED_OUT
from staffetta.wire.vocabulary import EndName

SOURCE: Final = Path(staffetta.__file__).parent
ENDS: Final = ("clients", "site/gateway", "site/support", "wire")
READ_ELSEWHERE: Final = {
    "ended by the {end}": {f"ended by the {end}" for end in EndName},
    "SIGNED_OUT": {SIGNED_OUT},
    "SILENT": {SILENT},
}


def given_in(path: Path) -> Iterator[str]:
    """The reasons that a module gives: to `….end(…)`, `end_session(…)`, `relay.Ended(…)`, or out of a `_reason`."""
    tree = ast.parse(path.read_text())
    constants: dict[str, object] = {}
    for statement in tree.body:
        match statement:
            case (
                ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=text))
                | ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=text))
            ):
                constants[name] = text

    def texts(node: ast.expr) -> Iterator[str]:
        match node:
            case ast.Constant(value=str(text)):
                yield text
            case ast.Name(id=name):
                yield from READ_ELSEWHERE.get(name, {str(constants[name])} if name in constants else ())
            case ast.BoolOp(values=values):
                for value in values:
                    yield from texts(value)
            case ast.DictComp(value=value):
                yield from texts(value)
            case ast.JoinedStr():
                yield from READ_ELSEWHERE[ast.unparse(node)[2:-1]]

    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="end"), args=[given]):
                yield from texts(given)
            case ast.Call(func=ast.Attribute(attr="Ended" | "_ended"), args=[_, given]):
                yield from texts(given)
            case ast.Call(func=ast.Name(id="end_session"), args=[_, given, *_]):
                yield from texts(given)
            case ast.FunctionDef(name="_reason" | "_end_reason") | ast.AsyncFunctionDef(name="_reason"):
                for inner in ast.walk(node):
                    if isinstance(inner, ast.Return) and inner.value is not None:
                        yield from texts(inner.value)
            case ast.AugAssign(target=ast.Name(id="over"), value=value):
                yield from texts(value)
            case ast.Assign(targets=[ast.Attribute(attr="over")], value=value):
                yield from texts(value)


def every_reason() -> set[str]:
    """What the gateway, the relay and both kinds of ends give as a reason."""
    found = {text for room in ENDS for path in (SOURCE / room).rglob("*.py") for text in given_in(path)}
    for script in (SOURCE / "site/console/static/console").glob("*.js"):
        source = script.read_text()
        constants = dict(re.findall(r'^const ([A-Z_]+) = "([^"]+)"', source, re.M))
        given = re.findall(r'\b(?:finish|this\.end)\((?:"([^"]+)"|([A-Z_]+))\)', source)
        found |= {text or constants[name] for text, name in given}
    return found


@pytest.mark.req("S2")
def test_every_reason_of_an_end_has_words() -> None:
    reasons = every_reason()
    wanted = {SIGNED_OUT, SILENT, "exit", "done", "left by the rep", "the rep signed out", "ended", "session-unknown"}
    wanted |= {"client-revoked", "rep-not-allowed", "recording-stopped", "cancelled by the rep", "positions-lost"}
    assert wanted | READ_ELSEWHERE["ended by the {end}"] <= reasons, "the reasons are no longer found"
    assert reasons - ENDINGS.keys() == set(), "reasons without words"


@pytest.mark.req("S5")
@pytest.mark.parametrize("language", ["en", "it"])
def test_no_reason_is_shown_as_a_code(language: str) -> None:
    broken = [FrameError(problem, "why").message for problem in Problem]
    with translation.override(language):
        for given in (*every_reason(), *Trouble, *broken):
            assert reason(given) != given, given
    with translation.override("it"):
        assert reason(SIGNED_OUT) == "dal sito: l'accesso del tecnico di supporto è stato chiuso da un'altra postazione"
