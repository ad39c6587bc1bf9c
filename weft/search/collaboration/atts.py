"""atts: a small model's chunks, of which the large one writes anew those that score worst."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from weft.errors import BudgetExceeded
from weft.parts.parameters import param, temperature
from weft.programs import Completion, fan_out, node
from weft.search.answers.failures import NO_RESULT
from weft.search.answers.voting import tally
from weft.search.calibration.conformal import conformal_quantile
from weft.search.collaboration.shared_answer import SharedAnswer, brought_to_end, tokens_by_role
from weft.search.sampling.drawing import Candidate
from weft.search.sampling.samples import collect, voted
from weft.search.strategy import Answer, Question, Strategy, strategy
from weft.search.verifiers import NO_TOKENS, read_verifier

DRIFTED = 0.01
"""If so many chunks are refused with no more than this probability, scores have drifted."""


@strategy("atts")
class Atts(Strategy):
    """n answers by a small model, whose worst chunks a large one writes anew (ATTS 2025).

    The small model, in the role `draft`, begins each answer by a chunk of `every` tokens, and a
    verifier scores the chunk. From these n scores follows a bound: a chunk like them is below it
    with a probability of at most `refuse` (conformal prediction). Then each answer goes on by
    itself. A chunk that scores below the bound, first or later, is the large model's, the
    solver's, instead. The last of `turns` chunks is the large model's anyway, and goes on to the
    end. All answers vote.

    The bound is for chunks that score like first ones. `drifted` in the details says that many
    more of the later ones were refused. Too few answers give no bound, so that no chunk is
    refused: `refuse` and n + 1 must have a product of 1 or more.

    In the paper the score is the chunk's perplexity for the large model. An engine computes the
    whole prompt anew for that, so here the large model gives a grade instead, for a token.

    If one of both models fails, the other one writes the chunk. A chunk that nobody could score
    is the large model's.
    """

    title = "ATTS"
    family = "collaboration"
    source = "ATTS 2025, arXiv 2509.15148"
    needs = ("draft", "verifier", "continuation")

    n: int = param(16, "answers", least=1, main=True)
    refuse: float = param(0.4, "the share of chunks that are refused", least=0, most=1, main=True)
    verifier: str = param(
        "grade(by=mean)", "who scores chunks: any verifier", main=True, read=read_verifier
    )
    every: int = param(500, "tokens of a chunk at most", least=1)
    turns: int = param(15, "chunks of an answer at most", least=1)
    think: bool = param(True, "ask for visible thinking, if the task has it")
    temperature: float = temperature()

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        verifier = read_verifier(self.verifier)
        verifier.check(question)
        asked = replace(question, prompt=(self.think and question.think) or question.prompt)
        traces = [
            _Trace(SharedAnswer(question, self.temperature, self.name, think=self.think, index=i))
            for i in range(self.n)
        ]

        @node
        async def draft(trace: _Trace) -> None:
            shared, trace.drafted, trace.strange = trace.shared, None, math.inf
            drafted = await shared.tried(shared.write("draft", most=self.every))
            if drafted is None:
                return
            verifier.check_reported(drafted)
            trace.drafted, text = drafted, shared.text + drafted.prompt.text
            try:
                score = await verifier(asked, text, NO_TOKENS.plus(drafted.logprobs))
            except NO_RESULT as error:
                shared.errors.append(error)
                over = isinstance(error, BudgetExceeded)  # then nobody can write it anew
                trace.strange = -math.inf if over else math.inf
            else:
                trace.strange = 1 - score

        async def first(trace: _Trace) -> None:
            try:
                await draft(trace)
            except NO_RESULT as error:
                trace.shared.errors.append(error)

        async with fan_out(first, traces) as begun:
            async for _ in begun:
                pass
        known = [trace.strange for trace in traces if math.isfinite(trace.strange)]
        bound = conformal_quantile(known, self.refuse)

        @node
        async def write(index: int) -> Candidate:
            trace = traces[index]
            shared = trace.shared

            async def go_on() -> None:
                last = shared.steps + 1 >= self.turns
                if trace.drafted is None and not last:
                    await draft(trace)
                drafted, trace.drafted = trace.drafted, None
                refused = last or trace.strange > bound
                trace.chunks += 1
                trace.refused += refused
                if shared.steps and not last and math.isfinite(trace.strange):
                    trace.later.append(refused)
                most = None if last else self.every
                written = drafted
                if refused or drafted is None:
                    written = await shared.tried(shared.write("solver", most=most))
                shared.take(written or drafted or await shared.write("draft", most=most))

            return await brought_to_end(shared, go_on)

        drawn = await collect(write, self.n)
        drawn.errors += [error for trace in traces for error in trace.shared.errors]
        votes = tally({i: s.value for i, s in drawn.found.items()}, same=question.same)
        later = [refused for trace in traces for refused in trace.later]
        return voted(
            drawn,
            votes,
            chunks=sum(trace.chunks for trace in traces),
            refused=sum(trace.refused for trace in traces),
            drifted=at_least(sum(later), len(later), self.refuse) <= DRIFTED,
            **verifier.details,
            **tokens_by_role(trace.shared for trace in traces),
        )


@dataclass(eq=False)
class _Trace:
    """One of the answers.

    Attributes:
        shared: what there is of it.
        drafted: its next chunk, by the small model; None if there is none.
        strange: 1 less the chunk's score.
        chunks: how many chunks it has.
        refused: how many of these are the large model's.
        later: of each scored chunk behind the first one, whether it was refused.
    """

    shared: SharedAnswer
    drafted: Completion | None = None
    strange: float = math.inf
    chunks: int = 0
    refused: int = 0
    later: list[bool] = field(default_factory=list[bool])


def at_least(count: int, of: int, share: float) -> float:
    """With what probability so many of some independent ones are there, each with `share`."""
    if not 0 < share < 1:
        return 1.0 if share or not count else 0.0
    ways = (
        math.lgamma(of + 1) - math.lgamma(k + 1) - math.lgamma(of - k + 1) for k in range(of + 1)
    )
    yes, no = math.log(share), math.log1p(-share)
    chances = [math.exp(way + k * yes + (of - k) * no) for k, way in enumerate(ways)]
    return math.fsum(chances[count:])
