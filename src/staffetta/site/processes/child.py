"""A process of the site under keeper: log, Django, event loop, and the channel on which keeper gives its orders."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Final

import django
import uvloop
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from staffetta.control.child import ChildHandler, KeeperChannel
from staffetta.control.paths import ProcessEnvironment
from staffetta.kernel.log import configure, get_logger
from staffetta.site.processes.errors import DatabaseBehind, NotUnderKeeper

_log = get_logger(__name__)

DJANGO_SETTINGS: Final = "staffetta.site.web.settings"

Serve = Callable[[ProcessEnvironment, KeeperChannel, asyncio.Event], Awaitable[None]]
"""What a process does until the event is set (SIGTERM): start, say ready, do as keeper says, leave tidily."""


def set_up_django() -> None:
    """Load the site's Django settings and apps; needs ``STAFFETTA_APPLIANCE``."""
    os.environ["DJANGO_SETTINGS_MODULE"] = DJANGO_SETTINGS
    django.setup()


def check_database() -> None:
    """Raise ``DatabaseBehind`` unless every migration of this release is applied; a database error is passed on."""
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        names = ", ".join(f"{migration.app_label}.{migration.name}" for migration, _ in missing)
        raise DatabaseBehind(f"The database lacks migrations of this release ({names}); run the migrate task first.")


def run(environment: ProcessEnvironment, serve: Serve) -> None:
    """Run one process to its end. Raises ``NotUnderKeeper`` when keeper has not started it."""
    configure("site", process=environment.process, generation=environment.generation, version=environment.version)
    for chatty in ("axes", "uvicorn.error"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    uvloop.run(_main(environment, serve))


async def obey(channel: KeeperChannel, handler: ChildHandler, leave: asyncio.Event) -> None:
    """Say ready and do as keeper says until ``leave`` is set."""
    orders = asyncio.ensure_future(channel.run(handler))
    leaving = asyncio.ensure_future(leave.wait())
    try:
        await channel.ready()
        await asyncio.wait({orders, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if orders.done():
            await orders
    finally:
        for task in (orders, leaving):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _main(environment: ProcessEnvironment, serve: Serve) -> None:
    channel = KeeperChannel.from_environment()
    if channel is None:
        raise NotUnderKeeper("This process is started by keeper: run `staffetta appliance start` instead.")
    leave = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, leave.set)
    try:
        await serve(environment, channel, leave)
    except Exception as error:
        _log.exception("the process cannot go on")
        await channel.failed(f"{type(error).__name__}: {error}")
        raise
