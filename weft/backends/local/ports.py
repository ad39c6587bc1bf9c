"""Ports for servers that take a while to listen."""

from __future__ import annotations

import secrets
import socket
from contextlib import ExitStack
from pathlib import Path

from weft.errors import EngineUnavailable, UsageError

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_USUAL = (32768, 65535)
"""Of the ports that systems give to outgoing connections."""

_MOST = 65_535
_LEAST = 10_000  # below, well-known services listen


def free_ports(count: int) -> list[int]:
    """Different ports that nothing listens on now.

    A model takes up to minutes to load before its server listens. So the ports are none of those
    that the system gives to outgoing connections: one of these would be taken meanwhile.

    Raises:
        EngineUnavailable: there are not so many.
    """
    wanted = _kept()
    secrets.SystemRandom().shuffle(wanted)  # two launches at once hardly choose the same
    found: list[int] = []
    with ExitStack() as held:
        for port in (*wanted, *[0] * count):  # 0: any, where the system keeps none back
            one = held.enter_context(socket.socket())
            try:
                one.bind(("", port))
            except OSError:
                continue
            found.append(one.getsockname()[1])
            if len(found) == count:
                return found
    raise EngineUnavailable(f"this machine has no {count} free ports; close other servers")


def ports_from(first: int, count: int) -> list[int]:
    """The port `first` and those after it.

    Raises:
        UsageError: one of them is none, or something listens on it.
    """
    found = [*range(first, first + count)]
    for port in found:
        if not 1 <= port <= _MOST:
            raise UsageError(
                f"port {port} is none; {count} ports from {first} on must be in 1-{_MOST}"
            )
        with socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind(("", port))
            except PermissionError:
                raise UsageError(f"port {port} is the system's; give one from 1024 on") from None
            except OSError:
                raise UsageError(f"port {port} is in use; give another first port") from None
    return found


def _kept() -> list[int]:
    """Ports that are given to no outgoing connection."""
    first, last = _given()
    return [*range(_LEAST, first), *range(max(last + 1, _LEAST), _MOST + 1)]


def _given() -> tuple[int, int]:
    """The first and the last port that the system gives to outgoing connections."""
    try:
        first, last = map(int, _RANGE.read_text().split())
    except (OSError, ValueError):
        return _USUAL
    return first, last
