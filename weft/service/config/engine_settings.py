"""What the service can be told of the engines behind it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, SecretStr, model_validator

from weft.backends.kinds.specs import parse
from weft.parts.signature import parameters
from weft.service.config.section import Section
from weft.service.config.values import Count, EngineText, Names, Seconds


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
        key = {"api_key": self.api_key} if self.api_key is not None else {}
        model = {"model": self.model} if self.model is not None else {}
        written = {**spec.values, **({"api_key": None} if "key" in spec.options else {})}
        for name, value in (key | model | self.further).items():
            if name not in taken:
                raise ValueError(f"{name} is not for {spec.name} engines; take it out")
            if name in written and (name != "model" or value != written[name]):
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
