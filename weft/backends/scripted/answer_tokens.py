"""The tokens of a scripted answer: where they end, and what is told of each."""

from __future__ import annotations

from collections.abc import Callable

from weft.backends.scripted.vocabulary import Vocabulary, text_decoder
from weft.types import Delta, FinishReason, Sampling, TokenLogprob


def limited(
    vocabulary: Vocabulary,
    tokens: tuple[int, ...],
    how: Sampling,
    room: int | None,
    begun: bytes,
) -> tuple[tuple[int, ...], tuple[FinishReason, bool]]:
    """The tokens up to a stop string or a limit; why they end; whether by themselves.

    Args:
        vocabulary: of the tokens.
        tokens: of the whole answer.
        how: stop strings and limit.
        room: tokens that the engine's context leaves; None for no limit.
        begun: what the prompt has of the first character.
    """
    finish: tuple[FinishReason, bool] = ("stop", True)
    whole = begun + b"".join(map(vocabulary.raw, tokens)) if how.stop else b""
    if any(stop.encode("utf-8", "surrogatepass") in whole for stop in how.stop):
        decoder = text_decoder()
        text = decoder.decode(begun)
        for count, token in enumerate(tokens, 1):
            text += decoder.decode(vocabulary.raw(token))
            if any(stop in text for stop in how.stop):
                tokens, finish = tokens[:count], ("stop", False)
                break
    most = min((n for n in (how.max_tokens, room) if n), default=None)
    # The END token takes room as well.
    if most is not None and len(tokens) + finish[1] > most:
        return tokens[:most], ("length", False)
    return tokens, finish


def teller(
    vocabulary: Vocabulary, begun: bytes, how: Sampling, takes_tokens: bool
) -> Callable[[tuple[int, ...]], Delta]:
    """Makes deltas of an answer's tokens, none or one at a time.

    Args:
        vocabulary: of the tokens.
        begun: the bytes of a character that the prompt ends with.
        how: whether log-probabilities are wanted.
        takes_tokens: whether the engine tells ids.
    """
    decoder, wanted = text_decoder(), how.logprobs
    decoder.decode(begun)

    def says(tokens: tuple[int, ...]) -> Delta:
        if vocabulary.bytes:
            text = decoder.decode(b"".join(map(vocabulary.raw, tokens)))
        else:
            text = vocabulary.decode(tokens)
        logprobs: tuple[TokenLogprob, ...] = ()
        if wanted is not None and tokens:
            logprobs = (TokenLogprob(text, 0.0, {text: 0.0} if wanted else {}),)
        return Delta(text, tokens if takes_tokens else (), 1, logprobs)

    return says
