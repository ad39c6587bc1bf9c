"""Cutting what a model produced: up to a character, with the ids of its tokens."""

from __future__ import annotations

from collections.abc import Sequence

from weft.programs import Prompt


def cut(made: Prompt, texts: Sequence[str], at: int, *, in_thinking: bool) -> Prompt:
    """What a call produced up to a character, to be continued there.

    Tokens keep their ids up to the last that ends there or before. What the next one begins
    with is added as text. If the engine tells of no token's text, all is text.

    Args:
        made: the Prompt that ends with what was produced.
        texts: of the tokens that were produced.
        at: how many characters to keep.
        in_thinking: whether these end within thinking.
    """
    above, text = made.parent, made.text[:at]
    assert above is not None
    if made.tokens is None or len(texts) != len(made.tokens) or "".join(texts) != made.text:
        return above.assistant(text, open=True)
    kept = end = 0
    while end < at and end + len(texts[kept]) <= at:
        end += len(texts[kept])
        kept += 1
    begun = above.produced(
        text[:end],
        tokens=made.tokens[:kept],
        model=made.model or "",
        call=made.call or "",
        in_thinking=in_thinking,
    )
    return begun if end == at else begun.assistant(text[end:], open=True)
