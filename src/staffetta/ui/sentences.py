"""Sentences of the rooms that know no Django, said in the reader's language.

What goes wrong, the steps of a job and its evidence reach a face as finished English text: out of journals and records,
over base's socket, from the other appliance of a pair, whose release may be another one. The catalogue holds the
template of every such sentence (context `sentence`, values as `{names}`; `scripts/messages` collects them), so a face
reads a text by its templates and says it anew.

- A text without a template is shown as it came: it is better said in English than not at all.
- Of several readings that fits which leaves the fewest letters unread.
- Values are read too, so a reason within a sentence, or a state within a step, is said in the same language.
- A text may lack its full stop, or have its first letter in the other case, as texts do that become part of another.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from django.utils import translation
from django.utils.formats import number_format
from django.utils.translation import trans_real

from staffetta.kernel.clock import parse_time
from staffetta.kernel.errors import StaffettaError
from staffetta.ui import formats

CONTEXT: Final = "sentence"
LONGEST: Final = 4000
"""Longer texts are shown as they came."""

_ENGLISH: Final = "en"
_KEY: Final = f"{CONTEXT}\x04"
_VALUE: Final = re.compile(r"\{(\w+)\}")
_BETWEEN_SENTENCES: Final = re.compile(r"(?<=[.!?…:;]) (?=\S)")
_NUMBER: Final = "_number"
"""How the name of a value ends that was written with decimals."""
_TIME: Final = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)(?: (?P<time>\d\d:\d\d))?|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"
)


@dataclass(frozen=True, slots=True)
class Template:
    """A sentence with places for its values: as it is read, and as it is said."""

    source: str
    said: str
    pattern: re.Pattern[str]
    literals: tuple[str, ...]

    def values(self, text: str) -> dict[str, str] | None:
        """The values in a text, or None when it is another sentence."""
        place = 0
        for literal in self.literals:  # much cheaper than the pattern, and nearly always enough to say no
            found = text.find(literal, place)
            if found < 0:
                return None
            place = found + len(literal)
        matched = self.pattern.fullmatch(text)
        return None if matched is None else matched.groupdict()


@dataclass(frozen=True, slots=True)
class _Reading:
    said: str
    unread: int
    """How many letters no template explains."""


def say(text: object) -> str:
    """A sentence in the reader's language; the text itself when nothing is known of it, and always in English."""
    plain = str(text)
    language = translation.get_language() or _ENGLISH
    if language.startswith(_ENGLISH) or not plain.strip() or len(plain) > LONGEST:
        return plain
    return _read(plain, language).said


def say_error(error: StaffettaError) -> str:
    """What an error says, in the reader's language."""
    return say(error.message)


def in_other_words(template: str) -> str:
    """A template itself in the reader's language, its values still in braces: for a script that fills them in."""
    return translation.pgettext(CONTEXT, template)


@lru_cache(maxsize=2048)
def _read(text: str, language: str) -> _Reading:
    """The best reading of a text that may be several sentences."""
    best = _read_one(text, language)
    if best.unread == 0:
        return best
    for boundary in _BETWEEN_SENTENCES.finditer(text):
        first = _read_one(text[: boundary.start()], language)
        rest = _read(text[boundary.end() :], language)
        if first.unread + rest.unread < best.unread:
            best = _Reading(f"{first.said} {rest.said}", first.unread + rest.unread)
    return best


@lru_cache(maxsize=4096)
def _read_one(text: str, language: str) -> _Reading:
    """The best reading of a text as one sentence, with sentences as its values perhaps."""
    core, stop = (text[:-1], ".") if text.endswith(".") else (text, "")
    best = _Reading(text, _letters(text))
    for template in _templates(language):
        values = template.values(core)
        if values is None or any(len(value) >= len(text) for value in values.values()):
            continue
        read = {name: _read_value(name, value, language) for name, value in values.items()}
        unread = sum(one.unread for one in read.values())
        if unread < best.unread:
            said = _VALUE.sub(lambda place, read=read: read[place[1]].said, template.said)  # type: ignore[misc]
            best = _Reading(_in_case_of(core, template.source, said) + stop, unread)
            if unread == 0:
                break
    return best


def _read_value(name: str, value: str, language: str) -> _Reading:
    if name.endswith(_NUMBER) and re.fullmatch(r"-?\d+\.\d+", value):
        return _Reading(number_format(value), 0)
    if size := re.fullmatch(r"(\d+\.\d) ([KMGT]B)", value):
        return _Reading(f"{number_format(size[1])} {size[2]}", 0)
    if found := _TIME.fullmatch(value):
        return _Reading(_time(found), 0)
    return _read(value, language)


def _time(found: re.Match[str]) -> str:
    if found["day"] is None:
        return f"{formats.moment(parse_time(found[0]))} UTC"
    return f"{formats.day(parse_time(found['day'] + 'T00:00:00Z'))} {found['time'] or ''}".rstrip()


@lru_cache(maxsize=8)
def _templates(language: str) -> tuple[Template, ...]:
    """The sentences of a language's catalogue, those with the most letters of their own and the fewest values first."""
    found = [_template(source, said) for source, said in _sentences(language)]
    return tuple(sorted(found, key=lambda one: (-sum(map(_letters, one.literals)), len(one.literals))))


def _sentences(language: str) -> Iterator[tuple[str, str]]:
    read: Any = trans_real.translation(language)
    for key, said in read._catalog.items():  # as Django's own JavaScriptCatalog does
        if isinstance(key, str) and key.startswith(_KEY):
            yield key.removeprefix(_KEY), said


def _template(source: str, said: str) -> Template:
    source, said = source.removesuffix("."), said.removesuffix(".")
    pattern, seen, end = "", set[str](), 0
    for place in _VALUE.finditer(source):
        pattern += re.escape(source[end : place.start()])
        pattern += f"(?P={place[1]})" if place[1] in seen else f"(?P<{place[1]}>.*?)"
        seen.add(place[1])
        end = place.end()
    pattern += re.escape(source[end:])
    first = source[:1]
    if first.isalpha():
        pattern = f"[{first.upper()}{first.lower()}]{pattern[1:]}"
    literals = [one for one in _VALUE.split(source)[::2] if one]
    if first.isalpha():
        literals[0] = literals[0][1:]
    return Template(source, said, re.compile(pattern, re.DOTALL), tuple(one for one in literals if one))


def _in_case_of(text: str, source: str, said: str) -> str:
    """The sentence said with its first letter in the case in which the text has it."""
    if not source[:1].isalpha() or text[:1] == source[:1]:
        return said
    return (said[:1].upper() if text[:1].isupper() else said[:1].lower()) + said[1:]


def _letters(text: str) -> int:
    return sum(letter.isalpha() for letter in text)
