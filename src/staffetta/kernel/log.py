"""Structured logs: one JSON object a line on standard error, with the id of the job, session or connection."""

import contextlib
import contextvars
import json
import logging
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

_bound: contextvars.ContextVar[dict[str, Any]] = contextvars.ContextVar("staffetta_log_ids")
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object: at, level, program, logger, message, bound ids, and ``extra`` fields."""

    def __init__(self, fixed: dict[str, Any]) -> None:
        super().__init__()
        self._fixed = fixed

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its newline."""
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            **self._fixed,
            "logger": record.name,
            "message": record.getMessage(),
            **_bound.get({}),
        }
        line.update({key: value for key, value in vars(record).items() if key not in _STANDARD})
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(program: str, level: int = logging.INFO, **fixed: Any) -> None:
    """Send every log record of this process to standard error as JSON lines that name ``program`` and ``fixed``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter({"program": program, **fixed}))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


def get_logger(name: str) -> logging.Logger:
    """Return the logger of a module."""
    return logging.getLogger(name)


@contextlib.contextmanager
def bound(**ids: Any) -> Iterator[None]:
    """Add ids (job, session, connection …) to every line logged inside this context."""
    token = _bound.set({**_bound.get({}), **ids})
    try:
        yield
    finally:
        _bound.reset(token)
