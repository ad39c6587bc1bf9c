"""Steps: how a search's moves are made, by an engine and a verifier."""

from __future__ import annotations

from dataclasses import dataclass, replace

import anyio

from weft.errors import BudgetExceeded, EngineError, Unsupported, UsageError, WeftError
from weft.parsers.thinking import split_thinking
from weft.programs import generate, node
from weft.programs.scope import current
from weft.search.answers.failures import NO_RESULT
from weft.search.step_search.frontier import Indices, Move, Path, Step
from weft.search.strategy import Question, stable_seed
from weft.search.verifiers import Verifier


class Steps:
    """Makes moves for a question: generates one step, then has a verifier score the path.

    Args:
        question: what to answer.
        verifier: who scores paths; None leaves them without a score.
        temperature: of sampling.
        every: how many tokens a step has; it ends where the question's `steps` says if None.
        depth: how many steps an answer may have; the question's `max_steps` if None.
        logprobs: of how many alternatives a step keeps the log-probabilities, if of any.

    Raises:
        UsageError: the question has a schema, or lacks what the verifier needs.
    """

    def __init__(
        self,
        question: Question,
        verifier: Verifier | None,
        temperature: float,
        *,
        every: int | None = None,
        depth: int | None = None,
        logprobs: int | None = None,
    ) -> None:
        if verifier is not None:
            verifier.check(question)
        if question.schema is not None:
            raise UsageError(
                "a search that writes its answer in steps can't hold it to a schema; use a "
                "strategy that draws whole answers, such as majority"
            )
        self.question, self.verifier, self._temperature = question, verifier, temperature
        self._every, self._depth = every, depth or question.max_steps
        asked = None if verifier is None else verifier.logprobs
        self._logprobs = asked if logprobs is None else logprobs
        self._keep = logprobs is not None
        self._scores: dict[str, _Scoring] = {}
        self.paths: list[Path] = []
        """All paths that were grown, with their scores as far as there are any."""
        self.errors: list[WeftError] = []
        """Why paths have no score."""

    @property
    def root(self) -> Path:
        """The path that every other extends."""
        return Path(self.question.prompt)

    def mover(self) -> Step:
        """The node that makes a move."""

        @node
        async def step(move: Move) -> Path:
            path = await self.grow(move)
            try:
                if self.verifier is not None:
                    path = replace(path, score=await self._score(path, self.verifier))
            except EngineError as error:
                self.errors.append(error)
            finally:
                self.paths.append(path)
            return path

        return step

    async def grow(self, move: Move, *, whole: bool = False) -> Path:
        """The path extended by a step.

        The last step that is allowed goes on to the end of the answer. A path is finished
        when the model ended it, when it is complete, when the step is empty, or when it has
        all the tokens that an answer may have.

        Args:
            move: which path, and which of its continuations.
            whole: go on greedily to the end of the answer.
        """
        question, path = self.question, move.path
        depth = path.depth + 1
        last = whole or depth >= self._depth
        left = None if question.max_tokens is None else question.max_tokens - path.tokens
        every = None if last else self._every
        most = [tokens for tokens in (left, every, move.most) if tokens is not None]
        completion = await generate(
            path.prompt,
            max_tokens=min(most, default=None),
            temperature=0.0 if whole else self._temperature,
            top_p=question.top_p,
            stop=question.stop if last or every else (question.steps, *question.stop),
            seed=stable_seed(question.seed, path.text, move.index),
            logprobs=self._logprobs,
            index=move.index,
            **question.sampling,
        )
        if self.verifier is not None:
            self.verifier.check_reported(completion)
        if self._keep and "logprobs" in completion.missing:
            raise Unsupported(
                f"{completion.engine} reports no log-probabilities, which this search needs; use "
                "another strategy, or an engine that reports them, such as vLLM"
            )
        text = path.text + completion.prompt.text
        shown = "" if completion.in_thinking else split_thinking(text, ended=completion.ended).text
        made = completion.usage.completion
        # A step that is as long as it may be is no end of the answer.
        cut = completion.finish_reason == "length" and made in (every, move.most)
        finished = (
            completion.ended
            or (left is not None and made >= left)
            or any(stop in completion.prompt.text for stop in question.stop)
            or (not completion.in_thinking and self._complete(shown, cut))
            or (not cut and (last or completion.finish_reason != "stop"))
            or (not cut and not completion.prompt.text.strip())
        )
        return Path(
            completion.prompt,
            text,
            depth,
            path,
            move.order,
            finished=finished,
            value=question.read(completion, shown) if finished else None,
            shown=shown,
            tokens=path.tokens + made,
            confidence=path.confidence.plus(completion.logprobs),
            logprobs=completion.logprobs if self._keep else (),
        )

    def _complete(self, shown: str, cut: bool) -> bool:
        """Whether an answer is complete; one that a step's length cut off may go on in a word."""
        question = self.question
        if not cut:
            return question.complete(shown)
        before, *last = shown.rsplit(maxsplit=1)
        return bool(last) and question.complete(before) and self._same(before, shown)

    def _same(self, before: str, after: str) -> bool:
        first, then = self.question.answer(before), self.question.answer(after)
        return first is not None and then is not None and self.question.same(first, then)

    async def forced(
        self, path: Path | None, indices: Indices, errors: list[WeftError]
    ) -> list[Path]:
        """A path brought greedily to its end, with its score; empty if that can't be.

        Args:
            path: an unfinished one, if there is any.
            indices: of the continuations made.
            errors: why moves came to nothing; what keeps the path from its end joins them.
        """
        if path is None or any(isinstance(error, BudgetExceeded) for error in errors):
            return []
        try:
            last = await self.grow(Move(path, indices.of(path)), whole=True)
        except NO_RESULT as error:
            errors.append(error)
            return []
        return [replace(last, score=path.score)]

    async def _score(self, path: Path, verifier: Verifier) -> float:
        """The verifier's score; equal texts are scored once."""
        while (known := self._scores.get(path.text)) is not None:
            with current().branches(-1):
                await known.ready.wait()
            if known.error is not None:
                raise known.error
            if known.score is not None:
                return known.score
        known = self._scores[path.text] = _Scoring(anyio.Event())
        try:
            score = await verifier(self.question, path.text, path.confidence)
            known.score = score
        except Exception as error:
            known.error = error
            raise
        finally:
            if known.score is None and known.error is None:
                del self._scores[path.text]  # cancelled: whoever waits must ask again
            known.ready.set()
        return score


@dataclass
class _Scoring:
    """A score that was asked for."""

    ready: anyio.Event
    score: float | None = None
    error: Exception | None = None
