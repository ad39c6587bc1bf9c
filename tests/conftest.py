"""What all tests share.

Every async test runs twice, on asyncio and on trio (`anyio_mode = "auto"`, and the fixture
below). pytest enables faulthandler itself. Nothing in this process may reach beyond the
loopback interface; servers that tests need are started on it.
"""

from __future__ import annotations

import ipaddress
import sys
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("weft", deadline=None, derandomize=True)
settings.load_profile("weft")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


def local(host: Any) -> bool:
    """Whether an address or a host name is this machine's own."""
    if isinstance(host, bytes):
        host = host.decode()
    if host in (None, "", "localhost"):
        return True
    try:
        address = ipaddress.ip_address(str(host).partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def forbid_network(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse look-ups of, and connections to, anything that is not this machine."""
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if not local(host):
        raise RuntimeError(f"tests must not reach the network, but this one asks for {host!r}")


sys.addaudithook(forbid_network)
