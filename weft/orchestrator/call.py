"""A call as the scheduler sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from weft.cache.prefix import block_hashes
from weft.types import Request

_EXPECTED_OUTPUT = 256  # tokens, where the program sets no limit
_BYTES_PER_TOKEN = 4  # of text whose tokens are not known


@dataclass(slots=True)
class Call:
    """A request, and what it belongs to.

    Attributes:
        request: what the engine is asked.
        program: id of the run.
        node: the part of the program that asks.
    """

    request: Request
    program: str = ""
    node: str | None = None
    _hashes: dict[int, list[int]] = field(default_factory=dict[int, list[int]])

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt; an estimate where only its text is known."""
        tokens = self.request.tokens
        return len(tokens) if tokens is not None else len(self._text()) // _BYTES_PER_TOKEN

    @property
    def expected_tokens(self) -> int:
        """Most tokens that the answer is expected to have."""
        return self.request.sampling.max_tokens or _EXPECTED_OUTPUT

    def hashes(self, block_size: int) -> list[int]:
        """Chained hashes of the prompt's blocks, for `PrefixIndex`."""
        if block_size not in self._hashes:
            tokens: Sequence[int] | None = self.request.tokens
            if tokens is None:
                text = self._text()
                tokens = [
                    int.from_bytes(text[i : i + _BYTES_PER_TOKEN], "big")
                    for i in range(0, len(text), _BYTES_PER_TOKEN)
                ]
            self._hashes[block_size] = block_hashes(tokens, block_size)
        return self._hashes[block_size]

    def _text(self) -> bytes:
        return "".join(f"{m.role}\0{m.content}\0" for m in self.request.messages).encode(
            "utf-8", "surrogatepass"
        )
