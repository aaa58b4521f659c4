"""A migrated site in a folder of its own, and gateways of several generations in this process behind one port.

Run apart from the tests of other Django faces: ``pytest tests/gateway`` (one process holds one Django).
"""

import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import django
import pytest
from django.conf import settings
from django.test import override_settings

SETTINGS = "staffetta.site.web.settings"
if os.environ.setdefault("DJANGO_SETTINGS_MODULE", SETTINGS) != SETTINGS:
    pytest.skip("another Django face is tested in this process", allow_module_level=True)
django.setup()

# Models can be imported only now.
from gateway.world import World  # noqa: E402
from staffetta.site.data import identity  # noqa: E402
from staffetta.site.data.database import in_database  # noqa: E402
from staffetta.site.processes import tasks  # noqa: E402

if TYPE_CHECKING:
    from pytest_django.plugin import DjangoDbBlocker


@pytest.fixture(scope="session", autouse=True)
def database(django_db_blocker: "DjangoDbBlocker") -> Iterator[None]:
    """The site's database, migrated once; tests use accounts, clients and sessions of their own."""
    with django_db_blocker.unblock():
        tasks.migrate()
        yield


@pytest.fixture(autouse=True)
def _fast_passwords(request: pytest.FixtureRequest) -> Iterator[None]:
    """Hashing is not what is tested here; programs that a test starts know the site's own ways alone."""
    if request.node.get_closest_marker("live"):
        yield
        return
    hashers = ["django.contrib.auth.hashers.MD5PasswordHasher", *settings.PASSWORD_HASHERS]
    with override_settings(PASSWORD_HASHERS=hashers):
        yield


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: Unix sockets allow no long ones."""
    path = Path(tempfile.mkdtemp(prefix="gw-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
async def world(folder: Path) -> AsyncIterator[World]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    made = World(folder, listener, await in_database(identity.site_identity))
    yield made
    await made.close()
    listener.close()
