"""Database work from an event loop: service functions run in a few threads that each keep one connection.

The gateway calls ``in_database(service_function, …)``. A Django request closes its own connection; these threads live
as long as the process, so their connections stay open (SQLite: no open transaction between calls, WAL readers move on).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import connections

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

THREADS: Final = 4
_POOL: Final = ThreadPoolExecutor(THREADS, thread_name_prefix="database")


async def in_database(
    function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """Run a sync service function in a database thread and return its result or raise its error."""
    run = sync_to_async(_kept(function), thread_sensitive=False, executor=_POOL)
    return await run(*args, **kwargs)


def _kept(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return function(*args, **kwargs)
        finally:
            for connection in connections.all(initialized_only=True):
                if connection.errors_occurred:
                    connection.close()

    return run
