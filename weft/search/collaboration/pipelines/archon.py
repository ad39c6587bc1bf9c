"""archon: answers go through layers of components."""

from __future__ import annotations

from weft.parts.parameters import param
from weft.search.answers.voting import tally
from weft.search.collaboration.pipelines.component import Passing
from weft.search.collaboration.pipelines.components import writing
from weft.search.collaboration.pipelines.layers import read_layers
from weft.search.sampling.samples import answered, unscored, voted
from weft.search.strategy import Answer, Question, Strategy, strategy


@strategy("archon")
class Archon(Strategy):
    """A pipeline of layers: answers are drawn, criticized, ordered, left out, tested and fused.

    Layers are parted by `|`, and components that work side by side by `+`. The components are
    `generator(n, role, of)`, `critic`, `ranker(k)`, `screen(verifier, least)`, `unit_tests(n)`
    with `evaluator(k)`, and `fuser(n, role)`. `of` of a generator is any other strategy.

    A layer that comes to nothing is passed over. The answer is the first of those that are left if
    they were ordered, and else their vote. `weft eval search` looks for the layers that are best
    for a task.
    """

    title = "Archon"
    family = "collaboration"
    source = "Saad-Falcon et al. 2024"

    layers: str = param(
        "generator(n=3) | critic | ranker(k=2) | fuser",
        "components, layer by layer",
        main=True,
        read=read_layers,
    )
    role: str = param("verifier", "who criticizes, orders and tests")
    judge_tokens: int = param(1024, "most tokens of what is said of answers", least=1)

    @property
    def texts(self) -> int | None:
        """How many whole texts are written; None if some come about in other ways."""
        counts = [one.writes for layer in read_layers(self.layers) for one in layer]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        passing = Passing(question, self.role, self.judge_tokens)
        for number, layer in enumerate(read_layers(self.layers)):
            passing.layer = number
            if draws := writing(layer, passing):
                await passing.write(draws)
            elif passing.shown:
                await layer[0].work(passing)
        shown, drawn = passing.shown, passing.drawn
        if not shown:
            return unscored(question, drawn)
        if passing.ordered or len(shown) == 1:
            return answered(drawn, shown[0], shown[0].score, left=len(shown))
        count = tally({one.index: one.value for one in shown}, same=question.same)
        return voted(drawn, count, left=len(shown))
