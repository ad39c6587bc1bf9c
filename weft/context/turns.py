"""Turns of a Prompt that stay together, and turns put behind another conversation."""

from __future__ import annotations

from collections.abc import Iterable

from weft.programs import Prompt


def turns(prompt: Prompt) -> list[list[Prompt]]:
    """The turns of a Prompt, oldest first, where it may be cut.

    The pieces of an answer that was written in several calls are one turn. So are an answer that
    calls tools and the results of its calls: a result without its call, or a call without its
    result, is refused by most engines.

    Args:
        prompt: the conversation.

    Returns:
        of each turn its pieces. The last of them is the Prompt that ends there.
    """
    found: list[list[Prompt]] = []
    for piece in reversed(list(prompt.lineage())):
        before = found[-1][-1] if found else None
        goes_on = before is not None and (
            piece.role == "tool"
            or (piece.role == "assistant" and before.role == "assistant" and before.open)
        )
        if goes_on:
            found[-1].append(piece)
        else:
            found.append([piece])
    return found


def grafted(stem: Prompt, pieces: Iterable[Prompt]) -> Prompt:
    """The same pieces behind another conversation; what a model produced keeps its tokens.

    Args:
        stem: the conversation that they follow.
        pieces: what is added, in order.
    """
    made = stem
    for piece in pieces:
        copy = Prompt(
            made,
            piece.role,
            piece.text,
            open=piece.open,
            tokens=piece.tokens,
            model=piece.model,
            call=piece.call,
            media=piece.media,
            calls=piece.calls,
            spoken=piece.spoken,
            answers=piece.answers,
        )
        copy.in_thinking = piece.in_thinking
        made = copy
    return made


def added(prompt: Prompt, text: str, *, between: str = "\n\n") -> Prompt:
    """A text at the end of a Prompt: within its last turn, if that is the user's; else as a turn.

    Many templates refuse two turns of the user's in a row.

    Args:
        prompt: the conversation.
        text: what is added.
        between: what is put before it, if it joins a text that does not end a line.
    """
    if prompt.role != "user":
        return prompt.user(text)
    gap = "" if not prompt.text or prompt.text.endswith("\n") else between
    return Prompt(prompt.parent, "user", prompt.text + gap + text, media=prompt.media)
