"""What the peer may ask of this appliance: one explicit table from method and path to the function that answers.

The gateway has proven the asker before it looks here, and runs the function in a database thread.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Asked:
    """A proven request of the peer: ``origin`` is the peer's, ``rest`` the part of the path after the entry's own."""

    origin: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    rest: str = ""


Answer = Callable[[Asked], dict[str, Any] | Path]
"""Answers with a JSON object, or with a file to be sent (in ranges if asked)."""

ANSWERS: Final[dict[tuple[str, str], Answer]] = {}
"""(method, path below /pair/v1/) to its answer; a path that ends in "/" takes a rest."""
