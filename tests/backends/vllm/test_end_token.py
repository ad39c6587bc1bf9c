"""The token that ends an answer is told apart, with the log-probability that the server reports."""

from __future__ import annotations

from typing import Any

import pytest

from weft.backends.http import wire
from weft.types import TokenLogprob


def choice(ids: list[int], told: list[str], **ends: Any) -> dict[str, Any]:
    return {
        "text": "".join(told[: len(ids)]),
        "token_ids": ids,
        "logprobs": {
            "tokens": told,
            "token_logprobs": [-0.5 * at for at in range(len(told))],
            "top_logprobs": [None] * len(told),
        },
        **ends,
    }


@pytest.mark.parametrize(
    ("said", "kept", "end"),
    [
        (choice([7, 8, 2], ["a", "b", ""], finish_reason="stop"), 2, TokenLogprob("", -1.0)),
        (choice([2], [""], finish_reason="stop"), 0, TokenLogprob("", 0.0)),
        (choice([7, 2], ["a"], finish_reason="stop"), 1, None),  # it reports none of the end
        (choice([7, 8], ["a", "b"], finish_reason="length"), 2, None),
        (choice([7, 8], ["a", "b"], finish_reason="stop", stop_reason="b"), 2, None),
        (choice([7], ["a"], finish_reason=None), 1, None),
    ],
    ids=["ended", "nothing else", "not told", "cut off", "stop string", "under way"],
)
def test_the_end(said: dict[str, Any], kept: int, end: TokenLogprob | None) -> None:
    read = wire.delta(said, 0)
    assert len(read.logprobs) == len(read.tokens) == kept
    assert read.end == end
    assert wire.delta(said, None).end is None
