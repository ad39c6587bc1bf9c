"""What a call gave, also as it is kept in the Store."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields

from weft.thinking import Thinking, split_thinking
from weft.types import FinishReason, Timing, TokenLogprob, Usage


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
        ended_by: the resource of the budget that cut it off; empty if none did.
        limit: of that budget.
        after: seconds between the end of what came before in its run and the call.
    """

    id: str
    text: str = ""
    tokens: tuple[int, ...] = ()
    logprobs: list[TokenLogprob] = field(default_factory=list[TokenLogprob])
    ask_logprobs: tuple[float, ...] = ()
    finish_reason: FinishReason = "cancelled"
    ended: bool = False
    usage: Usage = field(default_factory=Usage)
    prompt_tokens: int = 0
    most_tokens: int | None = None
    ended_by: str = ""
    limit: float = 0.0
    after: float = 0.0
    timing: Timing = field(default_factory=Timing)
    engine: str = ""
    reasoning: str = ""
    inside: bool = False
    missing: tuple[str, ...] = ()

    @property
    def thinking(self) -> Thinking:
        """The text read: its thinking and its answer.

        A model that ended what it was to begin with thinking, without ever ending that, did
        not think.
        """
        found = split_thinking(self.text, self.inside)
        if self.inside and self.ended and found.inside:
            return split_thinking(self.text)
        return found

    def record(self) -> str:
        """As JSON, for the Store."""
        kept = {name: getattr(self, name) for name in _FIELDS}
        kept["usage"] = {name: getattr(self.usage, name) for name in _USAGE}
        kept["timing"] = {name: getattr(self.timing, name) for name in _TIMING}
        kept["logprobs"] = [
            {"token": t.token, "logprob": t.logprob, "top": t.top} for t in self.logprobs
        ]
        return json.dumps(kept)

    @classmethod
    def of(cls, id: str, record: str) -> Outcome:
        """A stored outcome, under the id that the call has in this run."""
        data = json.loads(record)
        data["id"] = id
        data["tokens"] = tuple(data["tokens"])
        earlier = data.pop("asked", ())  # its name in stores of before
        data["ask_logprobs"] = tuple(data.get("ask_logprobs", earlier))
        data["missing"] = tuple(data.get("missing", ()))
        data["logprobs"] = [TokenLogprob(**t) for t in data["logprobs"]]
        data["usage"] = Usage(**data["usage"])
        data["timing"] = Timing(**data["timing"])
        return cls(**data)


# `asdict` would copy every token on its way.
_FIELDS = tuple(f.name for f in fields(Outcome))
_USAGE = tuple(f.name for f in fields(Usage))
_TIMING = tuple(f.name for f in fields(Timing))
