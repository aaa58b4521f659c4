"""One install job: its page, and the stream that keeps the page current (U3).

The page is whole without scripts and then loads itself again; with them it follows the stream. A stream passes on
what base tells after the last id the page has seen; it ends with `ended`, or with `moved` when base or this process
is being replaced, upon which the page opens it again.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any, Final, Self, cast

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.template import loader
from django.utils import timezone
from django.utils.translation import get_language, override
from django.views.decorators.http import require_safe

from staffetta.base.web.answers import appliance_control
from staffetta.base.web.models import INSTALL_UPDATES
from staffetta.base.web.picture import Picture, after, rows
from staffetta.base.web.streams import HEARTBEAT, HEARTBEAT_SECONDS, LIVE, message
from staffetta.control.appliance import EventKind, InstallEvent, Job
from staffetta.kernel.errors import StaffettaError, Unavailable
from staffetta.kernel.log import get_logger
from staffetta.ui.signin.access import needs

CATCH_UP_SECONDS: Final = 2.0
"""So long at most a page waits for the events that led to where the job is."""

SHORTEST_PAUSE: Final = 0.2
"""Seconds between two pictures of bytes alone."""

_MOVED: Final = InstallEvent(None, EventKind.MOVED, "", "")
_log = get_logger(__name__)


@needs(INSTALL_UPDATES)
@require_safe
async def job(request: HttpRequest, job: str) -> HttpResponse:
    """The job as it is now."""
    found = await sync_to_async(_job)(job)
    picture = await _picture_of(found)
    context = {**_shown(found, picture), "over": picture.outcome is not None}
    return await sync_to_async(render)(request, "appliance/job.html", context)


@needs(INSTALL_UPDATES)
@require_safe
async def job_events(request: HttpRequest, job: str) -> HttpResponseBase:
    """The stream of a job, after the last id the page has seen."""
    found = await sync_to_async(_job)(job)
    return StreamingHttpResponse(
        stream(found, _last_seen(request), get_language() or settings.LANGUAGE_CODE),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def stream(job: Job, last_seen: int, language: str) -> AsyncGenerator[bytes, None]:
    """The server-sent events of a job, in a language. It is read from its first event, so that the picture is whole."""
    picture = Picture()
    loop = asyncio.get_running_loop()
    shown_at, held = 0.0, False  # `held`: bytes that came too soon after the last picture
    try:
        async with Watch(job.id) as watch:
            while True:
                event = await watch.next(
                    max(0.0, shown_at + SHORTEST_PAUSE - loop.time()) if held else HEARTBEAT_SECONDS
                )
                if event is None and not held:
                    yield HEARTBEAT
                    continue
                sequence = None
                if event is not None:
                    if event.kind is EventKind.MOVED:
                        break
                    picture = after(picture, event, timezone.now())
                    sequence = event.sequence
                    if event.kind is EventKind.STEP and (sequence or 0) <= last_seen:
                        continue
                    if event.kind is EventKind.PROGRESS and loop.time() - shown_at < SHORTEST_PAUSE:
                        held = True
                        continue
                shown_at, held = loop.time(), False
                yield message("fragment", {"id": "job", "html": fragment(job, picture, language)}, sequence)
                if picture.outcome is not None:
                    yield message("ended")
                    return
    except Unavailable as error:
        _log.info("base's service went away under a stream: %s", error.message)
    yield message("moved")


def fragment(job: Job, picture: Picture, language: str) -> str:
    """The part of the page that changes, as HTML."""
    with override(language):  # that of the request is gone by the time the stream is written
        return loader.render_to_string("appliance/job_progress.html", _shown(job, picture))


def _shown(job: Job, picture: Picture) -> dict[str, object]:
    return {"job": job, "picture": picture, "rows": rows(picture, timezone.now())}


class Watch:
    """The events of a job from the first on, one at a time; MOVED when they break off or this process is to go."""

    def __init__(self, job: str) -> None:
        self._control = appliance_control()
        self._events = cast("AsyncGenerator[InstallEvent, None]", self._control.events(job))
        self._moving: asyncio.Future[Any] = asyncio.ensure_future(LIVE.moving.wait())
        self._following: asyncio.Future[InstallEvent] | None = None

    async def next(self, seconds: float) -> InstallEvent | None:
        """The next event, or None when none has come for so long. Raises Unavailable when base goes away."""
        self._following = self._following or asyncio.ensure_future(anext(self._events))
        waited: set[asyncio.Future[Any]] = {self._following, self._moving}
        done, _ = await asyncio.wait(waited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if self._following in done:
            following, self._following = self._following, None
            try:
                return following.result()
            except StopAsyncIteration:
                return _MOVED
        return _MOVED if done else None

    async def __aenter__(self) -> Self:
        LIVE.open += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        LIVE.open -= 1
        for task in (self._moving, self._following):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration, StaffettaError):
                    await task
        await self._events.aclose()
        self._control.close()


async def _picture_of(job: Job) -> Picture:
    """The picture up to the step the job is at; what comes later, the stream tells."""
    picture = Picture()
    with appliance_control() as appliance, contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CATCH_UP_SECONDS):
            events = cast("AsyncGenerator[InstallEvent, None]", appliance.events(job.id))
            async with contextlib.aclosing(events):
                async for event in events:
                    picture = after(picture, event, timezone.now())
                    arrived = event.kind is EventKind.STEP and event.step == job.step and not job.state.ended
                    if arrived or event.kind in (EventKind.ENDED, EventKind.MOVED):
                        break
    if picture.outcome is None and job.bytes_done is not None:
        progress = InstallEvent(None, EventKind.PROGRESS, job.step, "", job.bytes_done, job.bytes_total)
        picture = after(picture, progress, timezone.now())
    return picture


def _job(job: str) -> Job:
    with appliance_control() as appliance:
        return appliance.job(job)


def _last_seen(request: HttpRequest) -> int:
    """The newest of the id the browser sends by itself and the one the page's script asks from."""
    given = (request.headers.get("Last-Event-ID", ""), request.GET.get("after", ""))
    return max((int(text) for text in given if text.isascii() and text.isdigit()), default=0)
