"""Lengths: how many tokens a prompt has of which only the bytes are known, as learned by model."""

from __future__ import annotations

from typing import NamedTuple

from weft.service.protocols.media import TOKENS

_RATIO = 4.0  # bytes of a token, before anything is known of a model
_LEARN = 0.05  # weight of one prompt in what is learned of its model
_LEARN_MEDIA = 0.3  # the same for parts that are no text
_LEAST = 64  # tokens of a prompt that something is learned from


class Growth(NamedTuple):
    """What is to be said of a prompt's length before an engine has.

    Attributes:
        known: tokens of the prompt that it extends; 0 if it extends none.
        text: bytes of text behind that.
        media: parts behind that which are no text.
    """

    known: int
    text: int
    media: int


class Lengths:
    """Learns from what engines say of prompts, of text and of other parts for themselves.

    Attributes:
        ratios: bytes of a token of text, by model.
        media: tokens of a part that is no text, by model.
    """

    def __init__(self) -> None:
        self.ratios: dict[str, float] = {}
        self.media: dict[str, float] = {}

    def ratio(self, model: str) -> float:
        """Bytes of a token of text."""
        return self.ratios.get(model, _RATIO)

    def tokens(self, model: str, grown: Growth) -> int:
        """Tokens of a prompt, as far as can be said."""
        count = grown.text / self.ratio(model)
        if grown.media:
            count += grown.media * self.media.get(model, TOKENS)
        return grown.known + int(count)

    def learn_text(self, model: str, size: int, tokens: int) -> None:
        """Learn from a prompt that is all text.

        Args:
            model: whose tokens they are.
            size: bytes of the prompt.
            tokens: as the engine says.
        """
        if tokens >= _LEAST:
            ratio = self.ratio(model)
            self.ratios[model] = ratio + _LEARN * (size / tokens - ratio)

    def learn_media(self, model: str, grown: Growth, tokens: int) -> None:
        """Learn from a prompt with other parts; of text nothing.

        Args:
            model: whose tokens they are.
            grown: what was known of it.
            tokens: as the engine says.
        """
        text = grown.text / self.ratio(model)
        rest = tokens - grown.known - text
        if grown.media and rest > text:  # else it is too much of a guess how long the text is
            each = self.media.get(model, rest / grown.media)
            self.media[model] = each + _LEARN_MEDIA * (rest / grown.media - each)
