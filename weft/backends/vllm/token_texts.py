"""The texts of single tokens, under which log-probabilities are told: together, the text.

vLLM makes the text of a token from the tokens before it in the same answer. So a character that
an earlier answer began is in no token's text. And tokenizers that write words with the space
before them may drop this space from a token that is decoded alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from weft.types import TokenLogprob

BROKEN = "\ufffd"
"""What bytes that are no character decode to."""


def told(
    text: str, reported: Sequence[TokenLogprob], held: bool = False
) -> tuple[TokenLogprob, ...]:
    """Log-probabilities whose tokens say what the text says.

    A character is in the text of the token that completes it. A token that has no text in the
    answer, as special ones have none, keeps its name.

    Args:
        text: of a piece of an answer.
        reported: one for each token of the piece.
        held: whether the text before ends within a character, so that it may be held back.
    """
    if "".join([one.token for one in reported]) == text:
        return tuple(reported)
    if held and not text:
        return tuple([_renamed(one, "") for one in reported])
    texts = [one.token for one in reported]
    at = 0  # up to where the text is given to tokens
    open = -1  # the last token, if its text is not known yet
    for index, token in enumerate(texts):
        whole = bool(token) and BROKEN not in token
        before = texts[open] if open >= 0 else token if held and not at else None
        begin = _find(text, token, at, before) if whole else -1
        if begin < 0:
            texts[index], open = token if whole else "", index
            continue
        if begin > at and open >= 0:
            if text[begin - 1] == " " and begin - 1 > at:
                begin -= 1  # dropped from this token
            texts[open] = text[at:begin]
        end = text.index(token, begin) + len(token)
        texts[index], at, open = text[begin if open >= 0 else at : end], end, -1
    if rest := text[at:]:
        texts[open] = rest if open >= 0 else texts[open] + rest
    return tuple(map(_renamed, reported, texts))


def _find(text: str, token: str, at: int, open: str | None) -> int:
    """Where a token's text begins; -1 if it is not there.

    Args:
        text: of all tokens.
        token: what is looked for.
        at: where the text begins that no token has.
        open: what is known of the token before if it has no text yet: empty if it ends within
            a character.
    """
    if open is not None:
        return text.find(token, at + (not open))
    return at if text.startswith((token, " " + token), at) else -1


def _renamed(one: TokenLogprob, text: str) -> TokenLogprob:
    """A token under another text, also among the alternatives."""
    if one.token == text:
        return one
    top = {name: value for name, value in one.top.items() if name != text}
    if top.get(one.token) == one.logprob:
        top = {text if name == one.token else name: value for name, value in top.items()}
    return replace(one, token=text, top=top)
