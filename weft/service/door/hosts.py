"""Under which names a service without keys may be asked."""

from __future__ import annotations

import ipaddress

from weft.service.config.settings import ServiceConfig


class Hosts:
    """Tells requests for the service from those that a web page elsewhere has sent to it.

    Where only this machine can reach the service, and so needs no key, a page elsewhere could
    too, by a name of its own that leads here. Nobody else has addresses or `localhost` for one.

    Args:
        config: of the service.
    """

    def __init__(self, config: ServiceConfig) -> None:
        self._any = bool(config.tenants) or not config.listen.loopback
        self._url, self._host = config.listen.url, config.listen.host
        port = config.listen.port
        # What is asked for most, and clients that say nothing, which browsers never do.
        self._known = {"", f"127.0.0.1:{port}", f"localhost:{port}"}

    def refusal(self, host: str) -> str | None:
        """Why a request with this `Host` is not served; None if it is."""
        if self._any or host in self._known or self._ours(_without_port(host)):
            return None
        return (
            f"this service is not called {host[:200]!r}; use {self._url}, or give it tenants "
            "with keys"
        )

    def _ours(self, name: str) -> bool:
        if name in ("localhost", self._host.lower()) or name.endswith(".localhost"):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _without_port(host: str) -> str:
    name, _, port = host.lower().rpartition(":")
    if not name or not port.isdecimal():
        name = host.lower()
    return name[1:-1] if name.startswith("[") and name.endswith("]") else name
