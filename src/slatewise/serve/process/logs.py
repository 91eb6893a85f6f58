"""Logs: what operators read of a running service, on standard error.

As JSON, one object a line, where a program reads it, and as text on a terminal. A line that is written while a request
is answered has the request's `x-request-id`. Users, items and bodies are never written.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any, Literal, TextIO

from slatewise.serve.process.settings import Settings

CURRENT: ContextVar[MutableMapping[str, Any] | None] = ContextVar("slatewise_request", default=None)
"""The request that is answered, as ASGI has it."""
TEXT = "%(asctime)s %(levelname)-7s %(message)s%(said_by)s"
FIELDS = ("asctime", "levelname", "name", "process", "message", "request_id")
RENAMED = {"asctime": "time", "levelname": "level", "name": "logger", "exc_info": "error"}

_PLAIN = re.compile(r"[\x21-\x7e]{1,128}")


def set_up(settings: Settings, stream: TextIO | None = None) -> None:
    """Have everything that is logged in this process written as the settings say."""
    writer = logging.StreamHandler(stream or sys.stderr)
    writer.setFormatter(_formatter(form_of(settings.log_form, writer.stream)))
    writer.addFilter(_named)
    root = logging.getLogger()
    root.handlers[:] = [writer]
    root.setLevel(settings.log_level.upper())
    for library in ("uvicorn.error", "asyncio", "opentelemetry"):
        logging.getLogger(library).setLevel(logging.WARNING)


def form_of(form: str, stream: TextIO) -> Literal["json", "text"]:
    """Return the form of what is written to a stream: text for people, JSON for programs."""
    if form == "auto":
        return "text" if stream.isatty() else "json"
    return "text" if form == "text" else "json"


def request_id() -> str:
    """Return what the caller named the request that is answered; empty if it did not, or nothing is."""
    scope = CURRENT.get()
    if scope is None:
        return ""
    sent = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"").decode("latin-1")
    return sent if _PLAIN.fullmatch(sent) else ""


def _named(record: logging.LogRecord) -> bool:
    named = request_id()
    record.__dict__.update(request_id=named, said_by=f" [{named}]" if named else "")
    return True


def _formatter(form: Literal["json", "text"]) -> logging.Formatter:
    if form == "text":
        return logging.Formatter(TEXT, "%H:%M:%S")
    from pythonjsonlogger.core import RESERVED_ATTRS
    from pythonjsonlogger.json import JsonFormatter

    writer = JsonFormatter(
        FIELDS,
        style=",",
        rename_fields=RENAMED,
        reserved_attrs=[*RESERVED_ATTRS, "said_by"],  # that is the text's
        datefmt="%Y-%m-%dT%H:%M:%SZ",
    )
    writer.converter = time.gmtime
    return writer
