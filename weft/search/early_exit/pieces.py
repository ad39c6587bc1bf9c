"""One answer, written in several calls: each goes on from the last, or from a part of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from weft.errors import UsageError
from weft.parsers.thinking import closing_mark, split_thinking
from weft.programs import Completion, Prompt, generate
from weft.search.answers.cutting import cut
from weft.search.sampling.drawing import Candidate
from weft.search.strategy import Question, stable_seed


class Pieces:
    """Writes the pieces of an answer, each with chance of its own.

    Args:
        question: what to answer.
        temperature: of sampling; 0 is greedy.
        index: which of several answers it is.
        by: the strategy that asks.

    Raises:
        UsageError: the question has a schema, which no piece alone can follow.
    """

    def __init__(self, question: Question, temperature: float, index: int, by: str) -> None:
        if question.schema is not None:
            raise UsageError(
                f"{by} writes an answer in pieces, and can't hold it to a schema; use a strategy "
                "that draws whole answers, such as majority"
            )
        self._question, self._temperature, self._index = question, temperature, index
        self._count = 0
        self.tokens = 0
        """Generated so far, for all pieces."""

    @property
    def most_thinking(self) -> int | None:
        """Most tokens of thinking, beside the answer's; None if there is no limit."""
        question = self._question
        if question.think is None or question.max_tokens is None:
            return question.max_tokens
        return question.max_think_tokens

    async def write(
        self,
        prompt: Prompt,
        most: int | None,
        stop: tuple[str, ...] = (),
        *,
        greedy: bool = False,
        role: str = "solver",
        logprobs: int = 0,
    ) -> Completion:
        """The next piece, of `most` tokens, or up to a stop string, by the model in a role."""
        question, index = self._question, self._index
        parts = (index, self._count) if self._count else (index,)
        self._count += 1
        piece = await generate(
            prompt,
            max_tokens=most,
            temperature=0.0 if greedy else self._temperature,
            top_p=question.top_p,
            stop=(*stop, *question.stop),
            seed=stable_seed(question.seed, *parts),
            logprobs=logprobs,
            role=role,
            index=index,
            **question.sampling,
        )
        self.tokens += piece.usage.completion
        return piece

    async def think(
        self,
        every: int,
        look: Callable[[Completion], Awaitable[Completion | None]],
        final: str,
        share: float = 1.0,
    ) -> Completion:
        """Think, looking at it after every so many tokens, and answer: the last piece.

        Args:
            every: tokens of a piece.
            look: at what was thought last; gives the answer that ends the thinking, or None.
            final: what begins the answer behind thinking whose tokens are used up.
            share: of the tokens that it may have.
        """
        question, cap, spent = self._question, self.most_thinking, 0
        prompt = question.think or question.prompt
        if cap is not None:
            cap = max(1, int(share * cap))
        while cap is None or spent < cap:
            most = every if cap is None else min(every, cap - spent)
            piece = await self.write(prompt, most)
            prompt, generated = piece.prompt, piece.usage.completion
            spent += generated
            if piece.finish_reason != "length" or generated < most:
                return piece
            if not piece.in_thinking:  # the answer has begun
                thought = piece.reasoning or spent > generated
                left = question.max_tokens
                if left is not None and not thought and (left := left - generated) < 1:
                    return piece
                return await self.write(prompt, left)
            if (answer := await look(piece)) is not None:
                return answer
        return await self.write(closed(prompt, final), question.max_tokens)

    def candidate(self, last: Completion) -> Candidate:
        """The answer that ends with a piece."""
        text = ""
        if not last.in_thinking:
            text = split_thinking(last.prompt.answer, ended=last.ended).text
        value = self._question.read(last, text)
        return Candidate(self._index, text, value, self.tokens, last.whole)


def up_to(piece: Completion, at: int, *, in_thinking: bool = True) -> Prompt:
    """What a piece holds up to a character, within its thinking or not, to be continued there."""
    return cut(piece.prompt, [one.token for one in piece.logprobs], at, in_thinking=in_thinking)


def closed(thinking: Prompt, then: str = "") -> Prompt:
    """Thinking that is ended, whatever there is of it, and how the answer begins."""
    text = thinking.answer
    mark = closing_mark(text)
    begun = next(n for n in range(len(mark) - 1, -1, -1) if text.endswith(mark[:n]))
    newline = "\n" if text and not begun and not text.endswith("\n") else ""
    return thinking.assistant(f"{newline}{mark[begun:]}\n{then}", open=True)
