"""Requests of which only the lengths and the content matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from weft.backends.engine import Engine
from weft.backends.simulated.decoding import Stay
from weft.cache.block_hashes import block_hashes, salted
from weft.errors import ContextExceeded, Unsupported, UsageError
from weft.leases.directive import read_directive
from weft.types import Request

_ANSWER = 256  # tokens, where a request sets no limit


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedRequest(Request):
    """A request of which the lengths and the content are known, but no tokens.

    Attributes:
        prompt: tokens of the prompt.
        answer: tokens that will be generated.
        blocks: chained hashes of the whole blocks of prompt and answer, in order; fewer, if
            the last are like no others.
    """

    prompt: int
    answer: int
    blocks: Sequence[int] = ()


def stay_of(request: Request, engine: Engine) -> Stay:
    """What a request means to a simulated engine.

    Args:
        request: a `SimulatedRequest`, or one with token ids. The answer of the latter has
            `max_tokens` tokens, or 256, as far as they fit, and nobody finds it in the cache.
        engine: which must know its `context`.

    Raises:
        ContextExceeded: it can never fit.
        UsageError: its lengths and blocks do not belong together.
        Unsupported: its tokens are not known.
    """
    if isinstance(request, SimulatedRequest):
        prompt, answer, hashes = request.prompt, request.answer, request.blocks
    elif request.tokens is not None:
        prompt, answer = len(request.tokens), request.sampling.max_tokens or _ANSWER
        if engine.context is not None:  # as vLLM does, without a word
            answer = max(1, min(answer, engine.context - prompt))
        hashes = block_hashes(request.tokens, engine.block_size)
        if request.cache_salt:
            hashes = salted(hashes, request.cache_salt)
    else:
        raise Unsupported(
            f"the simulated engine {engine.name} needs the prompt's tokens; send a "
            "SimulatedRequest, or token ids"
        )
    if prompt < 1 or answer < 1 or len(hashes) > (prompt + answer) // engine.block_size:
        raise UsageError(
            f"request {request.id}: {prompt} prompt and {answer} answer tokens with "
            f"{len(hashes)} blocks of {engine.block_size}; both must be at least 1, and the "
            "blocks be those of these tokens"
        )
    # The last token is never computed, and needs no room.
    if engine.context is not None and prompt + answer - 1 > engine.context:
        raise ContextExceeded(
            f"request {request.id} needs {prompt + answer} tokens, and the KV cache of "
            f"engine {engine.name} holds {engine.context}; shorten it, or give the engine more"
        )
    return Stay(request.id, prompt, answer, hashes, keep=read_directive(request.keep))
