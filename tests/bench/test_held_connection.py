"""A held connection notes when it is cut and when a new one is accepted, its TLS handshake done."""

import socket
import ssl
import threading
import time
from pathlib import Path

import pytest
from bench.held import HeldConnection

from staffetta.front.certificates import make_self_signed
from staffetta.kernel.errors import Unavailable


def test_the_cut_and_the_wait_for_a_new_one_are_noticed(tmp_path: Path) -> None:
    pem = tmp_path / "server.pem"
    pem.write_bytes(make_self_signed(["localhost"], ["127.0.0.1"], 1))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)
    port = listener.getsockname()[1]
    accepted: list[ssl.SSLSocket] = []

    def serve() -> None:
        accepted.append(context.wrap_socket(listener.accept()[0], server_side=True))

    first = threading.Thread(target=serve)
    first.start()
    with HeldConnection("127.0.0.1", port, pem) as held:
        first.join()
        assert held.ended is None
        with pytest.raises(Unavailable):
            held.wait(0.3)
        cut = time.monotonic()
        accepted[0].close()
        while held.ended is None:
            assert time.monotonic() < cut + 10, "the cut was not noticed"
            time.sleep(0.01)
        time.sleep(0.4)  # the new connection waits in the kernel's queue: it is not accepted yet
        assert held.accepted is None
        serve()
        ended, renewed = held.wait(10)
    listener.close()
    assert ended >= cut - 0.05
    assert renewed - ended >= 0.35
