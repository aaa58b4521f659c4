"""A machine in the middle: ends TLS with a certificate of its own and passes everything on, both ways."""

import contextlib
import socket
import ssl
import tempfile
import threading
from pathlib import Path
from typing import Self

from staffetta.front.certificates import make_self_signed


class Between:
    """Listens on ``port``; ``passed`` counts the bytes that went through."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.passed = 0
        self._server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile() as pem:
            Path(pem.name).write_bytes(make_self_signed(["support.example.com"], ["127.0.0.1"], 1))
            self._server.load_cert_chain(pem.name)
        self._client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._client.check_hostname = False
        self._client.verify_mode = ssl.CERT_NONE

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                threading.Thread(target=self._pass, args=(accepted,), daemon=True).start()

    def _pass(self, accepted: socket.socket) -> None:
        with contextlib.suppress(OSError):
            near = self._server.wrap_socket(accepted, server_side=True)
            far = self._client.wrap_socket(socket.create_connection(("127.0.0.1", self._to)))
            near.settimeout(0.02)
            far.settimeout(0.02)
            # One thread for both directions: a TLS socket of Python is not for two at a time.
            while self._step(near, far) and self._step(far, near):
                pass
            near.close()
            far.close()

    def _step(self, source: ssl.SSLSocket, sink: ssl.SSLSocket) -> bool:
        try:
            piece = source.recv(65536)
        except TimeoutError:
            return True
        if piece:
            self.passed += len(piece)
            sink.sendall(piece)
        return bool(piece)
