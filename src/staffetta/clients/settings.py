"""What the owner of a computer may set for the client on it: the section ``[clients]`` of ``settings.toml``."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class ClientSettings:
    """Defaults of every client.

    ``shell``: the program a session starts, with arguments; empty means the user's own ($SHELL, else the login
    shell). ``term``: TERM when the console names none. ``dial_seconds``: longest wait for one address.
    ``update_hours``: how often the update question is asked besides at start and after a move (C4: at least every
    24 h). ``sessions``: shells at once. ``environment``: further variables of the client that a shell may see.
    ``download_seconds``: the longest that fetching one new version may take; what was fetched is kept, the next try
    goes on from there. ``prove_seconds``: how soon a new version must have reached the site, else the client goes back.

    Of a passive client: ``check_in_hours``: the longest between two check-ins (24 at most: C4). ``linger_seconds``: how
    long it stays connected when there is nothing more to do. ``wake_port``: the TCP port on which it waits for the site
    to wake it; 0 for none, then sessions begin when it checks in.
    """

    shell: tuple[str, ...] = ()
    term: str = "xterm-256color"
    dial_seconds: float = 4.0
    update_hours: float = 24.0
    sessions: int = 32
    environment: tuple[str, ...] = ()
    download_seconds: float = 600.0
    prove_seconds: float = 120.0
    check_in_hours: float = 24.0
    linger_seconds: float = 15.0
    wake_port: int = 5832
