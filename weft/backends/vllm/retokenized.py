"""What a piece of an answer says, on a server without `/detokenize`: found by `/tokenize`.

Whether a prompt ends within a character is not known then. If the prompt does, the first text of
its answer is the text of the whole prompt as well, which is more than the answer's tokens.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

Tokenize = Callable[[str], Awaitable[Sequence[int]]]
"""The ids of a text."""

_MOST = 8  # characters that are tried
_END = 200  # characters of an answer that tell how it ends
_LAST = 4  # tokens of them: as many as a character's bytes


async def new_text(
    tokenize: Tokenize, text: str, prompt: tuple[int, ...], ids: tuple[int, ...], shown: str
) -> str | None:
    """What is new in the first text of an answer that goes on with an open one.

    Args:
        tokenize: asks the server.
        text: that came first.
        prompt: the last ids of the prompt.
        ids: of the answer so far.
        shown: the open answer's text before.

    Returns:
        None if the new text can't be told from the prompt's.
    """
    if len(await tokenize(text)) <= len(ids):
        return text
    whole = (*prompt, *ids)
    for count in range(1, min(_MOST, len(text)) + 1):
        # The character that the prompt begins has tokens of both.
        found = tuple(await tokenize(text[-count:]))
        if len(found) > len(ids) and whole[-len(found) :] == found:
            return text[-count:]
    before = tuple(await tokenize(shown[-_END:]))[-_LAST:]
    if before and prompt[-len(before) :] == before:
        return text  # the prompt ends with a whole character
    at = text.rfind(shown) if shown else -1
    return text[at + len(shown) :] if at >= 0 else None


async def to_stop(tokenize: Tokenize, text: str, ids: tuple[int, ...], end: int) -> tuple[str, int]:
    """A piece up to the token that completes a stop string, and how many tokens it has then.

    Args:
        tokenize: asks the server.
        text: of the piece.
        ids: its tokens.
        end: where in the text the stop string ends.
    """
    for at in range(end, min(end + _MOST, len(text))) if len(ids) > 1 else ():
        found = tuple(await tokenize(text[:at]))
        if ids[: len(found)] == found:
            return text[:at], len(found)
    return text, len(ids)
