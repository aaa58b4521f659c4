"""The Italian catalogue is whole, agrees with the source, and its sentences are recognised."""

import ast
import re
from datetime import UTC, datetime, timedelta, timezone
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
from staffetta.kernel.clock import format_time, spoken_time
from staffetta.site.console.words import SAID as SAID_IN_SESSIONS
from staffetta.ui import sentences
from staffetta.ui.sentences import CONTEXT, MOST_TRIES, Reader, say, say_actor

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
        for folder in ("site/gateway", "site/fleet", "clients/runtime", "site/console/static")
        for path in (MESSAGES.SOURCE / folder).rglob("*.*")
        if path.suffix in (".py", ".js")
    )
    for sentence in SAID_IN_SESSIONS:
        for part in re.split(r"\{\w+\}", sentence):
            assert part.strip(" .();") in re.sub(r'"\s+f?"', "", written), sentence


REFUSALS: Final = ("SessionRefused", "NotAllowed", "ClientUnknown", "ClientRevoked", "Refused")
"""What the gateway answers a console with; its connection's own troubles (`Turned`) are told by their code."""


def refusals() -> set[str]:
    """What a session's page is told in words: by the gateway's refusals and by those of its own scripts."""
    found: set[str] = set()
    for name in ("gateway/connect.py", "gateway/sessions.py", "support/service.py", "fleet/service.py"):
        tree = ast.parse((MESSAGES.SOURCE / "site" / name).read_text("utf-8"))
        if name == "fleet/service.py":
            tree.body = [one for one in tree.body if getattr(one, "name", "") == "authenticate_client"]
        for call in (one for one in ast.walk(tree) if isinstance(one, ast.Call)):
            if ast.unparse(call.func).rpartition(".")[2] in REFUSALS:
                last = call.args[-1]
                given = last.args[0] if isinstance(last, ast.Call) and ast.unparse(last.func) == "_" else last
                if isinstance(given, ast.Constant | ast.JoinedStr):
                    found.add(given.value if isinstance(given, ast.Constant) else MESSAGES._template(given))
    for script in (MESSAGES.SOURCE / "site/console/static/console").glob("*.js"):
        thrown = re.findall(
            r'new (?:Refused|Passing|NotProven)\((?:"[\w-]+", )?(?:"([^"]+)"|`([^`]+)`)\)', script.read_text("utf-8")
        )
        found |= {re.sub(r"\$\{(\w+)\}", r"{\1}", plain or filled) for plain, filled in thrown}
    return found


@pytest.mark.req("S5")
def test_a_sessions_page_takes_along_what_it_can_be_told() -> None:
    told = refusals()
    assert {"This Jump Client was revoked by an administrator.", "The site has moved."} <= told
    assert told - set(SAID_IN_SESSIONS) == set(), "add them to site/console/words.py"


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
        ("it did not reach the site in 120 s", "non ha raggiunto il sito in 120 s"),
        (
            "it was started again and again and did not reach the site",
            "è stata avviata più volte e non ha raggiunto il sito",
        ),
        ("A pre-shared key is set.", "È impostata una chiave precondivisa."),
        ("a pre-shared key is set", "è impostata una chiave precondivisa"),
        (
            "Going back. It did not hold: keeper gave it up.",
            "Ritorno allo stato precedente. Non è rimasta in funzione: keeper ha rinunciato.",
        ),
        ("site 1.2 is installed.", "Il software del sito 1.2 è installato."),
        (
            "Needs base 1.1 or newer first; base 1.0 is installed.",
            "Richiede prima base 1.1 o successiva; il software di base 1.0 è installato.",
        ),
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
            "Both appliances run site 1.1, and nothing newer is on offer for both. Checked 2026-11-24 05:48 UTC.",
            "Entrambi i dispositivi eseguono il sito 1.1 e per entrambi non è disponibile nulla di più recente. "
            "Ultimo controllo: 24/11/2026 05:48 UTC.",
        ),
        (
            "Permitted on b.example until 2026-11-24 05:48 UTC.",
            "Autorizzato su b.example fino al 24/11/2026 05:48 UTC.",
        ),
        (
            "This Jump Client is passive and did not come when it was called; it is expected by "
            "2026-11-24T05:48:15.123456Z. Try again then.",
            "Questo Jump Client è passivo e non ha risposto alla chiamata; il prossimo contatto è atteso entro il "
            "24/11/2026 05:48 UTC. Riprovare allora.",
        ),
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
def test_a_time_in_a_sentence_is_written_in_one_way(italian: None) -> None:
    at = datetime(2026, 11, 24, 5, 48, 15, 123456, UTC)
    assert spoken_time(at) == spoken_time(at.astimezone(timezone(timedelta(hours=2)))) == "2026-11-24 05:48 UTC"
    for written in (spoken_time(at), format_time(at), at.isoformat()):
        said = say(f"Permitted on b.example until {written}.")
        assert said.endswith(" 24/11/2026 05:48 UTC."), said


