"""Sentences of the rooms that know no Django, said in the reader's language.

What goes wrong, the steps of a job and its evidence reach a face as finished English text: out of journals and records,
over base's socket, from the other appliance of a pair, whose release may be another one. The catalogue holds the
template of every such sentence (context `sentence`, values as `{names}`; `scripts/messages` collects them), so a face
reads a text by its templates and says it anew.

- A text without a template is shown as it came: it is better said in English than not at all.
- Of several readings that fits which leaves the fewest letters unread.
- Values are read too, so a reason within a sentence, or a state within a step, is said in the same language.
- Values that are names (of people, computers, files) are never read: a file may be called `site plan.pdf`.
- Some of the texts were written by programs elsewhere: what is long, or deep, or of very many sentences is not read,
  and no text is tried with more than so many templates.
- A text may lack its full stop, or have its first letter in the other case, as texts do that become part of another.
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Any, Final

from django.utils import translation
from django.utils.formats import number_format
from django.utils.translation import trans_real

from staffetta.kernel.clock import parse_time
from staffetta.kernel.errors import InvalidInput, StaffettaError
from staffetta.ui import formats

CONTEXT: Final = "sentence"
LONGEST: Final = 2000
"""Longer texts are shown as they came."""
DEEPEST: Final = 5
"""So many sentences deep a value is read."""
MOST: Final = 12
"""A text of more sentences is not taken apart."""
WAYS: Final = 60
"""In so many steps at most the values of one sentence are looked for."""
MOST_TRIES: Final = 12000
"""So many templates are laid on one text, with all its sentences and values; what is not read by then stays."""

_ENGLISH: Final = "en"
_KEY: Final = f"{CONTEXT}\x04"
_VALUE: Final = re.compile(r"\{(\w+)\}")
_BETWEEN_SENTENCES: Final = re.compile(r"(?<=[.!?…:;]) (?=\S)")
_NUMBER: Final = "_number"
"""How the name of a value ends that was written with decimals."""
_NAMES: Final = re.compile(r"(.*_)?(path|folder|username|root)|(client|path|package|member)_name|names|clash|backups")
"""Values that are names which people gave: never read, whatever words they are made of."""
_HOSTS: Final = re.compile(r"(.*_)?(host|url|origin|site)|a|b|backup|missing|named|who|place|endpoint")
"""Values that are hosts, or words like `this appliance` in their place: those have a space."""
_WHO: Final = re.compile(r"actor|grant_granted_by")
_PROGRAMS: Final = re.compile(
    r"command line|installer token|the other appliance|the pair's watch|data-sync|pair upgrade [\w-]+"
    r"|pair job [\w-]+(, step [\w.-]+)?"
)
"""What programs call themselves where the name of a person could stand."""
_PAIR_JOB: Final = re.compile(r"pair (upgrade|job) .*")
_TIME: Final = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)(?:[ T](?P<time>\d\d:\d\d)(?P<zone> UTC|:\d\d(?:\.\d+)?(?:Z|\+00:00))?)?"
)


@dataclass(frozen=True, slots=True)
class Template:
    """A sentence with places for its values: as it is read, and as it is said.

    ``literals`` is what stands before, between and behind its values, which have ``names``.
    """

    source: str
    said: str
    literals: tuple[str, ...]
    names: tuple[str, ...]

    def values(self, text: str) -> Iterator[dict[str, str]]:
        """The values in a text in each way in which they can be there, short ones first; none in another sentence."""
        first, *between, last = self.literals if self.names else (*self.literals, "")
        start, end = len(first), len(text) - len(last)
        if start > end or not text.endswith(last) or not _alike(text[:start], first):
            return
        if self.names:
            yield from self._placed(text[:end], start, tuple(between), {}, count(1))
        elif start == end:
            yield {}

    def _placed(
        self, text: str, start: int, literals: tuple[str, ...], found: dict[str, str], steps: Iterator[int]
    ) -> Iterator[dict[str, str]]:
        """The ways in which the values from ``start`` on can be there, before and behind these literals."""
        name = self.names[-1 - len(literals)]
        until = text.find(literals[0], start) if literals else len(text)
        while until >= 0 and next(steps) < WAYS:
            value = text[start:until]
            if found.get(name, value) == value:
                if not literals:
                    yield {**found, name: value}
                    return
                onward = until + len(literals[0])
                yield from self._placed(text, onward, literals[1:], {**found, name: value}, steps)
            elif not literals:
                return
            until = text.find(literals[0], until + 1)


@dataclass(frozen=True, slots=True)
class _Reading:
    said: str
    unread: int
    """How many letters no template explains."""


def say(text: object) -> str:
    """A sentence in the reader's language; the text itself when nothing is known of it, and always in English."""
    plain = str(text)
    language = translation.get_language() or _ENGLISH
    if language.startswith(_ENGLISH) or len(plain) > LONGEST or not _letters(plain):
        return plain
    return _said(plain, language)


