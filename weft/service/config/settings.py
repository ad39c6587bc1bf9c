"""What the service can be told: the fields of its configuration."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    SecretStr,
)

from weft.backends.specs import parse
from weft.orchestrator.policy import DEFAULT
from weft.orchestrator.policy_file import load_policy
from weft.programs.budget_fields import Budget
from weft.search.strategy import parse_strategy
from weft.service.config.api_key import HASH
from weft.spec import read_spec

LONGEST_SALT = 128
"""Letters of a `cache_salt` that vLLM takes."""

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


def _engine(spec: str) -> str:
    parse(spec)
    return spec


def _policy(spec: str) -> str:
    load_policy(spec)
    return spec


def _strategy(spec: str) -> str:
    parse_strategy(spec)
    return spec.strip()  # as written: a default that is written down holds against requests


def _hashed(key: str) -> str:
    if not HASH.fullmatch(key):
        raise ValueError(
            "must be the hash of a key, sha256:HEX as `weft key new` prints it, or ${NAME} "
            "where the environment holds the key itself"
        )
    return key


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _named(value: object) -> object:
    return {"spec": value} if isinstance(value, str) else value


KeyHash = Annotated[str, AfterValidator(_hashed)]


class Section(BaseModel):
    """A part of the configuration."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )


class Listen(Section):
    """Where the service listens."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """Address to listen at; 0.0.0.0 is every interface."""
    port: int = Field(default=8080, ge=1, le=65535)
    """Port to listen at."""
    allow_open: bool = False
    """Listen beyond this machine though there are no tenants, and so no keys."""

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def url(self) -> str:
        """The address for clients on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


class RetrySettings(Section):
    """How requests are sent again for which an engine was too busy."""

    attempts: Count | None = None
    """Most times that one request is sent to it; by default 5, or as many as `seconds` allow
    where the engine says when to come again."""
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 300
    """Time after its first refusal during which a request may be sent again."""
    longest: Seconds = 30
    """Longest wait, whatever the engine says."""
    first: Seconds = 0.5
    """First wait where the engine does not say; the next ones double."""


class EngineConfig(Section):
    """An inference server behind the service."""

    spec: Annotated[str, AfterValidator(_engine)]
    """http://host:port of a vLLM server, openai:MODEL[@URL] of another one, or local:MODEL."""
    name: str | None = Field(default=None, min_length=1)
    """Its name in records and metrics; its address by default."""
    model: str | None = None
    """The model that it is to serve; the first one by default."""
    api_key: SecretStr | None = None
    """The key that it asks for, as ${NAME} from the environment."""
    concurrency: Count | None = None
    """Most requests that run in it at once (vLLM's --max-num-seqs); by default 256, openai: 64."""
    rate: Seconds | None = None
    """Most requests a second that it is sent; no limit by default."""
    silence: Seconds | None = None
    """Seconds without a byte after which a request is given up; by default
    `limits.idle_seconds`."""
    retry: RetrySettings = RetrySettings()
    """How requests are sent again for which it was too busy."""

    @property
    def title(self) -> str:
        """Its name, or what stands for it."""
        return self.name or self.spec


class Local(Section):
    """Replicas that the service starts on this machine and stops with itself."""

    model: str = Field(default="countdown", min_length=1)
    """A model's folder or hub name, or the shipped countdown."""
    replicas: int = Field(default=2, ge=1, le=64)
    """How many."""


class StrategyModelSettings(Section):
    """A strategy that clients use as if it were a model."""

    strategy: Annotated[str, AfterValidator(_strategy)]
    """Its spec, such as majority(n=8)."""
    model: str | None = Field(default=None, min_length=1)
    """The model that it runs on; that of the role `solver` by default."""
    name: str | None = Field(default=None, min_length=1)
    """What clients call it; MODEL:STRATEGY by default."""
    budget: Budget = Budget()
    """What one request may spend; `strategies.budget` limits what is left out here."""

    @property
    def title(self) -> str:
        """What clients call it."""
        if self.name is not None:
            return self.name
        spec = self.strategy
        if ":" in read_spec(spec).name:  # clients need not know where its code stands
            spec = parse_strategy(spec).spec
        return f"{self.model}:{spec}"


class Strategies(Section):
    """Strategies as models: `model: "M:majority(n=8)"` answers as one model would."""

    models: list[StrategyModelSettings] = Field(default_factory=list[StrategyModelSettings])
    """Those that are listed among the models."""
    any: bool = True
    """Whether clients may also ask for what is not listed, by `MODEL:STRATEGY`."""
    budget: Budget = Budget(calls=600, tokens=4_000_000)
    """The most that one such request may spend."""


