"""API keys in the headers of requests: whose they are."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256

from weft.service.config.settings import ServiceConfig
from weft.service.door.tenants import Tenant, Tenants

_NONE = "0" * 64
_UNKNOWN = (_NONE, None)


class Keys:
    """Who asks, by the key that a request carries.

    Keys come as `authorization: Bearer KEY`, `x-api-key: KEY` or `api-key: KEY`; the first that
    is known counts. To change keys, make a new one of these.

    Args:
        config: names the hashes of all keys.
        tenants: whom they belong to.
    """

    def __init__(self, config: ServiceConfig, tenants: Tenants) -> None:
        self._anonymous = None if config.tenants else tenants.anonymous
        self._tenants: dict[str, tuple[str, Tenant | None]] = {
            _digest(key): (_digest(key), tenants[tenant.name])
            for tenant in config.tenants
            for key in tenant.keys
        }
        self._admins = {_digest(key): _digest(key) for key in config.admin.keys}
        # Without any key, who can reach the loopback interface may do everything.
        self._all_admins = not config.admin.keys and not config.tenants and config.listen.loopback

    def tenant(self, headers: Mapping[str, str]) -> Tenant | None:
        """On whose behalf a request comes; None if it carries no valid key.

        Args:
            headers: by their names in small letters.
        """
        if self._anonymous is not None:
            return self._anonymous
        for digest in _digests(headers):
            # The time of a look-up tells something of the digest at most, which nobody can steer
            # by choosing a key; the comparison takes the same time with every key, known or not.
            known, found = self._tenants.get(digest, _UNKNOWN)
            if hmac.compare_digest(known, digest):
                return found
        return None

    def admin(self, headers: Mapping[str, str]) -> bool:
        """Whether a request may use the admin routes.

        Without an admin key nobody may, except on the loopback interface without tenants.
        """
        if self._all_admins:
            return True
        return any(
            hmac.compare_digest(self._admins.get(digest, _NONE), digest)
            for digest in _digests(headers)
        )


def _digest(hashed: str) -> str:
    return hashed.removeprefix("sha256:")


def _digests(headers: Mapping[str, str]) -> list[str]:
    """The digests of all keys that a request carries."""
    found: list[str] = []
    bearer = headers.get("authorization", "")
    if bearer[:7].lower() == "bearer ":
        found.append(_hex(bearer[7:]))
    for name in ("x-api-key", "api-key"):
        if key := headers.get(name):
            found.append(_hex(key))
    return found


def _hex(key: str) -> str:
    # Servers read headers as latin-1: this gives the bytes back that the client sent.
    return sha256(key.strip().encode("latin-1", "replace")).hexdigest()
