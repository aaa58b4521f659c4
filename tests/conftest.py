"""What tests of several rooms share: one world, brought up once for a whole run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from staffetta.lab.single import Single
from worlds import a_world

BROWSER = Path(__file__).parent / "browser"


@pytest.fixture(scope="session")
def alpha() -> Iterator[Single]:
    """The shared world, at the older release until the tests in a browser install the newer one."""
    with a_world() as story:
        yield story


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests in a browser come last, since they leave the shared world at the newer release.

    With several workers (``--dist loadgroup``) those that share a world, or anything else that lasts for a whole file,
    stay together in one.
    """
    items.sort(key=lambda item: BROWSER in item.path.parents)
    for item in items:
        group = _group(item)
        if group:
            item.add_marker(pytest.mark.xdist_group(group))


def _group(item: pytest.Item) -> str:
    """The name under which a test stays with others; empty if it stands for itself."""
    fixtures = getattr(item, "_fixtureinfo", None)
    shared = {} if fixtures is None else fixtures.name2fixturedefs
    if "alpha" in shared:
        return "alpha"
    lasting = any(one[-1].scope == "module" for one in shared.values())
    return item.path.stem if lasting else ""
