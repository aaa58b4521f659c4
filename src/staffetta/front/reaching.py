"""Reaching a door on its private Unix socket, TLS included: how a generation in standby tries its own public face."""

import asyncio
import hashlib
import ssl
from pathlib import Path

import aiohttp
from aiohttp.client_exceptions import UnixClientConnectorError
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.tracing import Trace

from staffetta.kernel.errors import Damaged


class OtherCertificate(Damaged):
    """The door showed another certificate than the one expected."""

    code = "other-certificate"


class PrivateDoorConnector(aiohttp.UnixConnector):
    """Connects an aiohttp client to a door's private socket; whatever host the address names, this door is asked.

    The certificate is checked by its hash, since no authority need have issued it: ``sha256`` of the leaf, hex.
    """

    def __init__(self, path: Path, sha256: str) -> None:
        super().__init__(path=str(path), limit=0)
        self._sha256 = sha256
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> ResponseHandler:
        """aiohttp's own connector for Unix sockets speaks no TLS; this is its method, with TLS."""
        try:
            async with asyncio.timeout(timeout.sock_connect):
                transport, protocol = await self._loop.create_unix_connection(
                    self._factory, self.path, ssl=self._tls, server_hostname="localhost"
                )
        except OSError as error:
            raise UnixClientConnectorError(self.path, req.connection_key, error) from error
        secured: ssl.SSLObject = transport.get_extra_info("ssl_object")
        leaf = secured.getpeercert(binary_form=True) or b""
        if hashlib.sha256(leaf).hexdigest() != self._sha256:
            transport.abort()
            raise OtherCertificate(f"The door at {self.path} shows another certificate than this process has read.")
        return protocol
