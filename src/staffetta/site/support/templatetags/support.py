"""Words of a session's story: how long a pause was, why an end attached again, and who ended the session."""

from typing import Final

from django import template
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from staffetta.site.support.pauses import Cause
from staffetta.site.support.service import SILENT
from staffetta.site.support.stories import SessionSummary, StoryEvent
from staffetta.ui.sentences import say
from staffetta.ui.templatetags.ui import duration
from staffetta.wire.errors import Problem
from staffetta.wire.files import Trouble
from staffetta.wire.signed import SIGNED_OUT

register = template.Library()

ENDINGS: Final[dict[str, Promise]] = {
    "console": gettext_lazy("by the representative, at the console"),
    "left by the rep": gettext_lazy("by the representative, at the console"),
    "the rep signed out": gettext_lazy("by the representative, who has signed out"),
    SIGNED_OUT: gettext_lazy("by the site: the representative was signed out from another place"),
    "rep-not-allowed": gettext_lazy("by the site: the representative may not start sessions any more"),
    "client-revoked": gettext_lazy("by the site: the Jump Client was revoked"),
    "ended by the console": gettext_lazy("by the representative, at the console"),
    "the console has ended the session": gettext_lazy("by the representative, at the console"),
    "the console's terminal is gone": gettext_lazy("by the console, whose window was closed"),
    "the console got SIGHUP": gettext_lazy("by the console, whose window was closed"),
    "the console got SIGTERM": gettext_lazy("by the console, which was told to stop"),
    "jump-client": gettext_lazy("by the Jump Client"),
    "ended by the jump-client": gettext_lazy("by the Jump Client"),
    "the Jump Client has ended the session": gettext_lazy("by the Jump Client"),
    "exit": gettext_lazy("by the remote shell, which was left"),
    "done": gettext_lazy("by the console, whose file had been moved"),
    "cancelled by the rep": gettext_lazy("by the representative, who cancelled the transfer"),
    "the console failed": gettext_lazy("by the console, which failed; see its log"),
    SILENT: gettext_lazy("by the site: an end had been gone for six minutes"),
    "recording-stopped": gettext_lazy("by the site: there was no room for the recording"),
    "positions-lost": gettext_lazy("by an end that no longer knew what had arrived"),
    "session-unknown": gettext_lazy("by the site, which no longer knew the session"),
    "ended": gettext_lazy("no reason was given"),
}
"""What the ends, the relay and the gateway give as a reason, besides a file's trouble and a broken frame; another
reason is shown as it was given."""

_TROUBLES: Final = frozenset(Trouble)
_PROBLEMS: Final = frozenset(Problem)

CAUSES: Final[dict[Cause, Promise]] = {
    Cause.OTHER_APPLIANCE: gettext_lazy("move to the other appliance"),
    Cause.UPDATE: gettext_lazy("update of the site"),
    Cause.RESTART: gettext_lazy("restart of the site"),
    Cause.NETWORK: gettext_lazy("network"),
    Cause.RENEWED: gettext_lazy("connection renewed"),
}


@register.filter
def pause(milliseconds: int | None) -> str:
    """A pause of an end's connection for people: `none`, `250 ms`, `1.5 s`; a dash when it is not known."""
    if milliseconds is None:
        return "\N{EN DASH}"
    if milliseconds == 0:
        return _("none")
    return _("%(count)d ms") % {"count": milliseconds} if milliseconds < 1000 else duration(milliseconds / 1000)


@register.filter
def cause(event: StoryEvent) -> str:
    """Why an end attached again, with the version it went to where the site was updated."""
    if event.cause is None:
        return ""
    words = str(CAUSES[event.cause])
    if event.cause is Cause.NETWORK and event.end == "console":
        return _("network, or the console was opened again")  # the site notes the same of both
    if event.cause is Cause.UPDATE:
        return _("%(cause)s to %(version)s") % {"cause": words, "version": event.version}
    return words


@register.filter
def ending(summary: SessionSummary) -> str:
    """By whom, or why, a session was ended."""
    return reason(summary.end_reason)


@register.filter
def reason(given: str) -> str:
    """The words for the reason of an end."""
    if known := ENDINGS.get(given):
        return str(known)
    if given in _TROUBLES:
        return _("by the console: the file was not moved (%(outcome)s)") % {"outcome": say(given)}
    if given.partition(":")[0] in _PROBLEMS:
        return _("by an end, to which something was sent that breaks the protocol (%(problem)s)") % {"problem": given}
    return say(given)
