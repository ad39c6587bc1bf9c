"""Byte-level BPE tokenizers as real models have them, made from the pieces that one wants."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from chat_templates import ADDED, SPECIAL

SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Words as newer models split them: a full stop and the newlines behind it stay together."""

PIECES = (
    " the",
    "The",
    " sea",
    " is",
    ".\n\n",
    ".\n",
    "\n\n",
    " yes",
    " Yes",
    "Yes",
    " no",
    " No",
    "No",
    "answer",
    "Step",
    "\n1",
)
"""Some words, and ends of steps that are one token with the full stop before them."""


def alphabet() -> list[str]:
    """The character that stands for each byte, as GPT-2 chose them."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = itertools.count(256)
    return [chr(byte) if byte in shown else chr(next(others)) for byte in range(256)]


def byte_bpe(pieces: Iterable[str] = PIECES) -> Tokenizer:
    """A tokenizer in which each piece is one token and everything else is bytes."""
    letters = alphabet()
    vocabulary = {letter: at for at, letter in enumerate(letters)}
    merges: dict[tuple[str, str], None] = {}
    for piece in pieces:
        written = [letters[byte] for byte in piece.encode()]
        for end in range(2, len(written) + 1):
            left, right = "".join(written[: end - 1]), written[end - 1]
            if left + right not in vocabulary:
                vocabulary[left + right] = len(vocabulary)
                merges[left, right] = None
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=list(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(one, special=True) for one in SPECIAL])
    tokenizer.add_tokens([AddedToken(one, normalized=False) for one in ADDED])
    return tokenizer


def words(count: int) -> Iterator[str]:
    """Made-up words, the same each time: enough of them make a vocabulary of real size."""
    starts = [c + v for c in "bcdfghklmnprst" for v in "aeiou"]
    ends = [c + v for c in "lmnrst" for v in "aeio"]
    yield from PIECES
    for syllables in itertools.islice(itertools.product(starts, ends, starts), count):
        yield " " + "".join(syllables)
