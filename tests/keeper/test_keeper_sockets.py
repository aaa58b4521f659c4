"""Listening sockets: kinds, the queue that survives a hand-over, and steering between two holders of one address."""

import socket
from pathlib import Path

import pytest

from staffetta.keeper import Refusal
from staffetta.keeper.config import SocketSpec
from staffetta.keeper.sockets import PER_PROCESS, ListeningSockets
from staffetta.lab.ports import free_port


def spec(name: str = "site", port: int | None = None, **more: object) -> SocketSpec:
    return SocketSpec(name, "site", "gateway", "127.0.0.1", port or free_port(), **more)


@pytest.fixture
def listening():
    made: list[ListeningSockets] = []

    def make() -> ListeningSockets:
        made.append(ListeningSockets())
        return made[-1]

    yield make
    for one in made:
        one.close_all()


def accepted(holder: ListeningSockets) -> int:
    (_, sock), count = holder.for_process("site", "gateway")[0], 0
    while True:
        try:
            sock.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def connect(port: int, count: int) -> None:
    lines = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(count)]
    for line in lines:
        line.close()


@pytest.mark.parametrize(("share", "least", "most"), [(0, 0, 0), (100, 100, 100), (50, 25, 75)])
def test_steering_decides_who_gets_new_connections(listening, share: int, least: int, most: int) -> None:
    first, second, where = listening(), listening(), spec(reuse_port=True)
    first.open(where)
    first.steer("site", 0)  # before the other joins: nothing is lost to it
    second.open(where)
    connect(where.port, 20)
    assert (accepted(first), accepted(second)) == (20, 0)
    second.steer("site", share)
    connect(where.port, 100)
    got = accepted(second)
    assert least <= got <= most
    assert accepted(first) == 100 - got


def test_the_one_that_is_left_gets_everything(listening) -> None:
    first, second, where = listening(), listening(), spec(reuse_port=True)
    first.open(where)
    second.open(where)
    second.steer("site", 100)
    first.close("site")
    connect(where.port, 50)
    assert accepted(second) == 50


def test_without_reuse_port_there_is_nothing_to_steer(listening) -> None:
    holder = listening()
    holder.open(spec())
    with pytest.raises(Refusal, match="reuse_port"):
        holder.steer("site", 10)
    with pytest.raises(Refusal, match="No socket"):
        holder.steer("other", 10)


def test_a_stale_unix_socket_is_replaced_and_gets_its_mode(listening, tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    holder = listening()
    holder.open(SocketSpec("control", "base", "service", str(path), None, mode=0o620))
    assert path.stat().st_mode & 0o777 == 0o620
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(path))
    holder.close("control")
    assert not path.exists()


def test_no_more_sockets_than_a_message_can_carry(listening, tmp_path: Path) -> None:
    holder = listening()
    for number in range(PER_PROCESS):
        path = str(tmp_path / f"{number}.sock")
        holder.open(SocketSpec(f"s{number}", "site", "gateway", path, None))
    with pytest.raises(Refusal, match="sockets already"):
        holder.open(spec("one-more"))
