"""What endpoints say of the tokens that a request took, under the names that they use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast


@dataclass(frozen=True, slots=True)
class Counts:
    """Tokens as far as they are reported; None where they are not.

    Attributes:
        prompt: of the prompt, cached ones included.
        completion: that were generated, thinking included.
        cached: of the prompt, found in a cache.
        reasoning: of those generated, thinking.
    """

    prompt: int | None = None
    completion: int | None = None
    cached: int | None = None
    reasoning: int | None = None

    def later(self, other: Counts) -> Counts:
        """With what is reported later on: those tell what was used so far in all."""
        return Counts(
            _last(self.prompt, other.prompt),
            _last(self.completion, other.completion),
            _last(self.cached, other.cached),
            _last(self.reasoning, other.reasoning),
        )


_MOST = 2**40
"""What is more, or less than nothing, is no count of tokens."""


def _last(before: int | None, now: int | None) -> int | None:
    return before if now is None or (before is not None and before > now) else now


def counts(event: Mapping[str, Any], choice: Mapping[str, Any] | None = None) -> Counts:
    """The usage in an event, wherever it stands: in itself, its choice, or a vendor's member."""
    found = Counts()
    for holder in (event, choice, event.get("x_groq"), event.get("message")):
        if isinstance(holder, Mapping):
            held = cast("Mapping[str, Any]", holder)
            found = found.later(_of_usage(held.get("usage")))
    return found


def _of_usage(usage: Any) -> Counts:
    if not isinstance(usage, Mapping):
        return Counts()
    used = cast("Mapping[str, Any]", usage)
    given = _details(used, "prompt_tokens_details", "input_tokens_details")
    made = _details(used, "completion_tokens_details", "output_tokens_details")
    prompt = _count(used, "prompt_tokens", "input_tokens")
    completion = _count(used, "completion_tokens", "output_tokens")
    reasoning = _count(made, "reasoning_tokens")
    reasoning = _count(used, "reasoning_tokens") if reasoning is None else reasoning
    total = _count(used, "total_tokens")
    if prompt is not None and completion is not None and total is not None:
        # Some count their thinking in the total alone.
        apart = total - prompt - completion
        if apart > 0:
            completion += apart
            reasoning = reasoning or apart
    cached = _count(given, "cached_tokens")
    if cached is None:
        cached = _count(used, "cached_tokens", "prompt_cache_hit_tokens")
    if prompt is not None and cached is not None:
        cached = min(cached, prompt)
    return Counts(prompt or None, completion, cached, reasoning)  # no prompt has no tokens


def _details(used: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        if isinstance(found := used.get(name), Mapping):
            return cast("Mapping[str, Any]", found)
    return {}


def _count(used: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = used.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _MOST:
            return int(value)
    return None
