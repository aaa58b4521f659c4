"""Large answers without large memory: a stored file, or pieces made one after the other, sent as they are read.

Django under ASGI would read a plain iterator to its end before sending the first byte; these are async iterators that
do the reading in a thread.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from django.http import StreamingHttpResponse
from django.utils.http import content_disposition_header

PIECE: Final = 256 * 1024


def stored_file(path: Path, name: str, content_type: str = "application/octet-stream") -> StreamingHttpResponse:
    """Answer with a file for saving under ``name``. The file is open when this returns: removing it does no harm."""
    file = path.open("rb")
    size = path.stat().st_size
    answer = _download(_reading(file), name, content_type)
    answer.headers["Content-Length"] = str(size)
    return answer


def pieces(made: Iterator[bytes], name: str, content_type: str) -> StreamingHttpResponse:
    """Answer with bytes that ``made`` yields, for saving under ``name``."""
    return _download(_one_by_one(made), name, content_type)


def made_now(made: Iterable[bytes], name: str, content_type: str) -> StreamingHttpResponse:
    """Answer with bytes that are all made before this returns (they come from the database), kept on the disk."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 -- closed, and so removed, when the answer is
    for piece in made:
        file.write(piece)
    size = file.tell()
    file.seek(0)
    answer = _download(_reading(file), name, content_type)
    answer.headers["Content-Length"] = str(size)
    return answer


def _download(body: AsyncIterator[bytes], name: str, content_type: str) -> StreamingHttpResponse:
    answer = StreamingHttpResponse(body, content_type=content_type)
    answer.headers["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
    # What somebody stored is never shown as a page of this site.
    answer.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return answer


async def _reading(file: BinaryIO) -> AsyncIterator[bytes]:
    try:
        while piece := await asyncio.to_thread(file.read, PIECE):
            yield piece
    finally:
        file.close()


async def _one_by_one(made: Iterator[bytes]) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(_gathered, made):
        yield piece


def _gathered(made: Iterator[bytes]) -> bytes:
    """The next pieces together, of about ``PIECE`` bytes; empty at the end."""
    found = bytearray()
    for piece in made:
        found += piece
        if len(found) >= PIECE:
            break
    return bytes(found)
