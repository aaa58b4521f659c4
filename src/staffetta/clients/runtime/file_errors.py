"""What can be wrong with a file that is moved: words for programs (those of ``wire.files``), classes for exit statuses.

Sentences do not say on which computer: whoever shows them knows.
"""

import errno
from pathlib import Path
from typing import ClassVar, Final

from staffetta.clients.errors import ClientError
from staffetta.kernel.errors import Conflict, Damaged, InvalidInput, NoSpace, NotFound, Refused
from staffetta.wire.files import Trouble


class FileProblem(ClientError):
    """Base: a transfer did not come to its end.

    ``word`` is what the ends and the site's story call it; ``answer`` what must still be said to the far end; ``far``
    whether it was the far end that said so.
    """

    code: ClassVar[str] = "file-problem"

    def __init__(self, word: str, message: str, answer: bytes | None = None) -> None:
        super().__init__(message)
        self.word = word
        self.answer = answer
        self.far = False


class FileNotThere(FileProblem, NotFound):
    """The file, or the folder to put it into, does not exist."""

    code = "file-not-there"


class FileNotAllowed(FileProblem, Refused):
    """The user that this end runs as may not read or write there."""

    code = "file-not-allowed"


class FileInTheWay(FileProblem, Conflict):
    """There is a file already and nobody said to overwrite it; or too much is under way at once."""

    code = "file-in-the-way"


class FileUnusable(FileProblem, InvalidInput):
    """What was named is no file: a directory, a device, a name that cannot be one."""

    code = "file-unusable"


class FileNoRoom(FileProblem, NoSpace):
    """The disk is full."""

    code = "file-no-room"


class FileDamaged(FileProblem, Damaged):
    """What arrived is not what was sent, or the file changed while it was read. Nothing was stored."""

    code = "file-damaged"


class TransferCancelled(FileProblem, Conflict):
    """Somebody stopped it. The exit status is that of a program ended by Ctrl-C."""

    code = "transfer-cancelled"
    exit_status = 130


_CLASSES: Final[dict[str, type[FileProblem]]] = {
    Trouble.NO_SUCH_FILE: FileNotThere,
    Trouble.NO_SUCH_FOLDER: FileNotThere,
    Trouble.NO_PERMISSION: FileNotAllowed,
    Trouble.ALREADY_THERE: FileInTheWay,
    Trouble.TOO_MANY: FileInTheWay,
    Trouble.IS_A_DIRECTORY: FileUnusable,
    Trouble.NOT_A_FILE: FileUnusable,
    Trouble.BAD_PATH: FileUnusable,
    Trouble.NO_SPACE: FileNoRoom,
    Trouble.BAD_MESSAGE: FileDamaged,
    Trouble.SIZE_DIFFERS: FileDamaged,
    Trouble.HASH_DIFFERS: FileDamaged,
    Trouble.FILE_CHANGED: FileDamaged,
    Trouble.CANCELLED: TransferCancelled,
}

_WORDS: Final[dict[int, Trouble]] = {
    errno.ENOENT: Trouble.NO_SUCH_FILE,
    errno.ENOTDIR: Trouble.NO_SUCH_FOLDER,
    errno.EACCES: Trouble.NO_PERMISSION,
    errno.EPERM: Trouble.NO_PERMISSION,
    errno.EROFS: Trouble.NO_PERMISSION,
    errno.EEXIST: Trouble.ALREADY_THERE,
    errno.EISDIR: Trouble.IS_A_DIRECTORY,
    errno.ENXIO: Trouble.NOT_A_FILE,
    errno.ENODEV: Trouble.NOT_A_FILE,
    errno.ELOOP: Trouble.BAD_PATH,
    errno.ENAMETOOLONG: Trouble.BAD_PATH,
    errno.EINVAL: Trouble.BAD_PATH,
    errno.ENOSPC: Trouble.NO_SPACE,
    errno.EDQUOT: Trouble.NO_SPACE,
    errno.EFBIG: Trouble.NO_SPACE,
}

_SENTENCES: Final[dict[Trouble, str]] = {
    Trouble.NO_SUCH_FILE: "There is no file {path}.",
    Trouble.NO_SUCH_FOLDER: "There is no folder {folder}; make it first, or name another place.",
    Trouble.NO_PERMISSION: "No permission for {path}.",
    Trouble.ALREADY_THERE: "There is a file {path} already; it is replaced only with --overwrite.",
    Trouble.IS_A_DIRECTORY: "{path} is a directory; name the file in it.",
    Trouble.NOT_A_FILE: "{path} is no regular file.",
    Trouble.BAD_PATH: "{path} cannot be the name of a file.",
    Trouble.NO_SPACE: "There is no room for {path} on its disk.",
    Trouble.FILE_CHANGED: "{path} became shorter while it was read; try again.",
}


def problem(word: str, message: str, answer: bytes | None = None) -> FileProblem:
    """Return the error for a word, also for one that only a newer version knows."""
    return _CLASSES.get(word, FileProblem)(word, message, answer)


def far_problem(word: str, reason: str) -> FileProblem:
    """Return the error for what the far end refuses."""
    error = problem(word, reason or word)
    error.far = True
    return error


def problem_at(word: Trouble, path: Path) -> FileProblem:
    """Return the error for a word with its usual sentence."""
    return problem(word, _SENTENCES[word].format(path=path, folder=path.parent))


def problem_of(error: OSError, path: Path) -> FileProblem:
    """Return what an error of the operating system means for a file at ``path``."""
    word = _WORDS.get(error.errno or 0)
    if word is None:
        return problem(Trouble.FAILED, f"{path}: {error.strerror or error}.")
    return problem_at(word, path)
