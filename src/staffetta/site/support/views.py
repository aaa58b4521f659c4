"""Pages of reports: Reports > Sessions, a session's story and its recording, and the same for programs."""

from typing import Final

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from staffetta.site.accounts.permissions import Allowed
from staffetta.site.data import sending
from staffetta.site.support import exports, playback, stories
from staffetta.site.support.forms import WantedForm
from staffetta.ui.headers import POLICY_WITH_WEBASSEMBLY
from staffetta.ui.signin.access import needs

PAGE: Final = 50


@needs(Allowed.VIEW_REPORTS.full)
@require_safe
def sessions(request: HttpRequest) -> HttpResponse:
    """The sessions that the address asks for, newest first."""
    form = WantedForm(request.GET)
    wanted = form.wanted() if form.is_valid() else None
    # One more question for how many there are: none when the fields cannot be read.
    page = Paginator(range(stories.count_sessions(wanted) if wanted else 0), PAGE).get_page(request.GET.get("page"))
    rows = stories.list_sessions(wanted, offset=max(0, page.start_index() - 1), limit=PAGE) if wanted else ()
    shown = {"rows": rows, "page": page, "form": form, "query": wanted.query if wanted else ""}
    return render(request, "support/sessions.html", shown)


@needs(Allowed.VIEW_REPORTS.full)
@require_safe
def session(request: HttpRequest, session_id: str) -> HttpResponse:
    """One session's story, and its recording to play."""
    told = stories.story(session_id)
    absent = playback.count_absent(session_id) if told.summary.segments else 0
    answer = render(request, "support/session.html", {"story": told, "absent": absent})
    if told.summary.segments:
        # The player's terminal is WebAssembly; no other page may compile any.
        answer.headers["Content-Security-Policy"] = POLICY_WITH_WEBASSEMBLY
    return answer


@needs(Allowed.VIEW_REPORTS.full)
@require_safe
def sessions_json(request: HttpRequest) -> HttpResponseBase:
    """The same sessions with their stories, for programs."""
    found = stories.list_stories(WantedForm(request.GET).wanted())
    return sending.made_now(exports.json_pieces(found), "sessions.json", "application/json")


@needs(Allowed.VIEW_REPORTS.full)
@require_safe
def session_json(request: HttpRequest, session_id: str) -> HttpResponse:
    """One session with its story, for programs."""
    return JsonResponse(exports.story_json(stories.story(session_id)))


@needs(Allowed.VIEW_REPORTS.full)
@require_safe
def sessions_csv(request: HttpRequest) -> HttpResponseBase:
    """The list for a spreadsheet."""
    found = stories.each_session(WantedForm(request.GET).wanted())
    return sending.made_now(exports.csv_pieces(found), "sessions.csv", "text/csv; charset=utf-8")


@needs(Allowed.VIEW_REPORTS.full)
@require_safe
def recording(request: HttpRequest, session_id: str) -> HttpResponseBase:
    """The recording, its segments joined, as asciicast v2."""
    lines = playback.asciicast_lines(session_id)
    return sending.pieces(lines, f"{session_id}.cast", "application/x-asciicast")
