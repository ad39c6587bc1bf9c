"""pets: a vote whose samples go to the questions of a suite where they decide most."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import ClassVar

from weft.parts.parameters import param, temperature
from weft.search.allocation.agreement import gain
from weft.search.allocation.allotment import Allotment
from weft.search.sampling.drawing import drawer
from weft.search.sampling.samples import Drawn, collect, voted
from weft.search.strategy import Answer, Question, Strategy, strategy


@strategy("pets")
class Pets(Strategy):
    """Self-consistency with n samples a question in the mean, shared out over all (PETS, 2026).

    The aim is the answer that infinitely many samples would vote for. Each question begins with
    one sample. Then the next sample goes to the question where it may do most for the
    probability that the leader is that answer (the optimistic knowledge gradient; see
    `agreement`). So a question whose samples agree gets few, and a question in doubt many.

    The questions are those of an evaluation that have no answer yet, and wait for each other. A
    question alone gets n samples. Which question is next depends on the samples that are there:
    with `parallel=1` one sample is drawn at a time, as in the paper, and the result does not
    depend on time.
    """

    title = "PETS"
    family = "sampling"
    source = "PETS, 2026"

    n: int = param(8, "samples a question, in the mean", least=1, main=True)
    most: int = param(64, "samples of one question at most", least=1)
    places: int = param(32, "different answers that a question may have", least=2)
    parallel: int | None = param(
        None,
        "samples drawn at once for all questions; as many as the evaluation answers questions "
        "at once unless given",
        least=1,
        kind=int,
    )
    think: bool = param(False, "ask for visible thinking, if the task has it")
    temperature: float = temperature()

    _allotment: ClassVar[Allotment | None] = None
    """What questions that are answered side by side share; of an instance then."""

    @property
    def texts(self) -> int:
        """Among how many whole texts the strategy chooses, at most."""
        return max(self.n, self.most)

    def side_by_side(self, questions: int, at_once: int) -> Pets:
        """The same with the samples shared out over so many questions."""
        shared = replace(self)
        object.__setattr__(shared, "_allotment", self._shared_by(questions, at_once))
        return shared

    def _shared_by(self, questions: int, at_once: int) -> Allotment:
        return Allotment(
            questions,
            self.n * questions,
            self.parallel or at_once,
            partial(gain, places=self.places),
            self.texts if questions > 1 else self.n,
        )

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        draw = drawer(question, self.temperature, think=self.think)
        drawn, total = Drawn(), 0
        with (self._allotment or self._shared_by(1, self.n)).join(question.same) as seat:

            def came(drawn: Drawn, index: int) -> bool:
                seat.came(index, drawn.value(index))
                return False

            while samples := await seat.turn():
                total += samples
                await collect(draw, total, came, drawn=drawn)
        return voted(drawn, seat.votes.tally)
