"""How many tokens a prompt has of which only the text is known, as learned by model."""

from __future__ import annotations

import math
from typing import NamedTuple

_PRIOR = 0.0, 0.25
"""Tokens of a turn beside its text, and of a byte of text, before a model is known."""

_DOUBT = 16.0, 0.06
"""Variances of these."""

_DRIFT = 0.01, 5e-6
"""By how much the variances grow with each prompt, for texts are not alike."""

_NOISE = 0.05
"""Share of a prompt's tokens by which it is off."""

_LEAST = 1 / 16
"""Tokens that a byte has at least."""

_MEDIA = 1024.0
"""Tokens of a part that is no text, before a model is known."""

_LEARN_MEDIA = 0.3
"""Weight of one prompt in what is learned of such parts."""


class TextSize(NamedTuple):
    """How much there is of a prompt.

    Attributes:
        turns: whose text it is.
        text: its bytes.
        media: parts that are no text, such as images.
        known: tokens before all this, counted by an engine.
    """

    turns: int
    text: int
    media: int = 0
    known: int = 0


class TextLengths:
    """Learns from what engines report of their prompts' lengths.

    A prompt is taken to have so many tokens for each turn and so many for each byte. Both are
    followed by a Kalman filter, so one prompt teaches much at first, and short prompts, most of
    whose tokens are the template's, teach little about long ones. Of a prompt with parts that
    are no text the rest is theirs; of text it teaches nothing.
    """

    def __init__(self) -> None:
        self._known: dict[str, _Line] = {}
        self._media: dict[str, float] = {}

    def tokens(self, model: str, size: TextSize) -> int:
        """Tokens of a prompt of a model, as far as can be said."""
        count = self._text(model, size)
        if size.media:
            count += size.media * self.media(model)
        return size.known + max(1, math.ceil(count))

    def learn(self, model: str, size: TextSize, tokens: int) -> None:
        """Take note of how many tokens a prompt of a model truly has."""
        if not size.media:
            line = self._known.setdefault(model, _Line())
            line.learn(size.turns, size.text, tokens - size.known)
            return
        text = self._text(model, size)
        rest = tokens - size.known - text
        if rest > text:  # else it is too much of a guess how long the text is
            each = self._media.get(model, rest / size.media)
            self._media[model] = each + _LEARN_MEDIA * (rest / size.media - each)

    def token_bytes(self, model: str) -> float:
        """Bytes that a token of a model's text has on average."""
        line = self._known.get(model)
        return 1 / (_PRIOR if line is None else line.state)[1]

    def media(self, model: str) -> float:
        """Tokens of a part that is no text."""
        return self._media.get(model, _MEDIA)

    def dump(self) -> dict[str, dict[str, list[float]]]:
        """What was learned, for `load`."""
        return {
            "text": {model: line.dump() for model, line in self._known.items()},
            "media": {model: [each] for model, each in self._media.items()},
        }

    def load(self, kept: dict[str, dict[str, list[float]]]) -> None:
        """Take up what `dump` gave."""
        for model, values in kept.get("text", {}).items():
            self._known[model] = _Line(*values)
        for model, (each,) in kept.get("media", {}).items():
            self._media[model] = each

    def _text(self, model: str, size: TextSize) -> float:
        line = self._known.get(model)
        turn, byte = _PRIOR if line is None else line.state
        return size.turns * turn + size.text * byte


class _Line:
    """What is known of one model: the state of the filter and its covariance."""

    def __init__(
        self,
        turn: float = _PRIOR[0],
        byte: float = _PRIOR[1],
        of_turn: float = _DOUBT[0],
        of_byte: float = _DOUBT[1],
        both: float = 0.0,
    ) -> None:
        self.state: tuple[float, float] = (turn, byte)
        self._turn: float = of_turn
        self._byte: float = of_byte
        self._both: float = both

    def dump(self) -> list[float]:
        return [*self.state, self._turn, self._byte, self._both]

    def learn(self, turns: int, size: int, tokens: int) -> None:
        of_turn = self._turn * turns + self._both * size
        of_byte = self._both * turns + self._byte * size
        noise = (1 + _NOISE * tokens) ** 2
        whole = of_turn * turns + of_byte * size + noise
        turn, byte = self.state
        error = tokens - turn * turns - byte * size
        byte += of_byte / whole * error
        self.state = turn + of_turn / whole * error, byte if byte > _LEAST else _LEAST
        doubt = self._turn - of_turn * of_turn / whole + _DRIFT[0]
        self._turn = doubt if doubt < _DOUBT[0] else _DOUBT[0]
        doubt = self._byte - of_byte * of_byte / whole + _DRIFT[1]
        self._byte = doubt if doubt < _DOUBT[1] else _DOUBT[1]
        self._both -= of_turn * of_byte / whole