def say_actor(text: object) -> str:
    """Who did something: what a program calls itself, in the reader's language; the name of an account as it is.

    The upgrade of a pair calls itself by the id of its job and of its step, which tell people nothing.
    """
    plain = str(text)
    if not _PROGRAMS.fullmatch(plain):
        return plain
    return translation.gettext("the pair's upgrade") if _PAIR_JOB.fullmatch(plain) else say(plain)


def say_error(error: StaffettaError) -> str:
    """What an error says, in the reader's language."""
    return say(error.message)


def in_other_words(template: str) -> str:
    """A template itself in the reader's language, its values still in braces: for a script that fills them in."""
    return translation.pgettext(CONTEXT, template)


@lru_cache(maxsize=4096)
def _said(text: str, language: str) -> str:
    return Reader(language).read(text).said


class Reader:
    """Reads one text by the templates of a language; ``tries`` is how many templates were laid on it until now."""

    def __init__(self, language: str) -> None:
        self.tries = 0
        self._language = language
        self._texts: dict[tuple[str, int], _Reading] = {}
        self._sentences: dict[tuple[str, int], _Reading] = {}

    def read(self, text: str, depth: int = 0) -> _Reading:
        """The best reading of a text that may be several sentences."""
        if (text, depth) not in self._texts:
            self._texts[text, depth] = self._take_apart(text, depth)
        return self._texts[text, depth]

    def _take_apart(self, text: str, depth: int) -> _Reading:
        best = self._read_one(text, depth)
        if best.unread == 0:
            return best
        boundaries = list(_BETWEEN_SENTENCES.finditer(text))
        if len(boundaries) > MOST:
            return best
        for boundary in boundaries:
            first = self._read_one(text[: boundary.start()], depth)
            rest = self.read(text[boundary.end() :], depth) if first.unread < best.unread else first
            if first.unread + rest.unread < best.unread:
                best = _Reading(f"{first.said} {rest.said}", first.unread + rest.unread)
        return best

    def _read_one(self, text: str, depth: int) -> _Reading:
        """The best reading of a text as one sentence, with sentences as its values perhaps."""
        if (text, depth) not in self._sentences:
            self._sentences[text, depth] = self._try_templates(text, depth)
        return self._sentences[text, depth]

    def _try_templates(self, text: str, depth: int) -> _Reading:
        core, stop = (text[:-1], ".") if text.endswith(".") else (text, "")
        best = _Reading(text, _letters(text))
        if best.unread == 0 or depth > DEEPEST:
            return best
        for template in _templates_for(core, self._language):
            if self.tries == MOST_TRIES:
                break
            self.tries += 1
            for values in template.values(core):
                if not all(map(_may_be, values, values.values())):
                    continue
                read = {name: self._read_value(name, value, depth + 1) for name, value in values.items()}
                unread = sum(one.unread for one in read.values())
                if unread < best.unread:
                    said = "".join(
                        read[part].said if number % 2 else part
                        for number, part in enumerate(_VALUE.split(template.said))
                    )
                    best = _Reading(_in_case_of(core, template, said, within=depth > 0) + stop, unread)
                if unread == 0:
                    return best
        return best

    def _read_value(self, name: str, value: str, depth: int) -> _Reading:
        if name.endswith(_NUMBER) and re.fullmatch(r"-?\d+\.\d+", value):
            return _Reading(number_format(value), 0)
        if size := re.fullmatch(r"(\d+\.\d) ([KMGT]B)", value):
            return _Reading(f"{number_format(size[1])} {size[2]}", 0)
        if found := _TIME.fullmatch(value):
            with contextlib.suppress(InvalidInput):  # it looked like a time, and is none
                return _Reading(_time(found), 0)
        if _NAMES.fullmatch(name) or (_HOSTS.fullmatch(name) and " " not in value):
            return _Reading(value, _letters(value))
        if _WHO.fullmatch(name) and not _PROGRAMS.fullmatch(value):
            return _Reading(value, _letters(value))
        return self.read(value, depth)


