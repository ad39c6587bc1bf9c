"""What a call gave, also as it is kept in the Store."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from weft.parsers.thinking import Thinking, split_thinking
from weft.types import NOTHING, UNTIMED, FinishReason, Price, Timing, TokenLogprob, ToolCall, Usage


@dataclass(slots=True)
class Outcome:
    """What a call gave, or has given so far.

    Attributes:
        text: all that was generated, marked thinking included.
        reasoning: thinking that the engine told apart.
        inside: whether the text begins within thinking.
        missing: what was asked for and is not there.
        prompt_tokens: of its prompt, as they were counted when it was let in.
        most_tokens: what budgets held its answer to; None if they did not.
        ended_by: the resource of the budget that cut it off, or `timeout`; empty if none did.
        limit: of that budget, or of the timeout in seconds.
        cancelled: whether its program cancelled it.
        after: seconds between the end of what came before in its run and the call.
        at: when it ended, in seconds since its run began; what came from a Store counts as long
            as it took the first time.
        end: the token that ended it, where log-probabilities were asked for.
        calls: the tools that the model called, where the engine told calls apart.
        spoken: the answer without calls, where the model wrote them into its text; else None.
        read: the text, as it was read while it came; until its Completion is made.
    """

    id: str
    text: str = ""
    tokens: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    ask_logprobs: tuple[float, ...] = ()
    finish_reason: FinishReason = "cancelled"
    ended: bool = False
    usage: Usage = NOTHING
    prompt_tokens: int = 0
    most_tokens: int | None = None
    ended_by: str = ""
    limit: float = 0.0
    cancelled: bool = False
    after: float = 0.0
    at: float = 0.0
    timing: Timing = UNTIMED
    engine: str = ""
    reasoning: str = ""
    inside: bool = False
    missing: tuple[str, ...] = ()
    end: TokenLogprob | None = None
    calls: tuple[ToolCall, ...] = ()
    spoken: str | None = None
    read: Thinking | None = field(default=None, repr=False, compare=False)

    @property
    def thinking(self) -> Thinking:
        """The text read: its thinking and its answer."""
        if self.read is not None and not self.read.inside:
            return self.read
        return split_thinking(self.text, self.inside, self.ended)

    def cut(self, most: int, price: Price) -> Outcome:
        """As it had been with fewer tokens of an answer; of the text about as much.

        Args:
            most: tokens that it may have.
            price: what they cost.
        """
        used = self.usage
        generated = used.cancelled + most
        cost = price.of(prompt=used.prompt, cached=used.cached, completion=generated)
        return replace(
            self,
            read=None,
            text=self.text[: len(self.text) * most // (len(self.tokens) or used.completion)],
            tokens=self.tokens[:most],
            logprobs=self.logprobs[:most],
            finish_reason="cancelled",
            ended=False,
            end=None,
            usage=replace(
                used,
                completion=0,
                cancelled=generated,
                reasoning=min(used.reasoning, generated),
                dollars=min(used.dollars, cost),
            ),
        )

    def record(self) -> str:
        """As JSON, for the Store: what differs from the default."""
        kept = _given(self)
        usage, timing = _given(self.usage), _given(self.timing)
        if usage:
            kept["usage"] = usage
        if timing:
            kept["timing"] = timing
        if self.logprobs:
            kept["logprobs"] = [_plain(one) for one in self.logprobs]
        if self.end is not None:
            kept["end"] = _plain(self.end)
        if self.calls:
            kept["calls"] = [{"name": c.name, "arguments": c.text, "id": c.id} for c in self.calls]
        try:
            return to_json(kept).decode()
        except PydanticSerializationError:  # half a surrogate pair, which UTF-8 does not have
            return json.dumps(kept)

    @classmethod
    def of(cls, id: str, record: str) -> Outcome:
        """A stored outcome, under the id that the call has in this run."""
        data = json.loads(record)
        if "asked" in data:  # its name in stores of before
            data["ask_logprobs"] = data.pop("asked")
        for name in ("tokens", "ask_logprobs", "missing"):
            if name in data:
                data[name] = tuple(data[name])
        if "logprobs" in data:
            data["logprobs"] = tuple([TokenLogprob(**t) for t in data["logprobs"]])
        if data.get("end") is not None:
            data["end"] = TokenLogprob(**data["end"])
        if "calls" in data:
            data["calls"] = tuple([ToolCall(**one) for one in data["calls"]])
        if "usage" in data:
            data["usage"] = Usage(**data["usage"])
        if "timing" in data:
            data["timing"] = Timing(**data["timing"])
        return cls(**data | {"id": id})


def _plain(one: TokenLogprob) -> dict[str, Any]:
    return {"token": one.token, "logprob": one.logprob, "top": one.top}


_APART = ("id", "usage", "timing", "read")
_FIELDS = {
    kind: [(f.name, f.default) for f in fields(kind) if f.name not in _APART]
    for kind in (Outcome, Usage, Timing)
}
_VALUES = {kind: attrgetter(*[name for name, _ in own]) for kind, own in _FIELDS.items()}


def _given(value: Outcome | Usage | Timing) -> dict[str, Any]:
    """The fields that differ from their defaults; `asdict` would copy every token."""
    kind = type(value)
    values = zip(_FIELDS[kind], _VALUES[kind](value), strict=True)
    return {name: own for (name, usual), own in values if own != usual}
