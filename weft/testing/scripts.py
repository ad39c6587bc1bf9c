"""Answers of a scripted engine, conversation by conversation, with calls of tools."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from weft.backends.scripted.engine import Scripted
from weft.errors import RequestRejected, UsageError
from weft.types import Request, ToolCall

Answer = str | Scripted
Reply = Callable[[Request], Answer]


def calls(*given: tuple[str, Mapping[str, Any]] | ToolCall, text: str = "") -> Scripted:
    """An answer that calls tools.

        ScriptedEngine(conversation(calls(("read", {"path": "a.txt"})), "three lines"))

    Args:
        *given: each a tool's name and its arguments, or a `ToolCall`.
        text: what the model says before the calls.

    Raises:
        UsageError: there is no call, or one is neither.
    """
    made: list[ToolCall] = []
    for one in given:
        if isinstance(one, ToolCall):
            made.append(one)
            continue
        try:
            name, arguments = one
            made.append(ToolCall(name, dict(arguments)))
        except (TypeError, ValueError):
            raise UsageError(
                f"calls takes a tool's name and its arguments, as in calls(('read', "
                f"{{'path': 'a'}})), not {one!r:.60}"
            ) from None
    if not made:
        raise UsageError("calls needs a call of a tool; for an answer without one give its text")
    return Scripted(text, tools=made)


def conversation(*answers: Answer) -> Reply:
    """Answers by their turn: the first one begins each conversation, the second comes next.

    Unlike a list, which is given out in the order in which requests come, this also suits
    conversations that go on side by side. An open answer counts as one to come.

    Args:
        *answers: texts, or what `calls` makes.
    """

    def reply(request: Request) -> Answer:
        turns = request.messages[:-1] if request.open else request.messages
        at = sum(turn.role == "assistant" for turn in turns)
        if at >= len(answers):
            raise RequestRejected(
                f"the script has {len(answers)} answers for a conversation, and is asked for "
                f"another one behind {turns[-1].content!r:.80}; add it"
            )
        return answers[at]

    return reply


def conversations(scripts: Mapping[str, Sequence[Answer] | Answer]) -> Reply:
    """Answers for several conversations, each known by a text in its first user's turn.

        ScriptedEngine(conversations({"Plan": "two steps", "Mend a.py": [calls(...), "done"]}))

    Args:
        scripts: by that text: the answers in turn. Of several texts that fit, the longest counts.
    """
    made = {
        text: conversation(*([given] if isinstance(given, str | Scripted) else given))
        for text, given in scripts.items()
    }

    def reply(request: Request) -> Answer:
        first = next((turn.content for turn in request.messages if turn.role == "user"), "")
        fitting = [text for text in made if text in first]
        if not fitting:
            raise RequestRejected(f"the script has no conversation for {first!r:.200}; add it")
        return made[max(fitting, key=len)](request)

    return reply