class TenantConfig(Section):
    """On whose behalf requests come, and what they may take."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """Unique; stands in program ids, metrics and logs."""
    keys: list[KeyHash] = Field(min_length=1)
    """Hashes of its API keys, as `weft key new` prints them, or ${NAME} of a key."""
    requests_per_minute: Count | None = None
    """Requests that may begin in a minute; no limit by default."""
    tokens_per_minute: Count | None = None
    """Prompt and answer tokens that it may use in a minute; no limit by default."""
    concurrency: Count | None = None
    """Requests that may wait or run at once; no limit by default."""
    programs: Count | None = None
    """Programs that may live at once; no limit by default."""
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Its share of the engines beside other tenants'."""
    cache_salt: bool | Annotated[str, Field(min_length=1, max_length=LONGEST_SALT)] = True
    """Whether engines keep its prefixes apart from other tenants'; or a salt of one's own,
    by which tenants share prefixes with those of the same salt."""


class Admin(Section):
    """Who may reload the configuration and see all tenants."""

    keys: list[KeyHash] = Field(default_factory=list[str])
    """Hashes of keys, as `weft key new` prints them, or ${NAME} of a key."""


class LimitSettings(Section):
    """What clients and engines may ask of the service."""

    body_bytes: Annotated[ByteSize, Field(gt=0)] = ByteSize(64 * 2**20)
    """Largest body of a request, such as 64MiB."""
    header_bytes: Annotated[ByteSize, Field(ge=1024)] = ByteSize(64 * 2**10)
    """Largest head of a request: its line and its headers."""
    open_streams: Count = 4096
    """Requests under way at once, those that wait included."""
    queue: Count = 1024
    """Requests that may wait for an engine; more are refused with 503."""
    queue_seconds: Seconds = 300
    """Longest that a request may wait for an engine; it is refused with 503 then."""
    keepalive_seconds: Seconds = 10
    """Time between the comments that keep a waiting stream open."""
    client_stall_seconds: Seconds = 60
    """Longest that a client may neither send what it began nor take its answer."""
    lease_seconds: Seconds = 900
    """Time without a request after which a program is taken for ended."""
    drain_seconds: Seconds = 60
    """Time for requests under way to end when the service stops."""
    connect_seconds: Seconds = 5
    """Longest that connecting to an engine may take."""
    idle_seconds: Seconds = 300
    """Longest that an engine may stay silent before a request is given up; `engines` may say
    otherwise for one."""
    outage_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 10
    """Longest that requests wait for an engine to come back when none is left."""
    retries: int = Field(default=2, ge=0, le=10)
    """Further engines that a request is sent to when engines fail before its first byte. One
    that fails at it though it is well is replaced once. With 0 a request is sent once."""


class TelemetrySettings(Section):
    """What the service tells of itself."""

    otlp: str | None = Field(default=None, pattern=r"^https?://[^/\s]")
    """Where OpenTelemetry traces go, such as http://127.0.0.1:4318; nowhere by default."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What is logged."""
    log_prompts: bool = False
    """Whether logs may quote prompts and answers, as in what errors say."""


class HealthSettings(Section):
    """How engines are watched."""

    interval: Seconds = 5
    """Seconds between two checks of an engine that serves. One that fails a request, or two
    checks, gets no requests until it answers again."""


class ServiceConfig(Section):
    """The configuration of `weft serve`.

    In texts, ${NAME} stands for a variable of the environment, and $${ for the letters.
    Paths are relative to the file's folder.
    """

    listen: Listen = Listen()
    """Where the service listens."""
    imports: Annotated[list[str], BeforeValidator(_listed)] = Field(
        default_factory=list[str], alias="import"
    )
    """Python files and modules that mark what the specs here name, imported when it starts."""
    engines: list[
        Annotated[EngineConfig, BeforeValidator(_named, json_schema_input_type=EngineConfig | str)]
    ] = Field(default_factory=list[EngineConfig])
    """The inference servers, each a spec or fields."""
    local: Local | None = None
    """Replicas to start on this machine; none by default."""
    policy: Annotated[str, AfterValidator(_policy)] = DEFAULT
    """The scheduler's policy: a spec such as cap(k=8), or a file that `weft tune` wrote."""
    roles: dict[str, str] = Field(default_factory=dict[str, str])
    """Models for the roles of strategies, such as {verifier: small-judge}."""
    strategies: Strategies = Strategies()
    """Strategies as models."""
    tenants: list[TenantConfig] = Field(default_factory=list[TenantConfig])
    """Who may use the service. With none, everybody who reaches it may."""
    admin: Admin = Admin()
    """Who may change it."""
    secret: SecretStr | None = Field(default=None, min_length=16)
    """What tenants' cache salts are derived from, as ${NAME} from the environment. Without it
    they come of each tenant's first key and change with it, which empties its cache once."""
    limits: LimitSettings = LimitSettings()
    """What may be asked of the service."""
    store: str | None = Field(default=None, min_length=1)
    """File or SQLAlchemy URL for what outlives a restart; by default it is lost."""
    telemetry: TelemetrySettings = TelemetrySettings()
    """What the service tells of itself."""
    health: HealthSettings = HealthSettings()
    """How engines are watched."""
