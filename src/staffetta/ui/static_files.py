"""Static files, served from memory: an address that carries the content's hash may be kept for ever.

`{% asset "ui/own.css" %}` makes such an address (`…?v=<hash>`). An address with another hash, or none, is answered
with the present content and must be asked again: in an update, an older page never pins a newer file.
"""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from django.contrib.staticfiles import finders
from django.core.exceptions import SuspiciousFileOperation
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotModified
from django.urls import reverse
from django.views.decorators.http import require_safe

from staffetta.ui.signin.access import public

FOREVER: Final = "public, max-age=31536000, immutable"
ASK_AGAIN: Final = "no-cache"
_COMPRESSIBLE: Final = frozenset({"text/css", "text/javascript", "image/svg+xml", "text/plain", "application/json"})
_TYPES: Final = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A static file in memory: its bytes, the same packed by gzip (None if that gains nothing), type and hash."""

    content: bytes
    packed: bytes | None
    content_type: str
    version: str


@lru_cache(maxsize=512)
def asset(path: str) -> Asset:
    """Load a static file by its path below an application's `static` folder. Raises Http404 if there is none."""
    try:
        found = finders.find(path)
    except SuspiciousFileOperation:  # a path that leads out of the folder
        raise Http404(path) from None
    if not isinstance(found, str) or not Path(found).is_file():
        raise Http404(path)
    content = Path(found).read_bytes()
    suffix = Path(found).suffix
    content_type = _TYPES.get(suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream"
    packed = gzip.compress(content, 9, mtime=0) if content_type in _COMPRESSIBLE else None
    return Asset(
        content=content,
        packed=packed if packed is not None and len(packed) < len(content) else None,
        content_type=content_type,
        version=hashlib.sha256(content).hexdigest()[:16],
    )


def asset_url(path: str) -> str:
    """The address of a static file, with its hash."""
    return f"{reverse('static', args=[path])}?v={asset(path).version}"


@public
@require_safe
def static_file(request: HttpRequest, path: str) -> HttpResponse:
    """Answer with a static file."""
    one = asset(path)
    etag = f'"{one.version}"'
    headers = {
        "ETag": etag,
        "Vary": "Accept-Encoding",
        "Cache-Control": FOREVER if request.GET.get("v") == one.version else ASK_AGAIN,
    }
    if request.headers.get("If-None-Match") == etag:
        return HttpResponseNotModified(headers=headers)
    content = one.content
    if one.packed is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
        content = one.packed
        headers["Content-Encoding"] = "gzip"
    content_type = one.content_type
    if content_type.startswith("text/"):
        content_type += "; charset=utf-8"
    return HttpResponse(content, content_type=content_type, headers=headers)
