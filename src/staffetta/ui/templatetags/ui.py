"""Tags and filters of the common templates: addresses of static files, sizes, moments, durations, sentences."""

from datetime import datetime, timedelta

from django import template
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.translation import gettext as _

from staffetta.kernel.sizes import UNITS, in_unit, power_of
from staffetta.ui import formats
from staffetta.ui.sentences import say, say_actor
from staffetta.ui.static_files import asset_url

register = template.Library()
register.simple_tag(asset_url, name="asset")
register.filter("say", say)
register.filter("actor", say_actor)


@register.filter
def size(count: int | None) -> str:
    """A number of bytes for people, in units of 1000: `24.1 MB`, `24,1 MB` in Italian. Nothing for None."""
    if count is None:
        return ""
    power = power_of(count)
    return f"{number_format(in_unit(count, power))} {UNITS[power]}"


@register.filter
def moment(value: datetime | None) -> str:
    """A point in time with its zone, to the second: `2026-11-24 05:48:15 UTC` (U6). A dash for None.

    It is a `time` element, whose text `ui/times.js` turns into the reader's own zone.
    """
    if value is None:
        return "\N{EN DASH}"
    local = timezone.localtime(value)
    text = f"{formats.moment(local)} {local.tzname()}"
    return format_html('<time datetime="{}">{}</time>', local.isoformat(timespec="seconds"), text)


@register.filter
def duration(value: timedelta | float | None) -> str:
    """A length of time for people: `0.4 s`, `12 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`. Nothing for None."""
    if value is None:
        return ""
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if seconds < 10:
        return _("%(seconds)s s") % {"seconds": formats.decimal(max(0.0, seconds))}
    whole = round(seconds)
    if whole < 60:
        return _("%(seconds)d s") % {"seconds": whole}
    if whole < 3600:
        return _("%(minutes)d min %(seconds)d s") % {"minutes": whole // 60, "seconds": whole % 60}
    if whole < 86400:
        return _("%(hours)d h %(minutes)d min") % {"hours": whole // 3600, "minutes": whole % 3600 // 60}
    return _("%(days)d d %(hours)d h") % {"days": whole // 86400, "hours": whole % 86400 // 3600}
