"""compact: a conversation that has become too long, with its oldest turns summarised."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Unpack, cast

from weft.context.turns import grafted, turns
from weft.errors import OutputError, UsageError
from weft.programs import Prompt, generate, node
from weft.programs.calls.count import count
from weft.programs.calls.settings import CallSettings
from weft.types import Message, MoreSampling

if TYPE_CHECKING:
    from weft.programs.tools.marking import Tool

Summarise = Callable[[Sequence[Message]], Awaitable[str] | str]

ASK = (
    "The conversation has become too long. Write a summary of all that came before this message, "
    "behind the first request. The summary will stand in place of it. Keep what is needed to go "
    "on: what was asked, decided, done and found out, with names, numbers and paths as they are, "
    "and what is still to do. Answer with the summary alone."
)
"""What the model is asked for a summary with."""

SUMMARY = "Summary of what came before:\n\n"
GO_ON = "Go on from this summary."


async def compact(
    prompt: Prompt,
    *,
    limit: int,
    to: int | None = None,
    keep: int = 1,
    summary: Summarise | None = None,
    summary_tokens: int = 1024,
    tools: Sequence[Tool | Callable[..., Any]] = (),
    role: str = "solver",
    **more: Unpack[MoreSampling],
) -> Prompt:
    """Replace the oldest turns by a summary, if the prompt has more tokens than `limit`.

    The system prompt and the first turns stay as they are, and the last turns too, with the
    tokens that a model produced. So the engine's cache still has the beginning. A tool's result
    stays with its call, and turns go on to alternate. Tokens are counted as `generate` sends them
    (see `count`): exactly, where engines take token ids.

    The summary is asked for behind the very turns that it replaces, which the engine has in its
    cache. The call is a call of the program, in the node `compaction`.

    Args:
        prompt: the conversation.
        limit: most tokens; a prompt of no more is given back as it is.
        to: most tokens afterwards, the summary's included; half of `limit` by default. Where the
            last turn alone does not leave room for this, the limit holds.
        keep: how many turns behind the system prompt stay as they are: with 1, the first request.
            An answer and the results of its calls are one turn.
        summary: writes the summary of the turns that it is given; the model does, by default.
        summary_tokens: most tokens that the model writes for a summary; `summary` should keep to
            that too.
        tools: the tools that the program's calls have: their schemas count, and stand before all.
        role: which of the pool's models the prompt is for, and summarises.
        **more: settings of the program's calls, as far as they change how prompts are written.

    Returns:
        `prompt` itself, or one whose tokens are within `limit`.

    Raises:
        UsageError: an argument is out of range; or what must stay does not fit within `limit`.
        OutputError: there is no summary in the model's answer.
        BudgetExceeded: a budget in force is used up.
        EngineError: no engine could summarise.
    """
    to = limit // 2 if to is None else to
    for name, number, least in (("limit", limit, 2), ("to", to, 1), ("keep", keep, 0)):
        if type(number) is not int or number < least:
            raise UsageError(f"compact {name}={number!r} must be a whole number from {least} on")
    if to > limit:
        raise UsageError(f"compact to={to} must not be above limit={limit}")
    if type(summary_tokens) is not int or not 0 < summary_tokens < limit:
        raise UsageError(
            f"compact summary_tokens={summary_tokens!r} must be a whole number from 1 to below "
            f"limit={limit}"
        )
    size = partial(count, tools=tools, role=role, **more)
    if await size(prompt) <= limit:
        return prompt
    whole = turns(prompt)
    first = next((at for at, turn in enumerate(whole) if turn[0].role != "system"), len(whole))
    first = min(first + keep, len(whole))
    head = whole[first - 1][-1] if first else Prompt()
    at = await _cut(whole, first, head, limit, to, summary_tokens, size)
    replaced, rest = list(chain(*whole[first:at])), list(chain(*whole[at:]))
    told = await compaction(replaced, summary, summary_tokens, tools, role, more)
    made = _joined(head, told, rest)
    if (tokens := await size(made)) > limit:
        raise UsageError(
            f"the summary leaves a prompt of {tokens} tokens, above limit={limit}; have `summary` "
            "write less"
        )
    return made


async def _cut(
    whole: list[list[Prompt]],
    first: int,
    head: Prompt,
    limit: int,
    to: int,
    summary_tokens: int,
    size: Callable[[Prompt], Awaitable[int]],
) -> int:
    """The turn from which on all stay: the earliest that leaves the prompt small enough."""

    async def left(at: int) -> int:
        return await size(_joined(head, SUMMARY, list(chain(*whole[at:])))) + summary_tokens

    # Behind an answer, so that the request for a summary does not follow another request.
    places = [at for at in range(first + 1, len(whole)) if whole[at - 1][0].role != "user"]
    places = places or list(range(first + 1, len(whole)))
    if not places:
        raise UsageError(
            f"the prompt has more than limit={limit} tokens, and no turn between those kept that "
            "a summary could replace; keep fewer turns, or raise the limit"
        )
    low, high = 0, len(places) - 1
    while low < high:
        middle = (low + high) // 2
        if await left(places[middle]) <= to:
            high = middle
        else:
            low = middle + 1
    if (tokens := await left(places[low])) > limit:
        raise UsageError(
            f"what must stay, with a summary of {summary_tokens} tokens, has {tokens} tokens, "
            f"above limit={limit}; shorten the last turn, or raise the limit"
        )
    return places[low]


@node
async def compaction(
    replaced: Sequence[Prompt],
    summary: Summarise | None,
    summary_tokens: int,
    tools: Sequence[Tool | Callable[..., Any]],
    role: str,
    more: MoreSampling,
) -> str:
    """The summary of some turns under its heading, by a function or by the model."""
    if summary is not None:
        made = summary(grafted(Prompt(), replaced).messages)
        text = cast("object", await made if inspect.isawaitable(made) else made)
        if not isinstance(text, str) or not text.strip():
            raise UsageError(f"summary must give a text, not {text!r:.60}")
        return SUMMARY + text.strip()
    asked = replaced[-1].user(ASK)
    settings: CallSettings = {"max_tokens": summary_tokens, "temperature": 0.0, "role": role}
    settings = {**more, **settings}
    # Tools stand before the conversation, so without them nothing would be cached.
    said = await generate(asked, tools=tools, tool_choice="none" if tools else None, **settings)
    if not said.text.strip():
        why = " (its thinking took all tokens)" if said.in_thinking else ""
        raise OutputError(f"the summary is empty{why}; raise summary_tokens", said)
    return SUMMARY + said.text.strip()


def _joined(head: Prompt, told: str, rest: Sequence[Prompt]) -> Prompt:
    """A conversation with a summary in its middle; turns alternate as they did."""
    if head.role in ("user", "tool"):
        made = head.assistant(told)
        if rest[0].role == "assistant":
            made = made.user(GO_ON)
    elif rest[0].role == "assistant":
        made = head.user(told)
    else:
        made = head.user(ASK).assistant(told)
    return grafted(made, rest)
