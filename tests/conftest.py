"""What tests of several rooms share: one world, brought up once for a whole run."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from staffetta.lab.single import Single
from worlds import a_world

BROWSER = Path(__file__).parent / "browser"

# How long an example takes says how busy the machine is, not whether the property holds.
settings.register_profile("staffetta", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("staffetta")


@pytest.fixture(scope="session")
def alpha() -> Iterator[Single]:
    """The shared world, at the older release until the tests in a browser install the newer one."""
    with a_world() as story:
        yield story


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests in a browser come last: they leave the shared world at the newer release."""
    items.sort(key=lambda item: BROWSER in item.path.parents)
