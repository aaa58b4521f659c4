"""Where signed metadata and packages come from: an update server, or a bundle on a medium. Believes neither."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

import urllib3
from tuf.api.exceptions import DownloadError, DownloadHTTPError, SlowRetrievalError
from tuf.ngclient.fetcher import FetcherInterface

from staffetta.packages import PackageInfo
from staffetta.packages.bundle import METADATA_FOLDER, TARGETS_FOLDER, BundleIndex, Range, hashed_name, read_index

PIECE: Final = 1 << 17
SOCKET_SECONDS: Final = 30.0

Fetcher = FetcherInterface


class Source(Protocol):
    """A place that holds a TUF repository."""

    name: str  # in a sentence: "the update server at …", "the bundle …"
    metadata_url: str
    targets_url: str
    fetcher: Fetcher
    offline: bool

    def holds(self, info: PackageInfo) -> bool:
        """Whether the package's file can be had here."""


class HttpSource:
    """An update server. ``seconds`` is the longest silence that is waited for."""

    offline = False

    def __init__(self, url: str, seconds: float = SOCKET_SECONDS) -> None:
        base = url.rstrip("/")
        self.name = f"the update server at {base}"
        self.metadata_url = f"{base}/{METADATA_FOLDER}"
        self.targets_url = f"{base}/{TARGETS_FOLDER}"
        self.fetcher: Fetcher = _HttpFetcher(seconds)

    def holds(self, info: PackageInfo) -> bool:
        """A server holds all it has signed; that it does shows when it is asked."""
        return True


class BundleSource:
    """A bundle file, read in place: nothing of it is unpacked before it is verified."""

    offline = True
    metadata_url = f"bundle:{METADATA_FOLDER}"
    targets_url = f"bundle:{TARGETS_FOLDER}"

    def __init__(self, path: Path) -> None:
        self.name = f"the bundle {path.name}"
        with path.open("rb") as stream:
            self.index = read_index(stream)
        self.fetcher: Fetcher = _BundleFetcher(path, self.index)

    def holds(self, info: PackageInfo) -> bool:
        """Whether the bundle carries the package's file; its metadata may name more."""
        return hashed_name(info.target, info.sha256) in self.index.targets

    def place(self, info: PackageInfo) -> int:
        """Return where in the bundle's order the package stands."""
        return list(self.index.targets).index(hashed_name(info.target, info.sha256))


class _HttpFetcher(FetcherInterface):
    def __init__(self, seconds: float) -> None:
        self._pool = urllib3.PoolManager(timeout=urllib3.Timeout(seconds), retries=urllib3.Retry(2, backoff_factor=0.2))

    def _fetch(self, url: str) -> Iterator[bytes]:
        # Unpacked by nobody on the way: what is signed is what the server stores.
        headers = {"Accept-Encoding": "identity"}
        try:
            response = self._pool.request("GET", url, headers=headers, preload_content=False)
        except urllib3.exceptions.MaxRetryError as error:
            if isinstance(error.reason, urllib3.exceptions.TimeoutError):
                raise SlowRetrievalError(f"nothing came from {url}") from error
            raise
        if response.status != 200:
            response.close()
            raise DownloadHTTPError(f"answered with the status {response.status}", response.status)
        return _pieces(response, url)


def _pieces(response: urllib3.BaseHTTPResponse, url: str) -> Iterator[bytes]:
    try:
        yield from response.stream(PIECE, decode_content=False)
    except urllib3.exceptions.TimeoutError as error:
        raise SlowRetrievalError(f"{url} fell silent") from error
    except urllib3.exceptions.HTTPError as error:
        raise DownloadError(f"{url} broke off: {error}") from error
    finally:
        # Left early (too much data), the rest is not read: the connection cannot be used again.
        response.close()


class _BundleFetcher(FetcherInterface):
    def __init__(self, path: Path, index: BundleIndex) -> None:
        self._path = path
        self._index = index

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.removeprefix("bundle:")
        if name.startswith(METADATA_FOLDER):
            data = self._index.metadata.get(name.removeprefix(METADATA_FOLDER))
            if data is not None:
                return iter((data,))
        place = self._index.targets.get(name.removeprefix(TARGETS_FOLDER))
        if place is None:
            raise DownloadHTTPError(f"the bundle has no {name}", 404)
        return self._read(place)

    def _read(self, place: Range) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            file.seek(place.offset)
            left = place.size
            while left and (piece := file.read(min(PIECE, left))):
                left -= len(piece)
                yield piece
