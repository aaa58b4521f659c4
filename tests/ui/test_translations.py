"""The Italian catalogue is whole, agrees with the source, and its sentences are recognised."""

import re
from html.parser import HTMLParser
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest
from django.template.base import Lexer, TokenType
from django.utils import translation

from languages import ALIKE, SAID
from staffetta.site.console.words import SAID as SAID_IN_SESSIONS
from staffetta.ui.sentences import CONTEXT, say

ROOT: Final = Path(__file__).resolve().parents[2]


def _load_messages() -> ModuleType:
    """`scripts/messages`, which has no suffix."""
    loader = SourceFileLoader("messages", str(ROOT / "scripts" / "messages"))
    spec = spec_from_loader("messages", loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


MESSAGES: Final = _load_messages()
TEMPLATES: Final = sorted(
    path for path in MESSAGES.SOURCE.rglob("*.html") if "templates" in path.relative_to(MESSAGES.SOURCE).parts
)
PLACES: Final = {"python": re.compile(r"%\((\w+)\)[sd]|%[sd]"), CONTEXT: re.compile(r"\{(\w+)\}")}


@pytest.fixture(scope="module")
def catalog() -> Any:
    """The catalogue as it is committed."""
    return MESSAGES.read_catalog()


def forms(message: Any) -> tuple[str, ...]:
    """The texts of a message: one, or one for each number."""
    return tuple(message.string) if isinstance(message.string, (tuple, list)) else (message.string,)


def sources(message: Any) -> tuple[str, ...]:
    """What is translated: one text, or singular and plural."""
    return tuple(message.id) if isinstance(message.id, (tuple, list)) else (message.id,)


@pytest.mark.req("S5")
def test_everything_that_is_said_is_translated_and_nothing_else(catalog: Any) -> None:
    said = {(sources(one)[0], one.context) for one in MESSAGES.collect() if one.id}
    kept = {(sources(one)[0], one.context) for one in catalog if one.id}
    assert len(said) > 1000
    assert said - kept == set(), "run `make messages`"
    assert kept - said == set(), "run `make messages`"
    assert [one.id for one in catalog if one.id and not MESSAGES.translated(one)] == []


@pytest.mark.req("S5")
def test_a_translation_has_the_values_of_its_source(catalog: Any) -> None:
    for message in catalog:
        if not message.id:
            continue
        places = PLACES.get(message.context, PLACES["python"])
        wanted = [sorted(set(places.findall(one))) for one in sources(message)]
        for form in forms(message):
            assert sorted(set(places.findall(form))) in wanted, message.id
            assert form[:1].isspace() == sources(message)[0][:1].isspace(), message.id
            assert form[-1:].isspace() == sources(message)[0][-1:].isspace(), message.id
            assert form.count("<") == sources(message)[0].count("<"), message.id


@pytest.mark.req("S5")
def test_the_compiled_catalogue_is_that_of_the_texts(catalog: Any) -> None:
    assert MESSAGES.MO.read_bytes() == MESSAGES.compiled(catalog), "run `make messages`"


@pytest.mark.req("S5")
def test_every_sentence_is_recognised_with_its_values(catalog: Any) -> None:
    for message in (one for one in catalog if one.context == CONTEXT):
        names = dict.fromkeys(PLACES[CONTEXT].findall(message.id))
        values = {name: f"q{number}.{number}w" for number, name in enumerate(names)}
        with translation.override("it"):
            assert say(message.id.format(**values)) == message.string.format(**values)


@pytest.mark.req("S5")
def test_what_a_sessions_page_takes_along_is_still_said(catalog: Any) -> None:
    written = "".join(
        path.read_text("utf-8")
        for folder in ("site/gateway", "clients/runtime", "site/console/static")
        for path in (MESSAGES.SOURCE / folder).rglob("*.*")
        if path.suffix in (".py", ".js")
    )
    for sentence in SAID_IN_SESSIONS:
        for part in re.split(r"\{\w+\}", sentence):
            assert part.strip(" .();") in re.sub(r'"\s+f?"', "", written), sentence


class _Texts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in SAID and value]

    def handle_data(self, data: str) -> None:
        self.found.append(data)


