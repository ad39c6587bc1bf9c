"""What the service can be told of those who use it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from weft.service.config.section import Section
from weft.service.config.values import LONGEST_SALT, Count, KeyHash


class TenantConfig(Section):
    """Somebody who has keys for the service, with limits and a share of the engines."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """The tenant's name: unique; part of program ids, metrics and logs."""
    keys: list[KeyHash] = Field(min_length=1)
    """Hashes of the tenant's API keys, as `weft key new` prints them, or ${NAME} of a key."""
    requests_per_minute: Count | None = None
    """Requests that may begin in a minute; no limit by default."""
    tokens_per_minute: Count | None = None
    """Tokens of prompts and answers that requests may use in a minute; no limit by default."""
    concurrency: Count | None = None
    """Requests that may wait or run at once; no limit by default."""
    programs: Count | None = None
    """Programs that may live at once; no limit by default."""
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """The tenant's share of the engines, relative to other tenants."""
    cache_salt: bool | Annotated[str, Field(min_length=1, max_length=LONGEST_SALT)] = True
    """Whether engines keep the tenant's prefixes apart from all others. A text is a salt:
    tenants with the same salt share prefixes."""


class Admin(Section):
    """Who may reload the configuration and see all tenants."""

    keys: list[KeyHash] = Field(default_factory=list[str])
    """Hashes of keys, as `weft key new` prints them, or ${NAME} of a key."""
