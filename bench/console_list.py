"""N14: the console's list with 10,000 enrolled Jump Clients in a real browser; reference: the same with one."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, expect, sync_playwright

from bench.document import Section, Table
from bench.fleet_rows import NAME
from bench.spread import Spread
from bench.stage import Stage
from staffetta.lab.window import open_browser, sign_in
from staffetta.lab.world import LabFailure

CLIENTS: Final = 10_000
ROUNDS: Final = 15
"""Times each thing is done, whatever the number of updates is."""
REACH_MS: Final = 1000.0
COMPUTER: Final = "computer-1"
PATIENCE_MS: Final = 30_000


@dataclass(frozen=True, slots=True)
class Seen:
    """Milliseconds from a technician's act until the browser shows what it leads to, each as often as it was done."""

    listed: Sequence[float]
    searched: Sequence[float]
    opened: Sequence[float]


def measure(stage: Stage, rounds: int) -> Section:
    """List, search and open sessions with one enrolled client, then with 10,000."""
    with sync_playwright() as playwright:
        browser = open_browser(playwright)
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.set_default_timeout(PATIENCE_MS)
        _sign_in(page, stage)
        one = _see(page, stage, COMPUTER)
        _enrol(stage)
        many = _see(page, stage, NAME.format(number=CLIENTS // 2))
        browser.close()
    for what in ("listed", "searched", "opened"):
        stage.world.say(f"  N14 {what}: {Spread.of(getattr(many, what)).text(unit='ms')}")
    return section(one, many)


def section(one: Seen, many: Seen) -> Section:
    """The section for what was seen."""
    parts = (
        ("the list, from the address typed to its rows", one.listed, many.listed),
        ("a search, from the last letter to the row that is meant, a pause of 250 ms in typing included",
         one.searched, many.searched),
        ("a shell session, from the click to the connected terminal", one.opened, many.opened),
    )  # fmt: skip
    worst = max(max(few) for _, _, few in parts)
    verdict = (
        f"With {CLIENTS:,} enrolled clients the slowest took {worst:,.0f} ms; "
        f"reach {REACH_MS:,.0f} ms: {'reached' if worst <= REACH_MS else 'missed'}."
    )
    rows = [
        (what, Spread.of(few).text(unit="ms"), Spread.of(much).text(unit="ms"),
         f"{Spread.of(much).median / Spread.of(few).median:.2f}")
        for what, few, much in parts
    ]  # fmt: skip
    table = Table(("what", "1 client", f"{CLIENTS:,} clients", "ratio"), rows)
    reading = (
        "A technician's Chromium on the same two cores, over TLS, with nothing in its cache but the pages' own files.",
        "One of the clients is a real Jump Client, to which the sessions are opened; the others are rows.",
        "With one client the row is there before the search: that figure and its ratio say nothing of searching.",
        f"Each was done {ROUNDS} times.",
    )
    return Section("N14", "The console with 10,000 Jump Clients", verdict, [("", table)], reading)


def _sign_in(page: Page, stage: Stage) -> None:
    sign_in(page, f"{stage.story.appliance.site_url}/login", "rita", stage.story.technician.password)
    page.get_by_role("navigation", name="Pages").wait_for()


def _enrol(stage: Stage) -> None:
    ended = stage.world.start(
        "bench-fleet-rows",
        [
            stage.world.python, "-P", str(Path(__file__).with_name("fleet_rows.py")),
            "--appliance", str(stage.story.appliance.folder), "--clients", str(CLIENTS - 1),
        ],
    ).process.wait(120)  # fmt: skip
    if ended != 0:
        raise LabFailure("The rows of the fleet could not be written; see bench-fleet-rows.log.")


def _see(page: Page, stage: Stage, meant: str) -> Seen:
    address = f"{stage.story.appliance.site_url}/login/console"
    rows = page.locator("#computers tbody tr")
    row = rows.filter(has_text=meant)

    def listed() -> None:
        page.goto(address)
        rows.first.wait_for()

    def searched() -> None:
        page.get_by_label("Search").press_sequentially(meant[-1])
        expect(rows).to_have_count(1)
        row.wait_for()

    def opened() -> None:
        page.get_by_role("row").filter(has_text=COMPUTER).get_by_role("link", name="Start session", exact=True).click()
        page.locator("#status[data-state=connected]").wait_for()

    def before_search() -> None:
        page.goto(address)
        page.get_by_label("Search").fill(meant[:-1])
        page.wait_for_timeout(600)

    def before_opening() -> None:
        if page.locator("#end").is_visible():
            page.locator("#end").click()
            page.locator("#over").wait_for()
        page.goto(f"{address}?search={COMPUTER}")
        rows.first.wait_for()

    return Seen(
        [_milliseconds(listed) for _ in range(ROUNDS)],
        [_milliseconds(searched, before_search) for _ in range(ROUNDS)],
        [_milliseconds(opened, before_opening) for _ in range(ROUNDS)],
    )


def _milliseconds(act: Callable[[], None], before: Callable[[], None] = lambda: None) -> float:
    before()
    began = time.monotonic()
    act()
    return (time.monotonic() - began) * 1000
