"""Tenants: on whose behalf requests come, and what each may take of the service."""

from __future__ import annotations

import base64
import hmac
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from weft.service.config.settings import ServiceConfig
from weft.service.config.tenant_settings import TenantConfig

BUSY = 1.0
"""Seconds after which to try again where nobody knows when something ends."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not served now.

    Attributes:
        message: one sentence.
        seconds: after which it would be, if nothing else comes.
        limit: the tenant's limit that it ran into, as the configuration names it.
    """

    message: str
    seconds: float
    limit: str

    @property
    def retry_after(self) -> str:
        """As the header Retry-After has it: whole seconds, at least one."""
        return str(max(1, math.ceil(self.seconds)))


class Bucket:
    """A token bucket: holds what comes in a minute at most, and fills evenly.

    Args:
        per_minute: what comes in a minute.
        now: by the clock that all calls go by; the bucket is full then.
    """

    __slots__ = ("_at", "_held", "per_minute")

    def __init__(self, per_minute: int, now: float) -> None:
        self.per_minute = per_minute
        self._held, self._at = float(per_minute), now

    def missing(self, amount: float, now: float) -> float:
        """Seconds until it holds an amount; 0 if it does.

        More than it ever holds is there when it is full.
        """
        self._fill(now)
        lacking = min(amount, self.per_minute) - self._held
        return lacking * 60.0 / self.per_minute if lacking > 0 else 0.0

    def take(self, amount: float, now: float) -> None:
        """Take out an amount, more than there is if need be; a negative one puts back."""
        self._fill(now)
        self._held = min(self._held - amount, self.per_minute)

    def resize(self, per_minute: int, now: float) -> None:
        """Let another amount come from now on; what it holds stays, as far as it fits."""
        self._fill(now)
        self.per_minute = per_minute
        self._held = min(self._held, per_minute)

    def _fill(self, now: float) -> None:
        if now > self._at:
            held = self._held + (now - self._at) * self.per_minute / 60.0
            self._held = held if held < self.per_minute else self.per_minute
            self._at = now


class Tenant:
    """A tenant, with what it takes of its limits. Not for several threads.

    Args:
        config: its limits; None for everybody, where there are no tenants.
        secret: of the service, see `salt`.
        clock: seconds that only grow.

    Attributes:
        name: unique; empty for everybody.
        weight: its share beside others'.
        salt: goes with its prompts as `cache_salt`, so that engines keep its prefixes apart
            from others'; empty if they may be shared.
        running: requests that have entered and not left.
        programs: its programs that live.
    """

    __slots__ = (
        "_clock",
        "_concurrency",
        "_most_programs",
        "_requests",
        "_tokens",
        "name",
        "programs",
        "running",
        "salt",
        "weight",
    )

    def __init__(
        self,
        config: TenantConfig | None = None,
        secret: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = config.name if config is not None else ""
        self.running = self.programs = 0
        self.weight, self.salt = 1.0, ""
        self._concurrency: int | None = None
        self._most_programs: int | None = None
        self._requests: Bucket | None = None
        self._tokens: Bucket | None = None
        self._clock = clock
        if config is not None:
            self.apply(config, secret)

    def apply(self, config: TenantConfig, secret: str | None) -> None:
        """Go by these limits from now on; what is taken stays taken."""
        now = self._clock()
        self.weight, self.salt = config.weight, salt(config, secret)
        self._concurrency, self._most_programs = config.concurrency, config.programs
        self._requests = _resized(self._requests, config.requests_per_minute, now)
        self._tokens = _resized(self._tokens, config.tokens_per_minute, now)

    def enter(self, tokens: int) -> Refusal | None:
        """Begin a request, if its limits allow; whoever entered must `leave`.

        Args:
            tokens: that it is expected to take: its prompt's and its answer's. A request that is
                larger than a minute's tokens begins when all of them are there.

        Returns:
            why it must not begin; nothing is taken then.
        """
        if self._concurrency is not None and self.running >= self._concurrency:
            return Refusal(
                f"{self._concurrency} requests of tenant {self.name} run already, which is its "
                "limit; wait for one of them to end",
                BUSY,
                "concurrency",
            )
        if self._requests is not None or self._tokens is not None:
            now = self._clock()
            if self._requests is not None and (wait := self._requests.missing(1, now)):
                return self._over(wait, self._requests, "requests")
            if self._tokens is not None:
                if wait := self._tokens.missing(tokens, now):
                    return self._over(wait, self._tokens, "tokens")
                self._tokens.take(tokens, now)
            if self._requests is not None:
                self._requests.take(1, now)
        self.running += 1
        return None

    def leave(self, expected: int, used: int) -> None:
        """End a request that entered.

        Args:
            expected: what `enter` was told.
            used: tokens that it took in fact; the difference is settled.
        """
        self.running -= 1
        if self._tokens is not None and used != expected:
            self._tokens.take(used - expected, self._clock())

    def begin_program(self) -> Refusal | None:
        """Begin a program, if the limit allows; whoever began one must `end_program`."""
        if self._most_programs is not None and self.programs >= self._most_programs:
            return Refusal(
                f"{self._most_programs} programs of tenant {self.name} live already, which is "
                "its limit; end one, or wait until one that is idle expires",
                BUSY,
                "programs",
            )
        self.programs += 1
        return None

    def end_program(self) -> None:
        """End a program."""
        self.programs -= 1

    def _over(self, wait: float, bucket: Bucket, what: str) -> Refusal:
        return Refusal(
            f"tenant {self.name} may take {bucket.per_minute} {what} a minute and has used them "
            f"up; try again in {math.ceil(wait)} s",
            wait,
            f"{what}_per_minute",
        )


class Tenants:
    """All tenants by name.

    Args:
        config: names them.
        clock: seconds that only grow.

    Attributes:
        anonymous: everybody, where there are no tenants.
    """

    def __init__(self, config: ServiceConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._all: dict[str, Tenant] = {}
        self.anonymous = Tenant(clock=clock)
        self.reload(config)

    def reload(self, config: ServiceConfig) -> None:
        """Take over other limits. Tenants that remain are the same objects as before."""
        secret = config.secret.get_secret_value() if config.secret is not None else None
        kept: dict[str, Tenant] = {}
        for one in config.tenants:
            known = self._all.get(one.name)
            if known is None:
                kept[one.name] = Tenant(one, secret, self._clock)
            else:
                known.apply(one, secret)
                kept[one.name] = known
        self._all = kept

    def __getitem__(self, name: str) -> Tenant:
        return self._all[name]

    def get(self, name: str) -> Tenant | None:
        """The tenant of this name, everybody for none; None if there is no such tenant any more."""
        return self._all.get(name) if name else self.anonymous

    def __iter__(self) -> Iterator[Tenant]:
        return iter(self._all.values())

    def __len__(self) -> int:
        return len(self._all)


def salt(config: TenantConfig, secret: str | None) -> str:
    """A tenant's `cache_salt`: the same after a restart, and in every service of one secret.

    Without a secret it comes of the hash of the tenant's first key, which nobody else knows.
    """
    if isinstance(config.cache_salt, str):
        return config.cache_salt
    if not config.cache_salt:
        return ""
    key = secret if secret is not None else config.keys[0]
    digest = hmac.digest(key.encode(), f"cache_salt {config.name}".encode(), "sha256")
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _resized(bucket: Bucket | None, per_minute: int | None, now: float) -> Bucket | None:
    if per_minute is None:
        return None
    if bucket is None:
        return Bucket(per_minute, now)
    bucket.resize(per_minute, now)
    return bucket
