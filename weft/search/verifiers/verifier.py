"""Verifiers: who scores an answer, and how.

    model       the model in the role `verifier` is asked the question's verify prompt; the
                score is P(yes) / (P(yes) + P(no)), in whatever case and with or without a
                space before them. Where both together are unlikely, weft warns of it.
    role:NAME   the same, asked of the model in another role
    function    the question's own exact check
    logprob     the generator's confidence: the geometric mean of its tokens' probabilities
    grade       the solver grades the last step by a digit, which counts as a share of 9
    judge       a model in the role `verifier` says of each criterion of a rubric whether it is met
    restart     the model itself is asked whether beginning again would give a better answer
    guard       a model is asked whether the answer so far keeps to a rule, such as to be harmless

Every score lies between 0 and 1.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, SupportsFloat, TypeVar, dataclass_transform

from weft.errors import UnknownName, Unsupported, UsageError
from weft.orchestrator.pool import Pool
from weft.parts.faults import blaming, expect
from weft.parts.parameters import Parametric, param
from weft.parts.registry import PartRegistry
from weft.programs import Completion, node
from weft.programs.scope import current
from weft.programs.scope.hearing import tell_score
from weft.search.once import warn_once
from weft.search.strategy import Question
from weft.search.verifiers.verdicts import Verdict, ask_verdict
from weft.types import TokenLogprob


@dataclass(frozen=True)
class Confidence:
    """How sure a model was of a text that it wrote, by its tokens' log-probabilities.

    Attributes:
        total: the sum of the log-probabilities.
        count: how many tokens there are.
    """

    total: float = 0.0
    count: int = 0

    def plus(self, logprobs: Iterable[TokenLogprob]) -> Confidence:
        """The same with the tokens that came next."""
        new = [t.logprob for t in logprobs]
        return Confidence(self.total + math.fsum(new), self.count + len(new))

    @property
    def mean(self) -> float:
        """The mean log-probability; -inf without tokens."""
        return min(0.0, self.total / self.count) if self.count else -math.inf

    @property
    def score(self) -> float:
        """The exponential of the mean log-probability; 0 without tokens."""
        return math.exp(self.mean)


NO_TOKENS = Confidence()


class Verifier(Parametric, ABC):
    """Scores texts as answers to a question; calling it gives a score from 0 to 1.

    Subclasses are marked with `@verifier(name)`, which makes them frozen dataclasses whose
    fields are their parameters. Only `score` must be written.
    """

    @property
    def asks(self) -> str | None:
        """The role of the model that the verifier asks; None, the default, if it asks none."""
        return None

    @property
    def details(self) -> Mapping[str, Any]:
        """What is added to `Answer.details` about the verdicts so far; nothing by default."""
        return {}

    @property
    def logprobs(self) -> int | None:
        """The `logprobs` that `generate` must be asked for; None by default."""
        return None

    def check(self, question: Question) -> None:
        """Raise unless the question has what this verifier needs.

        Raises:
            UsageError: it lacks a verify prompt, or an exact check.
        """

    def check_reported(self, completion: Completion) -> None:
        """Raise unless an answer came with what this verifier reads.

        Raises:
            Unsupported: the engine reports no log-probabilities.
        """
        if self.logprobs is not None and "logprobs" in completion.missing:
            raise Unsupported(
                f"{completion.engine} reports no log-probabilities, which verifier={self.name} "
                "needs; use another verifier, or an engine that reports them, such as vLLM"
            )

    @abstractmethod
    async def score(self, question: Question, text: str, confidence: Confidence) -> float:
        """How good an answer is, from 0 to 1; what is outside is brought to the nearer end.

        Args:
            question: what the text answers.
            text: the answer so far.
            confidence: of the model in the text, where `logprobs` asked for it.

        Raises:
            BudgetExceeded: the verifier's call ran into a budget.
        """

    async def __call__(self, question: Question, text: str, confidence: Confidence) -> float:
        """The score of a partial or whole answer, from 0 to 1.

        Raises:
            BudgetExceeded: the verifier's call ran into a budget.
            PartFailed: the verifier's code raised an exception that is not weft's, or gave what
                is no number.
        """
        with blaming("verifier", type(self)):
            self.check(question)
            score = float(
                expect(
                    await self.score(question, text, confidence),
                    SupportsFloat,
                    "score",
                    awaited=True,
                )
            )
            if math.isnan(score):
                raise ValueError("the score is no number")
        score = min(1.0, max(0.0, score))
        tell_score(text, score)
        return score


def _role(spec: str) -> Verifier | None:
    """`role:NAME`, the model in another role."""
    if not spec.startswith("role:"):
        return None
    if spec == "role:":
        raise UnknownName("verifier", spec, ["role:NAME"])
    return ModelVerifier(spec.removeprefix("role:"))


VERIFIERS = PartRegistry(
    "verifier",
    Verifier,
    mark="verifier",
    group="weft.verifiers",
    own=[
        "weft.search.judges",
        *(f"weft.search.verifiers.{at}" for at in ("grade", "guard", "restart", "verifier")),
    ],
    short=_role,
)
V = TypeVar("V", bound=type[Verifier])


@dataclass_transform(frozen_default=True)
def verifier(name: str) -> Callable[[V], V]:
    """Make a class a verifier that specs call `name`."""
    return VERIFIERS.mark_as(name)


@verifier("model")
class ModelVerifier(Verifier):
    """A model is asked the question's verify prompt: P(yes) / (P(yes) + P(no))."""

    role: str = param("verifier", "who is asked")

    @property
    def spec(self) -> str:
        """`model`, or `role:NAME` for another role."""
        return "model" if self.role == "verifier" else f"role:{self.role}"

    @cached_property
    def _masses(self) -> list[float]:
        return []

    @property
    def details(self) -> Mapping[str, Any]:
        """`verdict_mass`: the mean of P(yes) + P(no)."""
        masses = self._masses
        return {"verdict_mass": round(math.fsum(masses) / len(masses), 6)} if masses else {}

    @property
    def asks(self) -> str:
        """`role`."""
        return self.role

    def check(self, question: Question) -> None:
        """The question must have a verify prompt."""
        if question.verify is None:
            raise UsageError(
                "this task has no verify prompt; use verifier=function or verifier=logprob"
            )

    async def score(self, question: Question, text: str, confidence: Confidence) -> float:
        """Ask the model."""
        found = await verify(question, text, self.role)
        self._masses.append(found.mass)
        pool = current().pool
        if found.mass < SMALL:
            _warn(pool, pool.model(self.role), found.mass)
        return found.score


