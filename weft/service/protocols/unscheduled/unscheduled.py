"""Endpoints that generate nothing: they are passed to any engine of the model."""

from __future__ import annotations

from weft.service.protocols.answers.meters import Through
from weft.service.protocols.errors.error_words import ErrorWords, openai_body, openai_event
from weft.service.protocols.events import known_tokens, member, tokens
from weft.service.protocols.protocol import Body, Meter, Protocol, Used


class Unscheduled(Protocol):
    """An endpoint of OpenAI's kind whose answers are whole and need no program."""

    schedules = False

    def mend(self, body: Body) -> bool:
        """Nothing."""
        return False

    def pieces(self, body: Body) -> list[bytes]:
        """None: no engine keeps what was computed for it."""
        return []

    def limit(self, body: Body) -> int | None:
        """None: nothing is generated."""
        return None

    def streamed(self, body: Body) -> bool:
        """Never."""
        return False

    def extra(self, body: Body) -> bytes:
        """Nothing."""
        return b""

    def used(self, answer: Body) -> Used:
        """See Protocol."""
        return Used(
            prompt=tokens(member(answer, "usage", "prompt_tokens")),
            cached=known_tokens(member(answer, "usage", "prompt_tokens_details", "cached_tokens")),
        )

    def meter(self, body: Body) -> Meter:
        """Passes everything on."""
        return Through()

    def error(self, words: ErrorWords) -> bytes:
        """See Protocol."""
        return openai_body(words)

    def error_event(self, words: ErrorWords, answer: str = "") -> bytes:
        """See Protocol."""
        return openai_event(words)
