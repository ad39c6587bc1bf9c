"""choice_shuffle: a vote in which every sample sees the options in another order."""

from __future__ import annotations

from weft.parts.parameters import param, temperature
from weft.programs import node
from weft.search.answers.voting import Election
from weft.search.choices import reordered
from weft.search.sampling.drawing import Candidate, drawer
from weft.search.sampling.nesting import of_param, texts_of
from weft.search.sampling.samples import Drawn, collect, voted
from weft.search.sampling.votes.majority import Majority
from weft.search.strategy import Answer, Question, Strategy, stable_seed, strategy


@strategy("choice_shuffle")
class ChoiceShuffle(Strategy):
    """The most frequent choice, each sample with the options in another order (Medprompt, 2023).

    A model that likes a place, such as the first, votes for whatever stands there. Of as many
    samples in a row as there are options, each option stands at each place once. So such votes
    are spread over all options. Votes are counted for what the options say, whatever their
    letters were.

    The task must tell the options of its questions, as `jsonl(choices=FIELD)` does. Without them
    this is a plain vote.
    """

    title = "choice shuffle"
    family = "sampling"
    source = "Medprompt, Nori et al. 2023"

    n: int = param(5, "samples", least=1, main=True)
    think: bool = param(False, "ask for visible thinking, if the task has it")
    temperature: float = temperature()
    of: Strategy | None = of_param()

    @property
    def texts(self) -> int | None:
        """Among how many whole texts the strategy chooses: `n`, or as many of each of `of`."""
        return texts_of(self.n, self.of)

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        one = self.of or Majority(n=1, think=self.think, temperature=self.temperature)
        asked = [question] * self.n
        if (choices := question.choices) is not None:
            seed = stable_seed(question.seed, "orders")
            asked = [reordered(question, order) for order in choices.orders(seed, self.n)]

        @node
        async def draw(index: int) -> Candidate:
            return await drawer(asked[index], self.temperature, of=one)(index)

        election = Election(range(self.n), question.same)

        def enough(drawn: Drawn, index: int) -> bool:
            election.add(index, drawn.value(index))
            return election.settled()

        drawn = await collect(draw, self.n, enough)
        return voted(drawn, election.tally, shuffled=choices is not None)