def bare_texts(source: str) -> list[str]:
    """What a template says outside its tags: in texts, and in attributes that are seen or heard."""
    texts, inside = "", False
    for token in Lexer(source).tokenize():
        if token.token_type is TokenType.BLOCK:
            name = token.split_contents()[0]
            inside = name == "blocktranslate" or (inside and name != "endblocktranslate")
        elif token.token_type is TokenType.TEXT and not inside:
            texts += token.contents
    parser = _Texts()
    parser.feed(texts)
    words = {text: set(re.findall(r"(?<![/\w])[A-Za-z]{2,}", text)) for text in parser.found}  # no words of a path
    return [text.strip() for text, found in words.items() if found - ALIKE - {"play"}]


@pytest.mark.req("S5")
@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_says_nothing_past_the_catalogue(template: Path) -> None:
    assert len(TEMPLATES) > 50
    assert bare_texts(template.read_text("utf-8")) == []


def test_bare_texts_are_found() -> None:
    assert bare_texts('<p title="a word">{% translate "x" %}</p>{{ y }}<b>left</b>') == ["a word", "left"]
    assert bare_texts("{% blocktranslate %}in the catalogue{% endblocktranslate %} <i>→ 1</i>") == []


# -- how a sentence is read


@pytest.fixture
def italian() -> Any:
    """Everything inside is read by an Italian."""
    with translation.override("it"):
        yield


@pytest.mark.req("S5")
@pytest.mark.parametrize(
    ("english", "said"),
    [
        ("A pre-shared key is set.", "È impostata una chiave precondivisa."),
        ("a pre-shared key is set", "è impostata una chiave precondivisa"),
        (
            "Going back. It did not hold: keeper gave it up.",
            "Ritorno allo stato precedente. Non ha resistito: keeper ha rinunciato.",
        ),
        ("site 1.2 is installed.", "software del sito 1.2 è installato."),
        (
            "b.example is primary, a.example its backup, term 4.",
            "b.example è principale, a.example è il suo backup, mandato 4.",
        ),
        ("The clocks differ by 3.5 s.", "Gli orologi differiscono di 3,5 s."),
        (
            "This appliance's clock is 3 days behind the update server's time. "
            "Mend it under Networking > IP configuration (NTP server), then check for updates again.",
            "L'orologio di questo dispositivo è indietro di 3 giorni rispetto all'ora del server degli aggiornamenti. "
            "Correggerlo in Utilizzo di rete > Configurazione IP (server NTP), poi controllare di nuovo gli "
            "aggiornamenti.",
        ),
        ("It expired on 2026-11-24: import a new one.", "È scaduto il 24/11/2026: importarne uno nuovo."),
        (
            "Too little room on the disk: 24.1 MB are needed, 3.0 MB are free in /srv. "
            "Nothing was changed; make room and try again.",
            "Troppo poco spazio su disco: occorrono 24,1 MB, in /srv sono liberi 3,0 MB. "
            "Non è stato modificato nulla; liberare spazio e riprovare.",
        ),
        (
            "No pre-shared word. The clocks agree. A pre-shared key is set.",
            "No pre-shared word. Gli orologi concordano. È impostata una chiave precondivisa.",
        ),
        ("Nobody has written this sentence into the source.", "Nobody has written this sentence into the source."),
        ("", ""),
    ],
)
def test_a_sentence_is_said_in_italian(italian: None, english: str, said: str) -> None:
    assert say(english) == said


@pytest.mark.req("S5")
def test_an_english_reader_gets_the_text_itself() -> None:
    with translation.override("en"):
        assert say("The clocks differ by 3.5 s.") == "The clocks differ by 3.5 s."


@pytest.mark.req("S12")
@pytest.mark.parametrize(
    "text",
    [
        "is on to of {x} at: from, " * 150,
        "at " * 660,
        "Going back. " * 160,
        "x. " * 600,
        "x. " * 12,
        "a has b c already d " * 99,
        "It expired on 2026-13-45: import a new one.",
        "it expired on 2026-99-99T99:99:99Z: import a new one",
        "Å" * 2000,
        "{reason} {0} %s %(x)s \x04 <b>",
    ],
)
def test_a_text_from_outside_is_read_whatever_it_is(italian: None, text: str) -> None:
    assert isinstance(say(text), str)
