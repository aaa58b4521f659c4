"""Who may reach a view: every view says so with one of three decorators, and a test finds those that do not.

- `@public`: anybody (sign-in, static files)
- `@signed_in`: anybody who has signed in
- `@needs("app.permission")`: who has signed in and holds the permission

`@before_password_change`, in addition: reachable while the password must still be changed (H3).
The decorators work on sync and async functions and, by `method_decorator` or in `urls.py`, on `View.as_view()`.
Somebody not signed in is led to the sign-in page when reading a page; anything else is refused with 401.
"""

import functools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, Final, TypeVar, cast
from urllib.parse import urlencode

from asgiref.sync import iscoroutinefunction
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import URLPattern, URLResolver, reverse
from django.utils.translation import gettext as _

View = TypeVar("View", bound=Callable[..., Any])

_MARK: Final = "staffetta_access"
_BEFORE_CHANGE: Final = "staffetta_before_password_change"
SIGN_IN_URL_NAME: Final = "signin:sign-in"


@dataclass(frozen=True, slots=True)
class Access:
    """What a view asks of the person: nothing (`public`), to be signed in, or that and a permission."""

    public: bool
    permission: str | None = None


def public(view: View) -> View:
    """Anybody may reach this view."""
    return _marked(view, Access(public=True))


def signed_in(view: View) -> View:
    """Anybody who has signed in may reach this view."""
    return _guarded(view, Access(public=False))


def needs(permission: str) -> Callable[[View], View]:
    """Only who holds `permission` (as `app_label.codename`) may reach this view; others are told so (403)."""

    def decorate(view: View) -> View:
        return _guarded(view, Access(public=False, permission=permission))

    return decorate


def before_password_change(view: View) -> View:
    """This view may be reached while the password must still be changed. Goes above the access decorator."""
    setattr(view, _BEFORE_CHANGE, True)
    return view


def access_of(view: object) -> Access | None:
    """What a view asks, or None if it does not say."""
    return cast("Access | None", getattr(view, _MARK, None))


def may_precede_password_change(view: object) -> bool:
    """Whether a view is reachable while the password must still be changed: public ones and those that say so."""
    access = access_of(view)
    return bool(getattr(view, _BEFORE_CHANGE, False)) or (access is not None and access.public)


def views_without_access(urlconf: str | ModuleType) -> list[str]:
    """The routes of a URLconf whose view carries no access decorator, each as `route → view`. Empty is right."""
    module = import_module(urlconf) if isinstance(urlconf, str) else urlconf
    return [
        f"{route} → {_name_of(view)}" for route, view in routed_views(module.urlpatterns) if access_of(view) is None
    ]


def routed_views(patterns: list[URLPattern | URLResolver], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Every route below `patterns` with its view, included URLconfs too."""
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routed_views(pattern.url_patterns, route)
        else:
            yield route, pattern.callback


def _name_of(view: object) -> str:
    return f"{getattr(view, '__module__', '?')}.{getattr(view, '__qualname__', view)}"


def _marked(view: View, access: Access) -> View:
    setattr(view, _MARK, access)
    return view


def _guarded(view: View, access: Access) -> View:
    """Wrap a view by the check, so that the decorator alone protects it, whatever middleware a face has."""
    if iscoroutinefunction(view):
        coroutine = cast("Callable[..., Awaitable[HttpResponseBase]]", view)

        @functools.wraps(view)
        async def guarded_async(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            user = await request.auser()
            if not user.is_authenticated:
                return ask_to_sign_in(request)
            if access.permission is not None and not await user.ahas_perm(access.permission):
                raise PermissionDenied(access.permission)
            return await coroutine(request, *args, **kwargs)

        return cast("View", _marked(guarded_async, access))

    @functools.wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        user = request.user
        if isinstance(user, AnonymousUser) or not user.is_authenticated:
            return ask_to_sign_in(request)
        if access.permission is not None and not user.has_perm(access.permission):
            raise PermissionDenied(access.permission)
        return cast("HttpResponseBase", view(request, *args, **kwargs))

    return cast("View", _marked(guarded, access))


def ask_to_sign_in(request: HttpRequest) -> HttpResponse:
    """Lead a reader of pages to the sign-in page and back afterwards; refuse anything else with 401."""
    return lead_to(request, SIGN_IN_URL_NAME, _("Sign in first."), status=401)


def lead_to(request: HttpRequest, url_name: str, refusal: str, status: int) -> HttpResponse:
    """Redirect a page request to the named view (with `next`); answer others with `refusal` and `status`."""
    target = reverse(url_name)
    if request.method not in ("GET", "HEAD"):
        # What was sent is not kept over a sign-in; a form in a page goes to the sign-in page all the same.
        if "text/html" in request.headers.get("Accept", ""):
            return HttpResponseRedirect(target)
        return HttpResponse(refusal, status=status, content_type="text/plain; charset=utf-8")
    if request.headers.get("HX-Request") == "true":
        return HttpResponse(status=204, headers={"HX-Redirect": target})
    if "text/event-stream" in request.headers.get("Accept", ""):
        return HttpResponse(refusal, status=status, content_type="text/plain; charset=utf-8")
    return HttpResponseRedirect(f"{target}?{urlencode({'next': request.get_full_path()})}")