TIMES = re.compile(r"%H:%M|\bformat_time\(|\bisoformat\(")


@pytest.mark.req("S5")
def test_every_sentence_with_a_time_writes_it_so() -> None:
    """A sentence that formats a time itself would be said with the English day, or not be read at all."""
    found = {
        (path.name, ast.unparse(text))
        for path in {path for path, _ in MESSAGES.spoken()}
        for text in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(text, ast.JoinedStr) and TIMES.search(ast.unparse(text))
    }
    assert found == set(), "write it by `spoken_time`"


@pytest.mark.req("S5")
def test_an_english_reader_gets_the_text_itself() -> None:
    with translation.override("en"):
        assert say("The clocks differ by 3.5 s.") == "The clocks differ by 3.5 s."


@pytest.mark.req("S5")
@pytest.mark.parametrize(
    ("english", "said"),
    [
        ("There is no file site plan.pdf.", "Il file site plan.pdf non esiste."),
        ("There is no user none on this site.", "L'utente none non esiste su questo sito."),
        ("An appliance answers at backup.", "A backup risponde un dispositivo."),
        ("Resumed by base.", "Ripresa da base."),
        ("Resumed by command line.", "Ripresa da riga di comando."),
    ],
)
def test_a_name_in_a_sentence_stays_as_it_is(italian: None, english: str, said: str) -> None:
    assert say(english) == said


@pytest.mark.req("S5")
@pytest.mark.parametrize("name", ["none", "Site 12", "backup", "failed", "behind"])
def test_the_name_of_an_actor_stays_as_it_is(italian: None, name: str) -> None:
    assert say_actor(name) == name
    assert say_actor("command line") == "riga di comando"


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
    """And with no more tries than one text may cost: a page has up to a hundred of them."""
    assert isinstance(say(text), str)
    reader = Reader("it")
    reader.read(text)
    assert reader.tries <= MOST_TRIES


@pytest.mark.req("S12")
def test_the_tries_for_one_text_end(italian: None, monkeypatch: pytest.MonkeyPatch) -> None:
    nested = "".join(f"w{number} is at {number}: " for number in range(12)) + "z is in of " * 100
    unbounded = Reader("it")
    with monkeypatch.context() as patch:
        patch.setattr(sentences, "MOST_TRIES", 10**9)
        unbounded.read(nested)
    bounded = Reader("it")
    bounded.read(nested)
    assert unbounded.tries > MOST_TRIES == bounded.tries


@pytest.mark.req("S5")
def test_every_sentence_is_read_within_the_tries(italian: None, catalog: Any) -> None:
    """Also with values that nothing is known of, for which everything is tried."""
    unread = []
    for message in (one for one in catalog if one.context == CONTEXT):
        names = dict.fromkeys(PLACES[CONTEXT].findall(message.id))
        values = {name: f"q{number}.{number}w" for number, name in enumerate(names)}
        said = Reader("it").read(message.id.format(**values)).said
        if said.removesuffix(".").lower() != message.string.format(**values).removesuffix(".").lower():
            unread.append((message.id, said))
    assert unread == []


@pytest.mark.req("S12")
@pytest.mark.parametrize("text", ["", "  ", "-", "12 345.6", "2026-11-24", ": . ! " * 90])
def test_a_text_without_letters_is_not_read(italian: None, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.delattr(sentences, "Reader")
    assert say(text) == text
