"""Keeper: holds every listening socket and starts, switches and reaps the generations of base and site.

Keeper runs as root and is never updated by itself, so it imports the standard library only, parses nothing that
comes from the network, and is meant to be read whole. Order to read in: `config` (what it is told), `states`,
`actions` and `generations` (what may happen, pure), `verbs` (what may be asked), `sockets`, `processes`, `privileged`
(what it does to the machine), `loop` (waiting), `children` (what runs), `serving` (keeper itself).
"""

VERSION = "1"


class Refusal(Exception):
    """Something asked of keeper is not done: a code for programs, a sentence for people. Nothing was changed."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
