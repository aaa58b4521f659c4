"""What tests of several rooms share: one world, brought up once for a whole run; the site's folder in this process."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django import conf
from django.utils import translation
from hypothesis import HealthCheck, settings
from playwright.sync_api import expect
from xdist.scheduler import LoadScopeScheduling

from staffetta.lab.single import Single
from worlds import a_world

BROWSER = Path(__file__).parent / "browser"
SHARED_WORLD = ("tests/live/", "tests/browser/")
OWN_WORLDS = ("tests/live/test_kills.py", "tests/live/test_pair_life.py")
"""The files there whose tests bring up worlds of their own, and so may run beside those of the shared one."""


class Lanes(LoadScopeScheduling):
    """Each file with worlds of its own goes to one worker, all tests of the shared world to another, in their order."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "the shared world" if file.startswith(SHARED_WORLD) and file not in OWN_WORLDS else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """With `--dist loadscope`, whole worlds are tested side by side."""
    return Lanes(config, log) if config.getoption("dist") == "loadscope" else None


# How long an example takes says how busy the machine is, not whether the property holds.
settings.register_profile("staffetta", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("staffetta")

# The same holds for what a browser is to show; what it does by default is to wait five seconds.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="session", autouse=True)
def _site_folder() -> Iterator[None]:
    """The folder that the site's settings have chosen, as long as any room's tests use the databases in it."""
    folder = getattr(conf.settings, "STAFFETTA_SITE_FOLDER", None) if conf.settings.configured else None
    if folder is None:
        yield
        return
    Path(folder).mkdir(mode=0o700, exist_ok=True)
    yield
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    """A test that has asked for pages in Italian leaves its thread in English."""
    yield
    if conf.settings.configured:
        translation.deactivate()


@pytest.fixture(scope="session")
def alpha() -> Iterator[Single]:
    """The shared world, at the older release until the tests in a browser install the newer one."""
    with a_world() as story:
        yield story


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests in a browser come last: they leave the shared world at the newer release."""
    items.sort(key=lambda item: BROWSER in item.path.parents)
