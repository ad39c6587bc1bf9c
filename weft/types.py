"""Plain data shared by all layers; this module imports nothing else of weft."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal, NamedTuple, TypedDict
from urllib.parse import quote

Role = Literal["system", "user", "assistant", "tool"]

FinishReason = str
"""Why an answer ended.

`stop` (the model ended it, or a stop string matched), `length` (`max_tokens` cut it off), `cut`
(a monitor ended it) and `cancelled` are weft's own; whatever else an engine says keeps its name,
such as `content_filter`, `tool_calls`, `error` or `abort`. Only `stop` is a whole answer.
"""


@dataclass(frozen=True, slots=True)
class Media:
    """What stands in a turn beside its text.

    Attributes:
        kind: `image`, or `file`.
        url: a data URL, or of an image the address that the engine reads.
        name: of a file.
        digest: of all three.
    """

    kind: Literal["image", "file"]
    url: str = field(repr=False)
    name: str = ""
    digest: str = field(init=False, default="")

    def __post_init__(self) -> None:
        said = f"{self.kind}\0{self.name}\0{self.url}".encode("utf-8", "surrogatepass")
        object.__setattr__(self, "digest", blake2b(said, digest_size=16).hexdigest())


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool that a model makes.

    Attributes:
        name: of the tool.
        arguments: by name; or the text of them, as the model wrote it.
        id: what the call's result is told under.
        error: why the call can't be run, in words for the model; empty if it can.
    """

    name: str
    arguments: Mapping[str, Any] | str = ""
    id: str = ""
    error: str = ""

    @property
    def text(self) -> str:
        """The arguments as text."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a call of a tool gave.

    Attributes:
        id: of the call.
        name: of the tool.
        text: what the model reads: a text as it is, all else as JSON; or what went wrong.
        value: what the tool returned; None if it failed.
        failed: whether there is no value, so that `text` says why.
        media: images and files that the model sees, in a turn behind the results.
    """

    id: str
    name: str
    text: str
    value: Any = None
    failed: bool = False
    media: tuple[Media, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation.

    Attributes:
        role: whose turn it is.
        content: its text.
        media: what stands beside the text.
        calls: the tools that an assistant's turn calls, after the text.
        call: id of the call whose result a tool's turn is; empty if that is not known.
        name: of the tool whose turn it is; empty if that is not known.
    """

    role: Role
    content: str
    media: tuple[Media, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    call: str = ""
    name: str = ""

    @property
    def whole(self) -> str:
        """All that it says, its calls included."""
        if not self.calls:
            return self.content
        return "\n".join([self.content, *(f"{one.name}{one.text}" for one in self.calls)])


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to generate.

    Attributes:
        max_tokens: most tokens to generate; None goes on to the end of the context.
        temperature: 0 is greedy.
        top_p: nucleus sampling; 1 is off.
        stop: strings that end the answer. A matched string is part of the text, to the end of
            the token that completes the string.
        seed: sent to the engine where given.
        logprobs: how many alternatives to report at each token (at most 20); 0 reports
            the sampled token alone; None reports nothing.
        schema: a JSON schema that the answer must follow.
        ignore_eos: go on to `max_tokens` where the model would end its answer; vLLM only.
        top_k: sample among the k likeliest tokens.
        min_p: least probability of a token, as a share of the likeliest token's probability.
        presence_penalty: subtracted from the logits of tokens that were generated before,
            -2 to 2.
        frequency_penalty: the same, once for each time that the token was generated.
        repetition_penalty: divides the likelihood of tokens that were there before; 1 is off.
        reasoning_effort: how much a reasoning model thinks: `low`, `medium`, `high`, or what
            else the model knows.
        thinking: switches thinking on or off, for models that can do both.
        extra: further fields of the request's body, as the engine takes them. On vLLM
            `chat_template_kwargs` among them go to the chat template.
        tools: the tools that the model may call, each in OpenAI's form.
        tool_choice: `auto`, `none`, `required`, or the name of the tool that must be called.

    Settings that are None are left to the engine.
    """

    max_tokens: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    logprobs: int | None = None
    schema: dict[str, Any] | None = None
    ignore_eos: bool = False
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    reasoning_effort: str | None = None
    thinking: bool | None = None
    extra: dict[str, Any] | None = None
    tools: tuple[dict[str, Any], ...] = ()
    tool_choice: str | None = None

    @property
    def certain(self) -> bool:
        """Whether chance has no part in the answer: it is greedy, or its seed is given."""
        return self.temperature == 0 or self.seed is not None


class MoreSampling(TypedDict, total=False):
    """The settings of `Sampling` that few calls need, as keywords of `generate`."""

    top_k: int | None
    min_p: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    repetition_penalty: float | None
    reasoning_effort: str | None
    thinking: bool | None
    extra: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter (LoRA) of a model.

    Attributes:
        name: under which engines serve it.
        engines: names of those that do; empty if all of the model's engines do.
    """

    name: str
    engines: tuple[str, ...] = ()


class Sender(NamedTuple):
    """The program that makes a request, as engines and gateways are told of it.

    Attributes:
        program: its id.
        parent: id of the program that it works for; empty if it works for none.
        name: what it is a run of.
        stage: the part of it that asks.
    """

    program: str = ""
    parent: str = ""
    name: str = ""
    stage: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """As headers of a request: weft's own, and vLLM's for sessions."""
        if not self.program:
            return {}
        told = {
            "x-weft-program": self.program,
            "x-weft-parent": self.parent,
            "x-weft-name": self.name,
            "x-weft-stage": self.stage,
            "x-session-id": self.program,
        }
        return {name: quote(text, safe=_SAFE) for name, text in told.items() if text}


NOBODY = Sender()
GATEWAY = "x-weft"
"""The header by which a gateway's list of models says that it is one of weft."""
_SAFE = "".join(map(chr, range(33, 127)))  # what a header may hold as it is


@dataclass(frozen=True, slots=True)
class Request:
    """One unit of inference as an engine sees it.

    Attributes:
        id: unique; sent as `X-Request-Id`.
        model: the name of the model that must answer.
        messages: the conversation.
        open: whether the last message is an assistant's answer to be continued.
        tokens: the exact prompt, for engines that take tokens (`Engine.takes_tokens`): a
            sequence, of which `tuple(tokens)` makes a copy.
        sampling: how to generate.
        ask: token ids whose log-probability at the first generated position is wanted
            (scoring, engines that take tokens). Their answer is in the first delta's
            `ask_logprobs`.
        ask_texts: the same as texts, for engines that don't take tokens.
        cache_salt: only requests with the same one share prefixes in the engine's cache;
            vLLM only.
        adapter: name of the model's adapter (LoRA) that must answer; empty for none.
        sender: the program that asks; sent as headers.
        priority: of engines that schedule by priority, which request goes first: the one with
            the lowest number.
        keep: what the engine is to keep of the request in its cache, and what no longer of
            others; for engines with leases (`Engine.leases`).
    """

    id: str
    model: str
    messages: tuple[Message, ...]
    open: bool = False
    tokens: Sequence[int] | None = None
    sampling: Sampling = Sampling()
    ask: tuple[int, ...] = ()
    ask_texts: tuple[str, ...] = ()
    cache_salt: str = ""
    adapter: str = ""
    sender: Sender = NOBODY
    priority: int = 0
    keep: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A generated token, its natural log-probability, and alternatives by token text."""

    token: str
    logprob: float
    top: dict[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and calls; adds up with `+` and `-`.

    Attributes:
        calls: calls that reached an engine.
        prompt: prompt tokens, cached ones included.
        cached: prompt tokens that the engine found in its prefix cache.
        completion: generated tokens of calls that finished.
        cancelled: generated tokens of calls that were cancelled or lost; the prompt tokens of
            these calls are in `prompt`.
        dollars: cost, if the engine has a price.
        reasoning: generated tokens that were thinking.
    """

    calls: int = 0
    prompt: int = 0
    cached: int = 0
    completion: int = 0
    cancelled: int = 0
    dollars: float = 0.0
    reasoning: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.calls + other.calls,
            self.prompt + other.prompt,
            self.cached + other.cached,
            self.completion + other.completion,
            self.cancelled + other.cancelled,
            self.dollars + other.dollars,
            self.reasoning + other.reasoning,
        )

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            self.calls - other.calls,
            self.prompt - other.prompt,
            self.cached - other.cached,
            self.completion - other.completion,
            self.cancelled - other.cancelled,
            self.dollars - other.dollars,
            self.reasoning - other.reasoning,
        )

    @property
    def generated(self) -> int:
        """All generated tokens, kept or not."""
        return self.completion + self.cancelled

    @property
    def total(self) -> int:
        """Prompt and generated tokens."""
        return self.prompt + self.generated

    @property
    def computed(self) -> int:
        """What the engines had to compute: `total` less what was cached."""
        return self.total - self.cached


