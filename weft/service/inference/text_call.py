"""A call of which the service knows the text, not the tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from weft.orchestrator.call import Call
from weft.types import Request, Sampling


class TextCall(Call):
    """A client's request as the scheduler sees it.

    Engines render and tokenise such a prompt themselves, so its length is an estimate, and its
    blocks are pieces of text of about a block's length: which prompts share how much is exact,
    how many blocks that makes is not.

    Args:
        id: of the call.
        model: that is asked for.
        program: id of its program.
        tokens: of the prompt, as estimated.
        limit: most tokens of the answer, if the client says so.
        hashes: chained, of the prompt's blocks on the engines of the model.
        block_size: of these engines.
        chain: gives the same by block size, for other engines.
        stage: the part of the program that asks.
    """

    __slots__ = ("_block_size", "_chain", "_text_hashes", "_tokens")

    def __init__(
        self,
        id: str,
        model: str,
        program: str,
        tokens: int,
        limit: int | None,
        hashes: Sequence[int],
        block_size: int,
        chain: Callable[[int], Sequence[int]],
        stage: str = "",
    ) -> None:
        super().__init__(Request(id, model, (), sampling=_sampling(limit)), program, stage=stage)
        self._tokens, self._chain = tokens or 1, chain  # the shortest texts too
        self._text_hashes, self._block_size = hashes, block_size

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt, as estimated."""
        return self._tokens

    def hashes(self, block_size: int) -> Sequence[int]:
        """Chained hashes of the prompt's whole blocks of text."""
        return self._text_hashes if block_size == self._block_size else self._chain(block_size)

    def reported_hashes(self, block_size: int, answer: Sequence[int] = ()) -> Sequence[int]:
        """None: what engines report is hashed over tokens."""
        return ()

    def grown(self, block_size: int, answer: Sequence[int], count: int) -> Sequence[int]:
        """Those of the prompt: the answer's text comes back with the next one."""
        return self.hashes(block_size)


@lru_cache(1024)
def _sampling(limit: int | None) -> Sampling:
    return Sampling() if limit is None else Sampling(limit)
