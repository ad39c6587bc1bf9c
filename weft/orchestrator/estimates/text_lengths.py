"""How many tokens a prompt has of which only the text is known, as learned by model."""

from __future__ import annotations

import math

_PRIOR = 0.0, 0.25
"""Tokens of a turn beside its text, and of a byte of text, before a model is known."""

_DOUBT = 16.0, 0.06
"""Variances of these."""

_DRIFT = 0.01, 5e-5
"""By how much the variances grow with each prompt, for texts are not alike."""

_NOISE = 0.05
"""Share of a prompt's tokens by which it is off."""

_LEAST = 1 / 16
"""Tokens that a byte has at least."""


class TextLengths:
    """Learns from what engines report of their prompts' lengths.

    A prompt is taken to have so many tokens for each turn and so many for each byte. Both are
    followed by a Kalman filter, so one prompt teaches much at first, and short prompts, most of
    whose tokens are the template's, teach little about long ones.
    """

    def __init__(self) -> None:
        self._known: dict[str, _Line] = {}

    def tokens(self, model: str, turns: int, size: int) -> int:
        """Tokens of a prompt, as far as can be said.

        Args:
            model: whose tokens they are.
            turns: of the prompt.
            size: bytes of its text.
        """
        line = self._known.get(model)
        turn, byte = _PRIOR if line is None else line.state
        return max(1, math.ceil(turns * turn + size * byte))

    def learn(self, model: str, turns: int, size: int, tokens: int) -> None:
        """Take note of a prompt's true length; the arguments are those of `tokens`."""
        self._known.setdefault(model, _Line()).learn(turns, size, tokens)


class _Line:
    """What is known of one model: the state of the filter and its covariance."""

    def __init__(self) -> None:
        self.state: tuple[float, float] = _PRIOR
        self._turn: float = _DOUBT[0]
        self._both: float = 0.0
        self._byte: float = _DOUBT[1]

    def learn(self, turns: int, size: int, tokens: int) -> None:
        of_turn = self._turn * turns + self._both * size
        of_byte = self._both * turns + self._byte * size
        noise = (1 + _NOISE * tokens) ** 2
        whole = of_turn * turns + of_byte * size + noise
        turn, byte = self.state
        error = tokens - turn * turns - byte * size
        self.state = (
            turn + of_turn / whole * error,
            max(_LEAST, byte + of_byte / whole * error),
        )
        self._turn = min(_DOUBT[0], self._turn - of_turn**2 / whole + _DRIFT[0])
        self._byte = min(_DOUBT[1], self._byte - of_byte**2 / whole + _DRIFT[1])
        self._both -= of_turn * of_byte / whole
