"""What data-sync and the pair job need of the other appliance: ask, tell, read bytes; `link` gives the real one."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol


class Peer(Protocol):
    """The other appliance, proven. Every call raises ``PeerUnreachable`` or ``PeerRefused``.

    Paths are below ``/pair/v1/``, without a leading slash.
    """

    @property
    def origin(self) -> str:
        """The peer's origin: the id under which it writes records."""
        ...

    def get(self, path: str, parameters: Mapping[str, str] | None = None) -> dict[str, Any]:
        """GET; the answer is a JSON object."""
        ...

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST a JSON object; the answer is a JSON object."""
        ...

    def stream(self, path: str, start: int) -> Iterator[bytes]:
        """The bytes of a resource from offset ``start`` on."""
        ...
