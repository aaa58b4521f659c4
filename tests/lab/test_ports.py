"""The ports of a world: none is given twice, none is taken, none that a connection could take."""

import itertools
import socket

import pytest

from staffetta.lab import ports


def test_ports_that_nobody_has_opened_yet_are_not_given_again() -> None:
    given = [ports.free_port() for _ in range(50)]
    assert len(set(given)) == len(given)


def test_none_is_given_that_an_outgoing_connection_could_take_first() -> None:
    assert {*ports.outside(32_768, 60_999)} == {*range(10_000, 32_768), *range(61_000, 65_536)}
    assert len(ports.outside(1_024, 65_535)) == 55_536, "where any could, any is given"


def test_a_port_that_is_taken_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    free = ports.free_port()
    with socket.create_server(("127.0.0.1", 0)) as held:
        monkeypatch.setattr(ports, "_turn", itertools.chain([held.getsockname()[1], free]))
        assert ports.free_port() == free
    monkeypatch.setattr(ports, "_turn", iter(()))
    with pytest.raises(OSError, match="no TCP port is free"):
        ports.free_port()
