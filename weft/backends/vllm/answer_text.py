"""The text of an answer of vLLM: what its token ids say.

vLLM makes text of tokens as they come, and nearly always rightly. It does not

- where the prompt ends within a character, as an answer does that was cut off there: the
  first text is then that of the whole prompt, and stop strings are looked for in all of it;
- behind a stop string that ends within a token: the text is cut there, the token is not;
- where stop strings are given and the token that ends the answer is no special one: its text
  is shown.

In these cases, and only then, the server is asked what the ids say. Text ends with the last
whole character; the bytes of one that is not whole yet are shown when it is, by the answer
that goes on with it. `retokenized` has what is done where a server has no `/detokenize`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from weft.backends.vllm.retokenized import Tokenize, new_text, to_stop
from weft.backends.vllm.token_texts import BROKEN, told
from weft.types import Delta

WINDOW = 64
"""How many of a prompt's last tokens are looked at."""

Decode = Callable[[Sequence[int]], Awaitable[str | None]]
"""What ids say, special tokens included; None if the server can't tell."""


class Decoder:
    """Asks a server what ids say; remembers the texts of single tokens.

    Args:
        ask: asks it.
        tokenize: the ids of a text, special tokens in it included.
    """

    def __init__(self, ask: Decode, tokenize: Tokenize) -> None:
        self.text, self.tokenize = ask, tokenize
        self._pieces: dict[int, str] = {}

    async def piece(self, token: int) -> str | None:
        """The text of one token; None if the server can't tell."""
        known = self._pieces.get(token)
        if known is None and (known := await self.text((token,))) is not None:
            self._pieces[token] = known
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
        lost: whether the text lacks what nobody could tell from the prompt's.
    """

    def __init__(self, decoder: Decoder, prompt: tuple[int, ...], stops: tuple[str, ...]) -> None:
        self._decoder, self._stops = decoder, stops
        self._prompt = prompt[-WINDOW:]
        self._before: str | None = None
        self._ids: list[int] = []
        self._text = ""
        self._begun: str | None = None
        self._told = True  # what ids say, by the server
        self._held = False  # text, for it ends within a character
        self.stops_here = self.lost = False

    async def begin(self, shown: str | None) -> None:
        """Look at the prompt's end.

        Args:
            shown: the text of the open answer that the prompt ends with; None without one.
        """
        last = await self._decoder.piece(self._prompt[-1]) if self._prompt else ""
        if last is None:
            self._told, self._begun, self.stops_here = False, shown, bool(self._stops)
            return
        if shown is None or not last.endswith(BROKEN):
            return
        text = await self._decoder.text(self._prompt)
        if text is not None and text.endswith(BROKEN):
            # A prompt may hold the character itself; then it is shown already.
            written = len(shown) - len(shown.rstrip(BROKEN))
            self._before = await self._decoder.whole(self._prompt) + BROKEN * written
            self.stops_here, self._held = bool(self._stops), True

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
        elif self._begun is not None and delta.text:
            delta = await self._first_piece(delta, self._begun)
            self._begun = None
        elif delta.finish_reason == "stop" and self._stops and not self.stops_here:
            delta = await self._last_piece(delta, end)
        self._text += delta.text
        if self.stops_here and delta.text:
            delta = await self._up_to_stop(delta, before)
        if delta.logprobs:
            logprobs = told(delta.text, delta.logprobs, self._held)
            begun = self._held or any(not one.token for one in logprobs)
            self._held = not logprobs[-1].token or (begun and not delta.text)
            return replace(delta, logprobs=logprobs)
        return delta

    async def _first_piece(self, delta: Delta, shown: str) -> Delta:
        """The first piece of an answer that goes on, where the server can't tell what ids say."""
        text = await new_text(
            self._decoder.tokenize, delta.text, self._prompt, tuple(self._ids), shown
        )
        self.lost = text is None
        return replace(delta, text=text or "")

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
        piece = await self._decoder.piece(self._ids[-1]) or ""
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
        if not self._told:
            text, kept = await to_stop(self._decoder.tokenize, text, delta.tokens, first)
            return _stopped(delta, text, kept)
        full = await self._decoder.whole((*self._prompt, *self._ids))
        for count in range(1, kept):
            ids = self._ids[: before + count]
            lacks = len(full) - len(await self._decoder.whole((*self._prompt, *ids)))
            if len(text) - lacks >= first:
                text, kept = text[: len(text) - lacks], count
                break
        return _stopped(delta, text, kept)


def _stopped(delta: Delta, text: str, kept: int) -> Delta:
    """A piece that ends with its text so far, and as many tokens."""
    return replace(
        delta,
        text=text,
        tokens=delta.tokens[:kept],
        logprobs=delta.logprobs[:kept],
        finish_reason="stop",
        ended=False,
    )
