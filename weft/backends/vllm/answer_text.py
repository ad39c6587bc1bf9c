"""The text of an answer of vLLM: what its token ids say.

vLLM makes text of tokens as they come, and nearly always rightly. It does not

- where the prompt ends within a character, as an answer does that was cut off there: the
  first text is then that of the whole prompt, and stop strings are looked for in all of it;
- behind a stop string that ends within a token: the text is cut there, the token is not;
- where stop strings are given and the token that ends the answer is no special one: its text
  is shown.

In these cases, and only then, the server is asked what the ids say. Text ends with the last
whole character; the bytes of one that is not whole yet are shown when it is, by the answer
that goes on with it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from weft.types import Delta

BROKEN = "\ufffd"
"""What bytes that are no character decode to."""

WINDOW = 64
"""How many of a prompt's last tokens are looked at."""

Decode = Callable[[Sequence[int]], Awaitable[str | None]]
"""What ids say, special tokens included; None if the server can't tell."""


class Decoder:
    """Asks a server what ids say; remembers the texts of single tokens.

    Args:
        ask: asks it.
    """

    def __init__(self, ask: Decode) -> None:
        self.text = ask
        self._pieces: dict[int, str] = {}

    async def piece(self, token: int) -> str:
        """The text of one token; empty if the server can't tell."""
        if (known := self._pieces.get(token)) is None:
            known = self._pieces[token] = await self.text((token,)) or ""
        return known

    async def whole(self, ids: Sequence[int]) -> str:
        """What ids say up to the last whole character."""
        text = ""
        for end in range(len(ids), 0, -1):
            text = await self.text(ids[:end]) or ""
            if not text.endswith(BROKEN):
                return text
        return ""


class AnswerText:
    """Mends the text of one answer where it is not what the ids say.

    Args:
        decoder: asks the server.
        prompt: the ids that the answer follows.
        stops: strings that end it.

    Attributes:
        stops_here: whether stop strings are looked for here, not by the server.
    """

    def __init__(self, decoder: Decoder, prompt: tuple[int, ...], stops: tuple[str, ...]) -> None:
        self._decoder, self._stops = decoder, stops
        self._prompt = prompt[-WINDOW:]
        self._before: str | None = None
        self._ids: list[int] = []
        self._text = ""
        self.stops_here = False

    async def begin(self, shown: str) -> None:
        """Look at the prompt's end, whose text `shown` ends with."""
        last = await self._decoder.piece(self._prompt[-1]) if self._prompt else ""
        if not last.endswith(BROKEN):
            return
        text = await self._decoder.text(self._prompt)
        if text is not None and text.endswith(BROKEN):
            # A prompt may hold the character itself; then it is shown already.
            written = len(shown) - len(shown.rstrip(BROKEN))
            self._before = await self._decoder.whole(self._prompt) + BROKEN * written
            self.stops_here = bool(self._stops)

    async def mend(self, delta: Delta, end: int | None) -> Delta:
        """A piece of the answer with the text that its ids say.

        If `stops_here` and it holds a stop string, it is the last, and ends with the token
        that completes the string.

        Args:
            delta: as the server sent it.
            end: the token that ended the answer.
        """
        before = len(self._ids)
        self._ids += delta.tokens
        if self._before is not None and delta.text:
            now = await self._decoder.whole((*self._prompt, *self._ids))
            delta = replace(delta, text=now[len(self._before) :])
            self._before = None
        elif delta.finish_reason == "stop" and self._stops:
            delta = await self._last_piece(delta, end)
        self._text += delta.text
        if self.stops_here and delta.text:
            return await self._up_to_stop(delta, before)
        return delta

    async def _last_piece(self, delta: Delta, end: int | None) -> Delta:
        """The last piece, of an answer for which the server looked for stop strings."""
        text = self._text + delta.text
        if delta.ended:
            piece = await self._decoder.piece(end) if end is not None else ""
            if not piece or not text.endswith(piece):
                return delta
            said = await self._decoder.text(self._ids) or ""
            if said.rstrip(BROKEN).endswith(text[-WINDOW:]):
                return delta  # other tokens wrote it
            return replace(delta, text=delta.text.removesuffix(piece))
        if not self._ids:
            return delta
        piece = await self._decoder.piece(self._ids[-1])
        if text.endswith(piece) and not any(text.endswith(piece[:n]) for n in range(1, len(piece))):
            return delta  # the stop string ends with the token
        said = await self._decoder.text(self._ids) or ""
        if not said.startswith(text) and (" " + said).startswith(text):
            said = " " + said  # some tokenizers drop a space at the beginning
        if said.startswith(text):
            rest = said[len(text) :]
        else:  # there are tokens among them that have no text
            cuts = (n for n in range(1, len(piece)) if text.endswith(piece[:n]))
            rest = piece[next(cuts, len(piece)) :]
        return replace(delta, text=delta.text + rest.rstrip(BROKEN))

    async def _up_to_stop(self, delta: Delta, before: int) -> Delta:
        """A piece up to the token that completes a stop string; as it is if none does."""
        begun = len(self._text) - len(delta.text)
        ends = [at + len(stop) for stop in self._stops if (at := self._text.find(stop)) >= 0]
        ends = [end - begun for end in ends if end > begun]
        if not ends:
            return delta
        text, kept, first = delta.text, len(delta.tokens), min(ends)
        full = await self._decoder.whole((*self._prompt, *self._ids))
        for count in range(1, kept):
            ids = self._ids[: before + count]
            lacks = len(full) - len(await self._decoder.whole((*self._prompt, *ids)))
            if len(text) - lacks >= first:
                text, kept = text[: len(text) - lacks], count
                break
        return replace(
            delta,
            text=text,
            tokens=delta.tokens[:kept],
            logprobs=delta.logprobs[:kept],
            finish_reason="stop",
            ended=False,
        )
