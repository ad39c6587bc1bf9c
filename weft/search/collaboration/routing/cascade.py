"""cascade: models are asked one after another, until an answer is good enough."""

from __future__ import annotations

from weft.parts.parameters import param, temperature
from weft.search.collaboration.routing.ways import answer_by, read_ways, ways_param
from weft.search.sampling.nesting import of_param, texts_of
from weft.search.sampling.samples import Drawn, answered
from weft.search.strategy import Answer, Question, Strategy, strategy
from weft.search.verifiers import read_verifier, verifier_param


@strategy("cascade")
class Cascade(Strategy):
    """The answer of the first model whose score is enough (FrugalGPT, Chen et al. 2023).

    The ways are tried in their order, the cheapest first. The last one's answer is not scored, but
    taken as it is. In the paper the scorer is a small model that was trained for the task. Here it
    is any verifier: a model's verdict, or with `verifier=logprob` the confidence of the model that
    answers. Cascades by the agreement of samples are `think_if_needed(role=draft)`.

    If the last model fails, or its answer can't be read, the best of those before it is the answer.
    """

    family = "collaboration"
    source = "Chen et al. 2023"
    needs = ("draft", "verifier")

    ways: str = ways_param("who is asked, in this order")
    verifier: str = verifier_param()
    threshold: float = param(0.7, "a score that is enough", least=0, most=1, main=True)
    think: bool = param(False, "ask for visible thinking, if the task has it")
    temperature: float = temperature()
    of: Strategy | None = of_param()

    @property
    def texts(self) -> int | None:
        """Among how many whole texts the strategy chooses: as many as there are ways, at most."""
        return texts_of(len(read_ways(self.ways)), self.of)

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        *first, last = read_ways(self.ways)
        verifier, drawn = read_verifier(self.verifier), Drawn()
        asked: list[str] = []
        for way in (*first, last):
            asked.append(way.name)
            sample = await answer_by(
                way,
                question,
                drawn,
                self.temperature,
                think=self.think,
                verifier=None if way is last else verifier,
                of=self.of,
            )
            if sample is None or sample.value is None:
                continue
            if way is last or (sample.score is not None and sample.score >= self.threshold):
                break
        else:
            scored = [s for _, s in sorted(drawn.found.items()) if s.score is not None]
            sample = max(scored, key=lambda s: s.score or 0.0, default=None)
        score = None if sample is None else sample.score
        return answered(drawn, sample, score, asked=asked, **verifier.details)
