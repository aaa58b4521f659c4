"""An uploaded file goes straight into the blob folder while it arrives: hashed on the way, never whole in memory."""

from typing import Any, Final

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.utils.translation import gettext as _

from staffetta.site.data.blobs import BlobWriter
from staffetta.site.management.errors import BadUpload

CHUNK: Final = 256 * 1024


class UploadedBlob(UploadedFile):
    """What a form field of type file holds afterwards: the name that was sent and the writer that has the bytes."""

    def __init__(self, name: str, writer: BlobWriter) -> None:
        super().__init__(name=name, size=writer.size)
        self.writer = writer

    def close(self) -> None:
        """Forget what was not stored; Django does this at the end of the request."""
        self.writer.drop()


class BlobUploadHandler(FileUploadHandler):
    """Takes the one file of a form; ``drop`` forgets what is not stored, whatever went wrong."""

    chunk_size = CHUNK

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._writer: BlobWriter | None = None

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """Begin a file. Raises ``BadUpload`` for a second one in the same form."""
        super().new_file(*args, **kwargs)
        if self._writer is not None:
            raise BadUpload(_("One file at a time, please."))
        self._writer = BlobWriter()

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        """Write what has come."""
        assert self._writer is not None
        self._writer.write(raw_data)

    def file_complete(self, file_size: int) -> UploadedBlob:
        """Hand the finished file to the form."""
        assert self._writer is not None
        return UploadedBlob(self.file_name or "", self._writer)

    def upload_interrupted(self) -> None:
        """Forget what has come."""
        self.drop()

    def drop(self) -> None:
        """Forget what was not stored."""
        if self._writer is not None:
            self._writer.drop()