def _may_be(name: str, value: str) -> bool:
    """Whether a value is what its name says: a label is a kind and a version, no sentence that ends like this one."""
    return not name.endswith("label") or value.count(" ") <= 1


def _time(found: re.Match[str]) -> str:
    """A time as `spoken_time` writes it, or a day, or a time as other releases wrote it."""
    said = formats.day(parse_time(f"{found['day']}T{found['time'] or '00:00'}:00Z"))
    if found["time"]:
        said += f" {found['time']}"
    return f"{said} UTC" if found["zone"] else said


def _templates_for(text: str, language: str) -> tuple[Template, ...]:
    """The templates that may fit a text, by its first letter: most are told apart by it."""
    others, by_letter = _templates(language)
    return by_letter.get(text[:1].lower(), others)


@lru_cache(maxsize=8)
def _templates(language: str) -> tuple[tuple[Template, ...], dict[str, tuple[Template, ...]]]:
    """The sentences of a language's catalogue, those with the most letters of their own and the fewest values first:
    those that begin with a value, and for each first letter these and those that begin with it."""
    found = [_template(source, said) for source, said in _sentences(language)]
    found.sort(key=lambda one: (-sum(map(_letters, one.literals)), len(one.literals)))
    first = [one.literals[0][:1].lower() for one in found]
    by_letter = {
        letter: tuple(one for one, begins in zip(found, first, strict=True) if begins in ("", letter))
        for letter in {*first}
    }
    return by_letter.get("", ()), by_letter


def _sentences(language: str) -> Iterator[tuple[str, str]]:
    read: Any = trans_real.translation(language)
    for key, said in read._catalog.items():  # as Django's own JavaScriptCatalog does
        if isinstance(key, str) and key.startswith(_KEY):
            yield key.removeprefix(_KEY), said


def _template(source: str, said: str) -> Template:
    source, said = source.removesuffix("."), said.removesuffix(".")
    parts = _VALUE.split(source)
    return Template(source, said, tuple(parts[::2]), tuple(parts[1::2]))


def _alike(text: str, literal: str) -> bool:
    """Whether both are the same but for the case of the first letter."""
    return text[1:] == literal[1:] and text[:1].lower() == literal[:1].lower()


def _in_case_of(text: str, template: Template, said: str, *, within: bool) -> str:
    """The sentence said with its first letter in the case in which the text has it.

    One that only in translation begins with a word of its own (`{label} is installed`, `Il {label} …`) begins small
    within another.
    """
    if template.source.startswith("{"):
        small = within and not template.said.startswith("{")
        return said[:1].lower() + said[1:] if small else said
    if not template.source[:1].isalpha() or text[:1] == template.source[:1]:
        return said
    return (said[:1].upper() if text[:1].isupper() else said[:1].lower()) + said[1:]


def _letters(text: str) -> int:
    return sum(map(str.isalpha, text))
