"""One consistent picture of the database for reading, beside writers that go on writing."""

import contextlib
from collections.abc import Iterator
from typing import Any

from django.db import connections, transaction


@contextlib.contextmanager
def one_picture() -> Iterator[None]:
    """See the database in the block as it is at the first read in it. Nothing may be written in the block.

    The site's transactions take SQLite's only write lock when they begin; this one takes none, so that a long read
    keeps nobody waiting.
    """
    connection: Any = connections["default"]
    if connection.vendor != "sqlite":
        with transaction.atomic():
            connection.cursor().execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield
        return
    connection.ensure_connection()
    former = connection.transaction_mode
    connection.transaction_mode = "DEFERRED"
    try:
        with transaction.atomic():
            connection.transaction_mode = former
            yield
    finally:
        connection.transaction_mode = former
