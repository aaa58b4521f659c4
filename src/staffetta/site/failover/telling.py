"""Telling the gateways of this site that the role has changed: each looks by itself too, this is only sooner.

Every generation that lives is told, over the private socket in its run directory; one that is gone is no error.
"""

import contextlib
import http.client
import socket
from pathlib import Path
from typing import Final

from django.conf import settings

from staffetta.kernel.log import get_logger

_log = get_logger(__name__)

ROLE_PATH: Final = "/v1/role"
_SECONDS: Final = 2.0


class _OnUnixSocket(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def tell_gateways() -> int:
    """Have every gateway of this site read role, term and relationship anew; return how many were told."""
    paths = settings.STAFFETTA_PATHS
    if paths is None:
        return 0
    return sum(_tell(path) for path in sorted((paths.root / "run").glob("site-*/private.sock")))


def _tell(path: Path) -> bool:
    with contextlib.closing(_OnUnixSocket(path)) as gateway:
        try:
            gateway.request("POST", ROLE_PATH, b"{}", {"Content-Type": "application/json"})
            return gateway.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException) as error:
            _log.debug("a gateway could not be told: %r", error, extra={"generation": path.parent.name})
            return False