NOTHING = Usage()
"""The usage of what was never sent."""


@dataclass(frozen=True, slots=True)
class Delta:
    """What an engine has just produced. The last delta has a `finish_reason`.

    Attributes:
        text: new text of the answer: what its tokens say up to their last whole character, less
            what was told before. Thinking that a model writes between marks is in it.
        reasoning: new thinking, from engines that tell it apart.
        tokens: the ids of the new tokens, where the engine reports ids; the token that
            ends the answer (EOS) is not among them.
        count: how many tokens were generated since the last delta, EOS included. On the last
            delta it may be negative, where more were counted than the engine reports.
        logprobs: one for each new token, where asked.
        ask_logprobs: log-probabilities of `Request.ask` (or `ask_texts`), in their order.
        finish_reason: on the last delta.
        ended: on the last delta: the model itself ended its answer, by no stop string.
        prompt_tokens: on the last delta, if the engine reports it.
        cached_tokens: on the last delta, if the engine reports it.
        reasoning_tokens: on the last delta, if the engine reports it.
        missing: on the last delta: what was asked for and is not there (see `Completion`).
        end: on the last delta: the token that ended the answer, where log-probabilities were asked
            for and the engine reports its own.
        calls: on the last delta: the tools that the model calls, from engines that tell calls
            apart from the text.
        rest: on the first delta: seconds for which the engine says that it takes no more
            requests, for its limits are used up.
    """

    text: str = ""
    tokens: tuple[int, ...] = ()
    count: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()
    ask_logprobs: tuple[float, ...] = ()
    finish_reason: FinishReason | None = None
    ended: bool = False
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning: str = ""
    reasoning_tokens: int | None = None
    missing: tuple[str, ...] = ()
    rest: float | None = None
    end: TokenLogprob | None = None
    calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: in weft's queue, from sending to the first token, and in all."""

    queued: float = 0.0
    first_token: float = 0.0
    total: float = 0.0


UNTIMED = Timing()
"""The timing of what was never sent."""


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars per million tokens."""

    prompt: float
    completion: float
    cached: float | None = None

    def of(self, *, prompt: int, cached: int, completion: int) -> float:
        """The cost in dollars of one call."""
        reused = self.prompt if self.cached is None else self.cached
        cost = (prompt - cached) * self.prompt + cached * reused + completion * self.completion
        return cost / 1e6
