"""What the service can be told: the fields of its configuration."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)

from weft.backends.kinds.specs import parse
from weft.orchestrator.policy import DEFAULT
from weft.programs.budgets.fields import Budget
from weft.search.strategy import parse_strategy
from weft.service.config.values import (
    LONGEST_SALT,
    Count,
    EngineText,
    HeaderName,
    KeyHash,
    Names,
    PathPattern,
    PolicyText,
    ReaderText,
    Seconds,
    StrategyText,
)
from weft.signature import parameters
from weft.spec import read_spec

PASSED = (
    "/rerank",
    "/v1/rerank",
    "/v2/rerank",
    "/score",
    "/v1/score",
    "/pooling",
    "/classify",
    "/v1/audio/*",
    "/v1/images/*",
    "/v1/moderations",
    "/v1/files*",
    "/v1/batches*",
)
"""Paths that engines may serve, and that weft has nothing to schedule of."""


class Section(BaseModel):
    """A part of the configuration."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )


class Listen(Section):
    """Where the service listens."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """Address to listen on; 0.0.0.0 is every interface."""
    port: int = Field(default=8080, ge=1, le=65535)
    """Port to listen on."""
    allow_open: bool = False
    """Listen to other machines although there are no tenants, and so no keys."""

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
    """How often one request is sent to the engine at most. By default 5 times; or, if the engine
    says when to come again, as often as `seconds` allow."""
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 300
    """For how long after its first refusal a request may be sent again."""
    longest: Seconds = 30
    """Longest wait, whatever the engine says."""
    first: Seconds = 0.5
    """First wait, if the engine does not say when to come again. The waits double."""


class EngineConfig(Section):
    """An inference server behind the service."""

    spec: EngineText
    """http://host:port for a vLLM server, openai:MODEL[@URL] for another server, or local:MODEL."""
    name: str | None = Field(default=None, min_length=1)
    """The engine's name in records and metrics; its address by default."""
    model: str | None = None
    """The model that the engine must serve; the engine's first model by default."""
    api_key: SecretStr | None = None
    """The key that the engine asks for, as ${NAME} from the environment."""
    concurrency: Count | None = None
    """How many requests the engine runs at once (vLLM's --max-num-seqs). 256 by default; 64 for
    openai: engines."""
    rate: Seconds | None = None
    """How many requests a second the engine gets at most; no limit by default."""
    group: str | None = Field(default=None, min_length=1)
    """A name for engines that are kept for those who ask for this name, and for `fallbacks` to
    it. They take no other requests for their model. By default an engine is in no group."""
    silence: Seconds | None = None
    """Seconds without a byte after which a request is given up; by default
    `limits.idle_seconds`."""
    retry: RetrySettings = RetrySettings()
    """How requests are sent again for which the engine was too busy."""
    omit: Names = Field(default_factory=list[str])
    """Parameters of chat completions that an openai: engine never gets, such as [temperature]."""
    rename: dict[str, str] = Field(default_factory=dict[str, str])
    """Parameters that an openai: engine gets under other names, such as {seed: random_seed}."""
    extra: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Fields that an openai: engine gets with every request, such as {reasoning_effort: low}."""

    @model_validator(mode="after")
    def _takes(self) -> EngineConfig:
        spec = parse(self.spec)
        taken = {parameter.name for parameter in parameters(spec.kind)}
        for name in self.further:
            if name not in taken:
                raise ValueError(f"{name} is not for {spec.name} engines; take it out")
            if name in spec.values:
                raise ValueError(f"{name} is in the spec too; say it once")
        return self

    @property
    def further(self) -> dict[str, Any]:
        """Parameters of its kind that stand beside the spec."""
        return {k: v for k in ("omit", "rename", "extra") if (v := getattr(self, k))}

    @property
    def title(self) -> str:
        """Its name, or what stands for it."""
        return self.name or self.spec


class Local(Section):
    """vLLM replicas on this machine that start and stop with the service."""

    model: str = Field(default="countdown", min_length=1)
    """A model's folder or hub name, or the shipped countdown."""
    replicas: int = Field(default=2, ge=1, le=64)
    """How many replicas."""


class StrategyModelSettings(Section):
    """A strategy that clients use as if it were a model."""

    strategy: StrategyText
    """The strategy's spec, such as majority(n=8)."""
    model: str | None = Field(default=None, min_length=1)
    """The model on which the strategy runs; by default the model of the role `solver`."""
    name: str | None = Field(default=None, min_length=1)
    """The name for clients; MODEL:STRATEGY by default."""
    reader: ReaderText = "final"
    """The reader of its samples' answers, see `weft readers`; JSON is read as JSON in any case."""
    budget: Budget = Budget()
    """What one request may spend. `strategies.budget` sets the limits that are left out here."""

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
    """The strategies that are listed among the models."""
    any: bool = True
    """Whether clients may also ask for strategies that are not listed, by `MODEL:STRATEGY`."""
    budget: Budget = Budget(calls=600, tokens=4_000_000)
    """What one request to a strategy may spend at most."""


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


