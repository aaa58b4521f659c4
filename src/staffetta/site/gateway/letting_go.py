"""A backup keeps no connection of those who came by what the two appliances share: their next one finds the primary.

A browser keeps its connection for as long as it asks, and so would go on asking the appliance that was the primary. Who
came by this appliance's own address stays.
"""

from typing import Final

from aiohttp import web

from staffetta.site.gateway.signing import Signer
from staffetta.wire.pair import without_usual_port

AGAIN_SECONDS: Final = 1
"""A page that is not for a backup is asked for again after so long, by the browser itself."""


class LettingGo:
    """Ends the connections of a backup with their next answer; an ``on_response_prepare`` handler."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    async def __call__(self, request: web.Request, response: web.StreamResponse) -> None:
        """Say in an answer that it is the connection's last, where the primary is elsewhere."""
        pair = self._signer.standing.pair
        if self._signer.serves or pair is None or response.status == 101:
            return
        if without_usual_port(request.host) == without_usual_port(pair.own):
            return
        response.force_close()
        response.headers["Connection"] = "close"
        if response.status == 409 and request.method == "GET":
            response.headers["Refresh"] = str(AGAIN_SECONDS)
