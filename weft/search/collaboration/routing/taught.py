"""Strategies that learn from question to question in which way the next one is best answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from weft.parts.parameters import param, temperature
from weft.programs.scope import current
from weft.programs.scope.hearing import hearing
from weft.search.answers.failures import note
from weft.search.answers.readable import Readable, readable
from weft.search.collaboration.routing.linear_arms import EXPLORE
from weft.search.collaboration.routing.router import Feedback, Router, router_of
from weft.search.collaboration.routing.ways import Way, answer_by
from weft.search.sampling.drawing import Candidate
from weft.search.sampling.nesting import of_param
from weft.search.sampling.samples import Drawn, answered
from weft.search.strategy import Answer, Question, Strategy, stable_seed
from weft.search.verifiers import read_verifier, verifier_param


@dataclass(frozen=True)
class Taught(Strategy):
    """A strategy whose choice among arms is taught by what earlier questions brought.

    In an evaluation these are the questions of its suite. A decision then rests on all questions
    before it but the last `parallel`, which are under way, so it does not depend on time.
    Elsewhere, as in a service, they are those of the pool, in the order in which they end.
    """

    verifier: str = verifier_param()
    weight: float = param(0.5, "of cost against accuracy", least=0, most=1, main=True)
    explore: str = param("linucb", "how arms are tried of which little is known", choices=EXPLORE)
    parallel: int = param(8, "questions under way at once, in an evaluation", least=1)
    think: bool = param(False, "ask for visible thinking, if the task has it")
    temperature: float = temperature()
    of: Strategy | None = of_param()  # noqa: RUF009 - a dataclass's field

    _shared: ClassVar[Router | None] = None
    """What teaches the questions of a suite; of an instance then."""

    @property
    def texts(self) -> int | None:
        """Among how many whole texts the strategy chooses: one, or as many as `of` says."""
        return 1 if self.of is None else self.of.texts

    def side_by_side(self, questions: int, at_once: int) -> Taught:
        """The same, whose questions teach each other."""
        shared = replace(self)
        object.__setattr__(shared, "_shared", self._router(min(self.parallel, at_once)))
        return shared

    def _router(self, ahead: int | None = None) -> Router:
        return Router(self.weight, self.explore, ahead)

    async def answer_by_best(
        self, question: Question, arms: Mapping[str, tuple[Way, Question]]
    ) -> Answer:
        """The answer of the arm that promises most; of the next one where that fails.

        Args:
            question: what to answer.
            arms: by name, who answers, and what it is asked.
        """
        scope, verifier = current(), read_verifier(self.verifier)
        router = self._shared or router_of(
            scope.pool, replace(self, temperature=0.0).spec, self._router
        )
        names = {f"{scope.model(way.role)} {name}": name for name, (way, _) in arms.items()}
        drawn, details = Drawn(), dict[str, Any]()
        sample: Candidate | None = None
        lost: Readable | None = None  # what can be read of an answer that was broken off
        text = question.prompt.messages[-1].content
        with router.join(list(names), text, stable_seed(question.seed, self.name)) as turn:
            for arm in await turn.ranking():
                way, asked = arms[names[arm]]
                with hearing() as heard:
                    sample = await answer_by(
                        way,
                        asked,
                        drawn,
                        self.temperature,
                        think=self.think,
                        verifier=verifier,
                        of=self.of,
                    )
                if sample is not None:
                    details |= {"arm": names[arm], "taught_by": turn.taught_by}
                    turn.feedback = feedback(arm, sample, way.cost)
                    break
                lost = lost or readable(asked, heard)
        if sample is None and lost is not None:
            note(details, drawn.errors)
            details |= {} if lost.whole else {"broken_off": True}
            return Answer(lost.text, lost.value, None, details)
        score = None if sample is None else sample.score
        return answered(drawn, sample, score, **details, **verifier.details)


def feedback(arm: str, sample: Candidate, cost: float) -> Feedback | None:
    """What a sample says of the arm that it came by; None if nobody could judge it.

    Args:
        arm: its name.
        sample: without an answer that can be read, it is wrong.
        cost: of a token.
    """
    accuracy = 0.0 if sample.value is None else sample.score
    return None if accuracy is None else Feedback(arm, accuracy, sample.tokens * cost)
