"""What the service can be told: the fields of its configuration, from the top."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import BeforeValidator, ByteSize, Field, SecretStr

from weft.orchestrator.policy import DEFAULT
from weft.service.config.engine_settings import EngineConfig, Local
from weft.service.config.section import Section
from weft.service.config.strategy_settings import Strategies
from weft.service.config.tenant_settings import Admin, TenantConfig
from weft.service.config.values import (
    Count,
    HeaderName,
    Names,
    OriginText,
    PathPattern,
    PolicyText,
    Seconds,
)

PASSED = (
    "/rerank",
    "/v1/rerank",
    "/v2/rerank",
    "/score",
    "/v1/score",
    "/pooling",
    "/classify",
    "/tokenizer_info",
    "/v1/audio/*",
    "/v1/images/*",
    "/v1/moderations",
    "/v1/files*",
    "/v1/batches*",
)
"""Paths that engines may serve, and that weft has nothing to schedule of."""


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
    misses: bool = False
    """Whether each call tells why its prompt was not cached. Following what engines are sent
    takes some 8 % more CPU for a short request."""


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
    origins: list[OriginText] = Field(default_factory=list[str])
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
