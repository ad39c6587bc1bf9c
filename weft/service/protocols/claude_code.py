"""Anthropic's turns: what Claude Code sends that spoils shared prefixes is mended."""

from __future__ import annotations

from typing import Any, cast

Fields = dict[str, Any]
_BILLING = "x-anthropic-billing-header"
_REMINDER = "<system-reminder>\n%s\n</system-reminder>"


def without_billing(system: Any) -> Any:
    """System text or blocks less Claude Code's billing header; the same object if there is none.

    It holds a hash that differs in every request, in front of everything that is shared.
    """
    if isinstance(system, str):
        return system.partition("\n")[2] if system.startswith(_BILLING) else system
    if isinstance(system, list):
        blocks = cast(list[Any], system)
        kept = [block for block in blocks if not _text_of(block).startswith(_BILLING)]
        return kept if len(kept) < len(blocks) else blocks
    return system


def mend_turns(turns: list[Fields]) -> list[Fields]:
    """Turns without the role `system`; the same object if there are none of it.

    Many chat templates (Qwen's among them) refuse system messages that are not the first, and
    for those vLLM appends them all to the system prompt: each new reminder then changes the
    beginning of the prompt, and nothing of the conversation is found in the cache. So their
    text stays where it is as what Claude Code itself uses in user turns, a reminder. It joins
    the user's turn before it (there Claude Code puts them, and what was sent so stays so), or
    else the one behind it, after its tool results; some templates insist on alternating roles.
    System turns that change the tools stay: only vLLM knows what to do with them.
    """
    if not any(turn["role"] == "system" for turn in turns):
        return turns
    mended: list[Fields] = []
    waiting: list[Fields] = []  # reminders for the next user's turn
    for turn in turns:
        reminders = _reminders(turn)
        if reminders is None:
            if waiting and turn["role"] == "user":
                turn = _led(turn, waiting)
            elif waiting:
                mended.append({"role": "user", "content": waiting})
            waiting = []
            mended.append(turn)
        elif mended and mended[-1]["role"] == "user":
            before = mended[-1]
            mended[-1] = {**before, "content": [*_blocks(before), *reminders]}
        else:
            waiting = [*waiting, *reminders]
    if waiting:
        mended.append({"role": "user", "content": waiting})
    return mended


def _reminders(turn: Fields) -> list[Fields] | None:
    """The texts of a system turn as blocks for a user's; None for a turn that stays."""
    if turn["role"] != "system":
        return None
    blocks = _blocks(turn)
    if not all(isinstance(block.get("text"), str) for block in blocks):
        return None
    texts = [block["text"] for block in blocks]
    return [
        {"type": "text", "text": _REMINDER % text}
        for text in texts
        if text and not text.startswith(_BILLING)
    ]


def _led(turn: Fields, reminders: list[Fields]) -> Fields:
    """A user's turn with reminders in front, though behind its tool results."""
    blocks = _blocks(turn)
    results = 0
    while results < len(blocks) and blocks[results].get("type") == "tool_result":
        results += 1
    return {**turn, "content": [*blocks[:results], *reminders, *blocks[results:]]}


def _blocks(turn: Fields) -> list[Fields]:
    content = turn.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    given = cast(list[Any], content) if isinstance(content, list) else []
    return [
        cast(Fields, one) if isinstance(one, dict) else {"type": "text", "text": str(one)}
        for one in given
    ]


def _text_of(block: Any) -> str:
    text: Any = cast(Fields, block).get("text") if isinstance(block, dict) else None
    return text if isinstance(text, str) else ""
