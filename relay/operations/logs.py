"""The head office's log: lines for people, or one JSON object a line for machines; never a secret in either.

What may be secret is struck out of every finished line, whoever wrote it: tokens, passwords in addresses, webhooks'
secrets, and what is named by `hide`.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import sys
import time
from contextvars import ContextVar
from typing import Any, NoReturn

from posline.errors import DiskFailed, PoslineError
from posline.till.terminal import log_to_stderr, visible

__all__ = ["FORMATS", "LEVELS", "REQUEST", "hide", "last_words", "set_up", "without_secrets"]

log = logging.getLogger("posline.relay")

FORMATS = ("text", "json")
LEVELS = ("debug", "info", "warning", "error")
REQUEST: ContextVar[str] = ContextVar("request", default="")  # the id of the request that is being answered
STRUCK = "***"
HIDDEN_MIN = 6  # letters: a shorter password would strike out half of every line
# what secrets look like, with what stands before them and stays
SECRETS = (
    re.compile(r"(?i)(\bbearer\s+)[A-Za-z0-9._~+/=-]+"),
    re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:@/]*:)[^\s@/]+(?=@)"),
    re.compile(r"(?i)(\b(?:password|passfile|sslpassword|secret|token|authorization|cookie)[\"']?\s*[=:]\s*[\"']?)[^\s&,;\"']+"),
    re.compile(r"(\bwhsec_)[A-Za-z0-9+/=_-]+"),
    re.compile(r"(\bposline://[^\s#]*#)\S+"),
)
_KNOWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "event", "taskName"}
_hidden: set[str] = set()


def hide(*secrets: str) -> None:
    """Strike these texts out of every line from now on."""
    _hidden.update(secret for secret in secrets if len(secret) >= HIDDEN_MIN)


def without_secrets(line: str) -> str:
    """A line as it may be kept."""
    for pattern in SECRETS:
        line = pattern.sub(rf"\g<1>{STRUCK}", line)
    for secret in _hidden:
        line = line.replace(secret, STRUCK)
    return line


class _Lines(logging.Formatter):
    """For people, as a till's, with the id of the request."""

    def format(self, record: logging.LogRecord) -> str:
        request = REQUEST.get()
        text = super().format(record) + (f" [{request}]" if request else "")
        return without_secrets(visible(text))


class _Objects(logging.Formatter):
    """For machines: time, level, event, what is logged, by which part, host and process, and what the line is about."""

    def __init__(self) -> None:
        super().__init__()
        self._host = socket.gethostname()

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        fields: dict[str, Any] = {
            "time": f"{at}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": getattr(record, "event", record.funcName.strip("_")),
            "message": record.getMessage(),
            "logger": record.name,
            "host": self._host,
            "process": record.process,
        }
        if request := REQUEST.get():
            fields["request"] = request
        fields |= {name: value for name, value in vars(record).items() if name not in _KNOWN and name not in fields}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps({name: _struck(value) for name, value in fields.items()}, ensure_ascii=False, default=str)


def _struck(value: Any) -> Any:
    return without_secrets(value) if isinstance(value, str) else value


def last_words(error: PoslineError) -> NoReturn:
    """Log why the process ends, and end it; where the disk failed, without one more write to it."""
    log.critical("%s", error, extra={"event": "failed"})
    if isinstance(error, DiskFailed):
        os._exit(1)
    sys.exit(1)


def set_up(form: str, level: str) -> None:
    """Log to stderr in this form, from this level on."""
    log_to_stderr(verbose=level == "debug")
    root = logging.getLogger()
    root.setLevel(getattr(logging, level.upper()))
    if form == "json":
        formatter: logging.Formatter = _Objects()
        handler: logging.Handler = logging.StreamHandler(sys.stderr)
        root.handlers[:] = [handler]
    else:
        plain = "%(message)s" if sys.stderr.isatty() else "%(asctime)s %(levelname)s %(name)s: %(message)s"
        formatter, handler = _Lines(plain), root.handlers[0]
    handler.setFormatter(formatter)