class LimitSettings(Section):
    """What clients and engines may ask of the service."""

    body_bytes: Annotated[ByteSize, Field(gt=0)] = ByteSize(64 * 2**20)
    """Largest body of a request, such as 64MiB."""
    header_bytes: Annotated[ByteSize, Field(ge=1024)] = ByteSize(64 * 2**10)
    """Largest head of a request: its line and its headers."""
    open_streams: Count = 4096
    """Requests under way at once; requests that wait count too."""
    queue: Count = 4096
    """Requests that may wait for an engine. Further requests are refused with 503."""
    queue_seconds: Seconds = 300
    """For how long a request may wait for an engine. Then the request is refused with 503."""
    keepalive_seconds: Seconds = 10
    """Time between the comments that keep a waiting stream open."""
    client_stall_seconds: Seconds = 60
    """For how long a client may neither send the rest of its request nor take its answer."""
    lease_seconds: Seconds = 900
    """After how long without a request a program has ended."""
    drain_seconds: Seconds = 60
    """Time for requests under way to end when the service stops."""
    connect_seconds: Seconds = 5
    """How long connecting to an engine may take."""
    idle_seconds: Seconds = 300
    """For how long an engine may stay silent before a request is given up. `silence` of an engine
    overrules this."""
    outage_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 10
    """When no engine is left, for how long requests wait for one to come back."""
    standstill_seconds: Seconds = 30
    """After how long requests start all the same that the policy keeps waiting though no engine
    runs a request and nothing else is to come."""
    retries: int = Field(default=2, ge=0, le=10)
    """To how many further engines a request is sent when engines fail before the first byte of
    the answer. If the engine that failed is well, only one more is tried. With 0 a request is
    sent once."""


class TelemetrySettings(Section):
    """What the service tells of itself."""

    otlp: str | None = Field(default=None, pattern=r"^https?://[^/\s]")
    """The collector of OpenTelemetry traces, such as http://127.0.0.1:4318; none by default."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least level that is logged."""
    log_prompts: bool = False
    """Whether logs may quote prompts and answers, as texts of errors do."""


class HealthSettings(Section):
    """How engines are watched."""

    interval: Seconds = 5
    """Seconds between two checks of an engine's health. An engine that fails two checks gets no
    requests until it answers again."""


def _named(value: object) -> object:
    return {"spec": value} if isinstance(value, str) else value


class ServiceConfig(Section):
    """The configuration of `weft serve`.

    In texts, ${NAME} stands for a variable of the environment, and $${ for the letters.
    Paths are relative to the file's folder.
    """

    listen: Listen = Listen()
    """Where the service listens."""
    imports: Names = Field(default_factory=list[str], alias="import")
    """Python files and modules with parts that specs here name; imported at the start."""
    engines: list[
        Annotated[EngineConfig, BeforeValidator(_named, json_schema_input_type=EngineConfig | str)]
    ] = Field(default_factory=list[EngineConfig])
    """The inference servers, each a spec or fields."""
    local: Local | None = None
    """Replicas to start on this machine; none by default."""
    policy: PolicyText = DEFAULT
    """The scheduler's policy: a spec such as cap(k=8), or a file that `weft tune` wrote."""
    aliases: dict[str, str] = Field(default_factory=dict[str, str])
    """Names that clients may use for models, such as {gpt-5: qwen3-coder}. In a name, * stands
    for any letters: {"claude-*": qwen3-coder}. Names that engines list count first, then whole
    names, then patterns in their order."""
    fallbacks: dict[str, Names] = Field(default_factory=dict[str, list[str]])
    """Models, or groups of engines, that take over when a model is down, full, or too short for
    the prompt, in their order: {qwen3-coder: [qwen3-next, cloud]}."""
    passed: list[PathPattern] = Field(default_factory=lambda: list(PASSED))
    """Paths that are passed on to an engine without being scheduled. With * at its end a path
    stands for all that begin so."""
    forward_headers: list[HeaderName] = Field(default_factory=list[str])
    """Headers of requests that engines get too; none by default, besides traceparent, tracestate,
    anthropic-version and anthropic-beta."""
    origins: list[Annotated[str, Field(pattern=r"^(\*|https?://[^/\s*]+)$")]] = Field(
        default_factory=list[str]
    )
    """Origins of web pages that may use the service from a browser, such as
    https://app.example.com; * for all. By default none may."""
    roles: dict[str, str] = Field(default_factory=dict[str, str])
    """Models for the roles of strategies, such as {verifier: small-judge}."""
    strategies: Strategies = Strategies()
    """Strategies as models."""
    tenants: list[TenantConfig] = Field(default_factory=list[TenantConfig])
    """Who may use the service. Without tenants, everybody who reaches the service may use it."""
    admin: Admin = Admin()
    """Who may change the service."""
    secret: SecretStr | None = Field(default=None, min_length=16)
    """What cache salts are derived from, as ${NAME} from the environment. Without a secret, a
    tenant's salt is derived from the tenant's first key. A new first key then loses the tenant's
    cached prefixes once."""
    limits: LimitSettings = LimitSettings()
    """What clients and engines may ask of the service."""
    store: str | None = Field(default=None, min_length=1)
    """File or database URL for what outlives a restart. By default nothing outlives a restart."""
    telemetry: TelemetrySettings = TelemetrySettings()
    """What the service tells of itself."""
    health: HealthSettings = HealthSettings()
    """How engines are watched."""
