"""Ports for servers of other processes: nobody else is given one while the tests run."""

from __future__ import annotations

import atexit
import socket


def free_port() -> int:
    """A port that nothing listens at, kept for a server that this process will start.

    The socket stays bound, and does not listen: so the kernel gives the port to nobody who asks
    for any, while a server that names the port, and sets SO_REUSEADDR as servers do, gets it.
    """
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    atexit.register(kept.close)
    return kept.getsockname()[1]
