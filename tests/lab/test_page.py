"""The report as a page: it stands alone, says what the JSON says, and a lost record is red in it."""

import re
from xml.etree import ElementTree

import pytest
import reports
from bs4 import BeautifulSoup

from staffetta.lab.judge import judge
from staffetta.lab.page import page
from staffetta.lab.report import Report, Span


def read(report: Report) -> BeautifulSoup:
    report.problems = judge(report, expected="upgraded", kills=False)
    return BeautifulSoup(page(report), "lxml")


@pytest.mark.parametrize("report", [reports.single(), reports.pair()], ids=lambda report: report.story)
def test_a_good_story_is_green_throughout(report: Report) -> None:
    shown = read(report)
    assert "Nothing was lost" in shown.select_one(".verdict").get_text()
    assert shown.select("td.holds")
    assert shown.select("td.broken, .verdict.bad") == []
    assert "15 to 60 minutes" in shown.get_text()


def test_one_lost_record_is_red() -> None:
    report = reports.pair()
    assert report.sync is not None
    report.sync["records"]["only_a"] = 1
    shown = read(report)
    assert "1 records only on A" in shown.select_one(".verdict.bad").get_text()
    (broken,) = shown.select("tr:has(td.broken)")
    assert "records different" in broken.get_text()


def test_it_asks_the_network_for_nothing() -> None:
    shown = read(reports.pair())
    assert [tag for tag in shown.find_all(True) if {"src", "href", "srcset"} & set(tag.attrs)] == []
    assert not re.search(r"url\(|@import|https?://", page(reports.pair()))


def test_the_picture_is_whole_and_the_table_says_all_of_it() -> None:
    report = reports.pair()
    shown = read(report)
    whole, swing = shown.select("svg")
    for svg in (whole, swing):
        ElementTree.fromstring(str(svg))
        assert svg["role"] == "img"
        assert all(shown.find(id=name) for name in svg["aria-labelledby"].split())
        assert len(svg.select(".swing-line")) == 1
    assert {text.get_text() for text in whole.select("text.name")} == {span.lane for span in report.timeline}
    told = [row.select("td")[4].get_text() for row in shown.select("details tbody tr")]
    assert told == [span.text for span in report.timeline]


def test_what_a_program_said_cannot_break_the_page() -> None:
    report = reports.pair()
    report.notes.append("<script>alert(1)</script>")
    report.timeline.append(Span("<b>", "step", reports.BEGAN + 1, 50, "<i>"))
    shown = read(report)
    assert shown.select("script, b, i") == []
    assert "<b>" in shown.select_one("svg").get_text()


def test_a_story_that_ended_at_once_has_a_page_too() -> None:
    shown = BeautifulSoup(page(Report("asynchronous", problems=["the step publish failed: <no>"])), "lxml")
    assert "the step publish failed: <no>" in shown.select_one(".verdict.bad").get_text()
    assert shown.select("svg") == []
