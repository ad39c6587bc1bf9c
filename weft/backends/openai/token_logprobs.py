"""Log-probabilities of a stream of chat completions, token by token."""

from __future__ import annotations

import codecs
from typing import Any, cast

from weft.backends.openai.reading import as_object
from weft.types import TokenLogprob


class TokenLogprobs:
    """Reads the log-probabilities of one answer's pieces.

    A token that is a part of a character has a name in place of a text, and `bytes` besides. The
    character is in the text of the token that completes it.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read(self, reported: Any) -> tuple[TokenLogprob, ...]:
        """One entry for each token, where they are reported."""
        content: Any = as_object(reported).get("content")
        read: list[TokenLogprob] = []
        for one in map(as_object, cast("list[Any]", content) if isinstance(content, list) else []):
            if isinstance(one.get("logprob"), int | float):
                given = cast("list[Any]", one.get("top_logprobs") or [])
                tops = [as_object(other) for other in given]
                name = str(one.get("token"))
                text = self._text(name, one.get("bytes"))
                top = {_named(other, name, text): float(other["logprob"]) for other in tops}
                read.append(TokenLogprob(text, float(one["logprob"]), top))
        return tuple(read)

    def _text(self, name: str, told: Any) -> str:
        try:
            raw = bytes(told or ())
        except (TypeError, ValueError):
            return name
        if not raw or (raw == name.encode("utf-8", "replace") and not self._decoder.getstate()[0]):
            return name
        return self._decoder.decode(raw)


def _named(other: dict[str, Any], name: str, text: str) -> str:
    """The text of an alternative, which may be the token itself."""
    token = str(other.get("token"))
    return text if token == name else token
