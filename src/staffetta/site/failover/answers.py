"""What the peer may ask of this appliance: one explicit table from method and path to the function that answers.

The gateway has proven the asker before it looks here, and runs the function in a database thread.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from staffetta.kernel.clock import utc_now


@dataclass(frozen=True, slots=True)
class Asked:
    """A proven request of the peer: ``origin`` is the peer's, ``rest`` the part of the path after the entry's own.

    ``leaf`` is the SHA-256 of the certificate that this connection shows, ``at`` when the request came. For an entry in
    ``OPEN`` nobody is proven, and ``origin`` is empty.
    """

    origin: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    rest: str = ""
    leaf: bytes = b""
    at: datetime = field(default_factory=utc_now)


Answer = Callable[[Asked], dict[str, Any] | Path]
"""Answers with a JSON object, or with a file to be sent (in ranges if asked)."""

ANSWERS: Final[dict[tuple[str, str], Answer]] = {}
"""(method, path below /pair/v1/) to its answer; a path that ends in "/" takes a rest."""

OPEN: Final = frozenset({("GET", "hello"), ("POST", "establish/begin"), ("POST", "establish/finish")})
"""What is asked before the asker can be proven; each of these proves what it needs by itself."""

PICTURE_PARTS: Final[dict[str, Callable[[], Any]]] = {}
"""Further parts of ``GET picture`` by name: what another part of this room has to say of itself, as JSON."""
