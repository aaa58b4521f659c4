"""The systemd unit that runs an installed Jump Client at every boot, as text.

Nothing is shut off in it: a session's shell has the rights of the user that the client runs as, no fewer.
"""

from pathlib import Path
from typing import Final

from staffetta.clients.errors import AccessRevoked, NotSetUp
from staffetta.clients.updating import starting

_UNIT: Final = """\
[Unit]
Description=Staffetta Jump Client
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
ExecStart=:{command}
User={user}
Restart=always
RestartSec=5
# The site struck this client off: to start it again is useless.
RestartPreventExitStatus={revoked}

[Install]
WantedBy=multi-user.target
"""


def unit(root: Path) -> str:
    """Return the unit of the client installed in ``root``, run as the user that owns the folder; systemd.service(5).

    Raises ``NotSetUp`` when no release of the client is installed there.
    """
    root = root.resolve()
    command = starting.command(root)
    if not Path(command[0]).is_file():
        raise NotSetUp(f"No Jump Client is installed in {root}: staffetta jump-client install puts one there.")
    return _UNIT.format(command=" ".join(map(_quoted, command)), user=root.owner(), revoked=AccessRevoked.exit_status)


def _quoted(word: str) -> str:
    """Write a word of a command line so that systemd, told by the colon to replace no variables, takes it as it is."""
    for special, written in (("\\", r"\\"), ('"', r"\""), ("%", "%%")):
        word = word.replace(special, written)
    return f'"{word}"'