@verifier("function")
class FunctionVerifier(Verifier):
    """The question's own exact check."""

    def check(self, question: Question) -> None:
        """The question must have one."""
        if question.check is None:
            raise UsageError("this task has no exact check; use verifier=model or verifier=logprob")

    async def score(self, question: Question, text: str, confidence: Confidence) -> float:
        """Check the text."""
        assert question.check is not None
        return question.check(text)


@verifier("logprob")
class LogprobVerifier(Verifier):
    """The generator's confidence: the geometric mean of its tokens' probabilities."""

    @property
    def logprobs(self) -> int:
        """Those of the tokens themselves."""
        return 0

    async def score(self, question: Question, text: str, confidence: Confidence) -> float:
        """What was reported with the tokens."""
        return confidence.score


SMALL = 0.1
"""A verdict that rests on less of the model's probability is worth a warning."""


@node
async def verify(question: Question, text: str, role: str) -> Verdict:
    """Ask a model whether an answer is right; case, and space before the word, don't matter."""
    assert question.verify is not None
    return await ask_verdict(question.verify(text), role)


def _warn(pool: Pool, model: str, mass: float) -> None:
    """Say of a model that its verdicts rest on little."""
    warn_once(
        pool,
        f"the verifier {model} gives yes and no only {100 * mass:.1f}% of its probability, so its "
        "scores mean little; have the verify prompt ask for yes or no alone, or use another "
        "verifier",
        about=f"verdicts of {model}",
    )


def read_verifier(spec: str) -> Verifier:
    """The verifier that a spec describes.

    Raises:
        UnknownName: there is no such verifier or parameter.
        UsageError: the text is malformed, or a value is not allowed.
    """
    return VERIFIERS.parse(spec)


def verifier_param() -> Any:
    """The parameter that names a verifier."""
    doc = "who scores: see `weft verifiers`, such as model, function, logprob, judge, or role:NAME"
    return param("model", doc, main=True, read=read_verifier)
