"""The document keeps what was not measured again, and its sections say what was found, also when it is bad."""

from datetime import UTC, datetime

import pytest
from bench.document import HEAD, Circumstances, Section, Table, renew
from bench.spread import Echo, Window
from bench.stage import Account
from bench.typed import Session

from bench import requests_failed, session_pause
from staffetta.lab.world import LabFailure

CIRCUMSTANCES = Circumstances(datetime(2026, 11, 24, 5, 48, tzinfo=UTC), "abc", "Linux 6.1", 2, "3.11.2", "make bench")


def written(number: str, verdict: str) -> str:
    section = Section(number, "Something", verdict, [("", Table(("a", "b"), [["1", "2"]]))], ["Read it."])
    return section.text(CIRCUMSTANCES)


def test_a_section_says_when_where_and_how_it_was_measured() -> None:
    text = written("N1", "Good.")
    assert "2026-11-24 05:48 UTC at commit abc, 2 CPUs, Linux 6.1, Python 3.11.2, by `make bench`" in text
    assert "| a | b |\n| --- | --- |\n| 1 | 2 |" in text
    assert "* Read it." in text


def test_a_new_document_has_the_head_and_its_sections_in_order() -> None:
    document = renew("", {"N10": written("N10", "ten"), "N2": written("N2", "two")})
    assert document.startswith(HEAD)
    assert document.index("## N2 ") < document.index("## N10 ")


def test_only_what_was_measured_again_changes() -> None:
    first = renew("", {"N1": written("N1", "one"), "N2": written("N2", "two")})
    second = renew(first, {"N2": written("N2", "two again")})
    assert "**one**" in second
    assert "**two again**" in second
    assert "**two**" not in second
    assert second.count("# Performance") == 1
    assert renew(second, {"N2": written("N2", "two")}) == first


def event(failed: int) -> requests_failed.Event:
    return requests_failed.Event(Account(1000, failed, (), 12.0), 8.0)


def test_failed_requests_are_told_as_a_ratio_to_the_reference() -> None:
    section = requests_failed.section([event(0), event(0)], [event(0)], [event(90)], [event(3000), event(2000)])
    assert "0 requests failed in 3 updates (to reach: 0, aim: 0: reached)" in section.verdict
    missed = requests_failed.section([event(0)], [event(5)], [event(90)], [event(2500)])
    assert "5 requests failed in 2 updates" in missed.verdict
    assert "missed" in missed.verdict
    assert "| base update | 1 | 1,000 | 5 (5 to 5) | 0.002 |" in missed.tables[0][1].text()


def test_clients_that_do_not_notice_a_stop_have_measured_nothing() -> None:
    for restart, install in ((0, 100), (100, 0)):
        with pytest.raises(LabFailure):
            requests_failed.section([event(0)], [event(0)], [event(restart)], [event(install)])


def typed(pause: float) -> Session:
    echoes = [Echo(moment, moment + 0.002) for moment in range(40)]
    return Session([*echoes, Echo(10.5, 10.5 + pause), Echo(30.5, 34)], 2, 3, "complete")


UPDATE = session_pause.Event(Window(10, 15), session_pause.Cut(3.0, 0.004), 5.0)
STOP = session_pause.Event(Window(30, 35), session_pause.Cut(0.1, 2.0), 2.5)


@pytest.mark.parametrize(
    ("pause", "words"),
    [(0.09, "90 ms (90 to 90)"), (0.4, "0.1 s: reached"), (1.2, "0.1 s: missed"), (0.1, "ratio 0.05")],
)
def test_a_pause_is_judged_and_told_as_a_ratio_to_the_reference(pause: float, words: str) -> None:
    assert words in session_pause.section(typed(pause), [UPDATE], [STOP]).verdict


def test_the_echo_outside_of_events_does_not_hold_the_pauses() -> None:
    section = session_pause.section(typed(0.5), [UPDATE], [STOP])
    assert "| 28 tokens | 2.0 ms | 2.0 ms |" in section.tables[1][1].text()
    assert "| stop and start | 1 | 3,500 ms (3,500 to 3,500) | cut in 1 of 1" in section.tables[0][1].text()
