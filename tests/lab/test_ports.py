"""The ports of a world: none is given twice, none is taken, none that a connection could take."""

import itertools
import socket
from pathlib import Path

import pytest

from staffetta.lab import ports

EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_ports_that_nobody_has_opened_yet_are_not_given_again() -> None:
    given = [ports.free_port() for _ in range(500)]
    assert len(set(given)) == len(given)
    assert max(given) < int(EPHEMERAL.read_text().split()[0]), "an outgoing connection could take it first"


def test_a_port_that_is_taken_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    free = ports.free_port()
    with socket.create_server(("127.0.0.1", 0)) as held:
        monkeypatch.setattr(ports, "_turn", itertools.chain([held.getsockname()[1], free]))
        assert ports.free_port() == free
    monkeypatch.setattr(ports, "_turn", iter(()))
    with pytest.raises(OSError, match="no TCP port is free"):
        ports.free_port()
