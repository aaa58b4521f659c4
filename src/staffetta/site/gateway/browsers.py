"""Which pages may open a WebSocket to the gateway: those of the site itself.

A browser names the page's origin in every handshake, and no script can change it (RFC 6455, 10.2); other clients
name none. What an end may is proven by its key all the same: this keeps the scripts of other sites from having a rep's
browser dial.
"""

from collections.abc import Collection
from typing import Final

from aiohttp import web

HTTPS: Final = "https://"
_PORT: Final = ":443"


def check_origin(request: web.Request, addresses: Collection[str]) -> None:
    """Return for a client that names no origin, or that of a page at the address it has dialled, or at another address
    (host:port) of the site's. Raises aiohttp's 403 for any other."""
    origin = request.headers.get("Origin")
    if origin is None:
        return
    own = {_with_port(address) for address in (request.host, *addresses)}
    if not origin.startswith(HTTPS) or _with_port(origin.removeprefix(HTTPS)) not in own:
        raise web.HTTPForbidden(text="Only the site's own pages may connect here.\n")


def _with_port(host: str) -> str:
    host = host.lower()
    return host if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host + _PORT
