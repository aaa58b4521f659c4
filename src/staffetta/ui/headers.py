"""The two middlewares at the door of a face: strict headers on every answer, and the address of who asks.

The pages hold no inline script or style, so that the policy can forbid both. `data:` images are the small
pictures inside the style sheet (arrows, ticks).
"""

from typing import Final

from django.http import HttpRequest, HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

_POLICY: Final = (
    "default-src 'self'",
    "img-src 'self' data:",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
)
CONTENT_SECURITY_POLICY: Final = "; ".join(_POLICY)
POLICY_WITH_WEBASSEMBLY: Final = "; ".join((*_POLICY, "script-src 'self' 'wasm-unsafe-eval'"))
"""For a page whose own script compiles WebAssembly (the player of recordings): that, and still no eval of script."""
_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",  # for views that say nothing: what an administrator saw stays in no cache
}


class StrictHeaders(MiddlewareMixin):
    """Sets the security headers that Django does not, where the view has not set them."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Add what is missing."""
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response


class AddressFromDoor(MiddlewareMixin):
    """Sets REMOTE_ADDR to the address that this program's own door has put in X-Forwarded-For.

    Pages listen on a unix socket that only the door can open, so the header's last entry is the door's word.
    """

    def process_request(self, request: HttpRequest) -> None:
        """Replace the address, which is unknown on a unix socket."""
        forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
        if forwarded:
            request.META["REMOTE_ADDR"] = forwarded.rpartition(",")[2].strip()
        else:
            request.META.setdefault("REMOTE_ADDR", "")
