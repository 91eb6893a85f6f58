"""Listener: the socket that requests come in by, and what a service tells the one that started it."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from slatewise.core.errors import RequestError, shown
from slatewise.serve.process.settings import HOW, NO_TOKEN, Settings, may_listen

FIRST_PASSED = 3
"""Number of the first socket that systemd opens for a service."""
BACKLOG = 2_048
"""Connections that may wait to be accepted."""


def listen(settings: Settings, *, fd: int | None = None, environ: Mapping[str, str]) -> socket.socket:
    """Return a socket that listens.

    Args:
        settings: Where to listen.
        fd: Number of a socket that is open already; one that systemd passes is found without it.
        environ: The environment.

    Raises:
        RequestError: The address is taken, or there is no such socket, or others could reach it without a token.
    """
    if fd is None and environ.get("LISTEN_PID") == str(os.getpid()) and environ.get("LISTEN_FDS", "0") != "0":
        fd = FIRST_PASSED
    if fd is not None:
        return _inherited(settings, fd)
    host, port = settings.host, settings.port
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise RequestError("serve", "must have an address that is free", f"{host}:{port} ({why})") from None


def address(listener: socket.socket) -> str:
    """Return where a socket listens, as people write it."""
    if listener.family not in (socket.AF_INET, socket.AF_INET6):
        return f"unix:{listener.getsockname()}"
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def notify(told: str, environ: Mapping[str, str]) -> None:
    """Tell systemd, if it waits to be told: `READY=1`, `STOPPING=1`."""
    name = environ.get("NOTIFY_SOCKET", "")
    if not name:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way:
        way.connect("\0" + name[1:] if name.startswith("@") else name)
        way.sendall(told.encode())


def _inherited(settings: Settings, fd: int) -> socket.socket:
    try:
        listener = socket.socket(fileno=fd)
    except OSError as error:
        raise RequestError("fd", "must be an open socket", f"{fd} ({error.strerror})") from None
    host = listener.getsockname()[0] if listener.family != socket.AF_UNIX else "127.0.0.1"
    listening = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if listening and may_listen(settings, host):
        return listener
    listener.close()
    if not listening:
        raise RequestError("fd", "must be a socket that listens", shown(fd))
    raise RequestError("fd", NO_TOKEN, shown(host), HOW)
