"""Fixtures for keeper's tests."""

from collections.abc import Iterator

import pytest
from kept_appliance import KeptAppliance


@pytest.fixture
def appliance() -> Iterator[KeptAppliance]:
    """An appliance with no keeper yet; whatever runs at the end is ended."""
    made = KeptAppliance()
    try:
        yield made
    finally:
        log = made.log.read_text() if made.log.exists() else ""
        made.close()
        print(log)
