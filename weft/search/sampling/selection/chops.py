"""chops: one call reads all samples, writes a checklist, and names the best."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from weft.parts.parameters import param, temperature
from weft.programs import Prompt, generate
from weft.search.answers.failures import NO_RESULT
from weft.search.sampling.drawing import Candidate, drawer, hedge_param, hedged
from weft.search.sampling.samples import answered, collect
from weft.search.strategy import Answer, Question, Strategy, stable_seed, strategy

_ASK = """Here are a request and {count} answers to it. First write a short checklist of what a \
good answer to this request must have. Then hold each answer against the checklist. Name the best \
answer on the last line by its number in double brackets, such as [[1]].

Request:
{request}

{answers}"""


@strategy("chops")
class Chops(Strategy):
    """The sample that a judge names who sees all of them at once (checklisted one-pass selection).

    For open answers in any language, where votes can't count and scores mislead (Khairi et al.
    2025). The pool is hedged: its first sample is greedy, the others are drawn at the
    temperature. The judge first writes a checklist for this request. The samples are shown in an
    order drawn from the seed, and equal ones once. Where the judge names none of them, or can't be
    asked, the first sample is the answer.
    """

    title = "CHOPS"
    family = "sampling"
    source = "Khairi et al. 2025"

    n: int = param(5, "samples", least=1, main=True)
    hedge: bool = hedge_param(True)
    role: str = param("verifier", "who judges")
    judge_tokens: int = param(1024, "most tokens of the judge's checklist and choice", least=1)
    temperature: float = temperature()

    @property
    def texts(self) -> int:
        """Among how many whole texts the strategy chooses: `n`."""
        return self.n

    @property
    def drawn_alike(self) -> bool:
        """Whether all texts are drawn alike; not with a greedy one among them."""
        return not self.hedge

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        heat = hedged(self.temperature, self.hedge)
        drawn = await collect(drawer(question, heat), self.n)
        shown: dict[str, Candidate] = {}
        for _, sample in sorted(drawn.found.items()):
            if sample.value is not None:
                shown.setdefault(sample.text, sample)
        if len(shown) < 2:
            return answered(drawn, None, None, judged=False)
        pool = list(shown.values())
        order = random.Random(stable_seed(question.seed, "order")).sample(pool, len(pool))
        chosen: int | None = None
        try:
            said = await generate(
                judging(question, [s.text for s in order]),
                max_tokens=self.judge_tokens,
                temperature=0.0,
                seed=stable_seed(question.seed, "judge"),
                role=self.role,
            )
            chosen = named(said.text, len(order))
        except NO_RESULT as error:
            drawn.errors.append(error)
        best = pool[0] if chosen is None else order[chosen]
        return answered(drawn, best, None, judged=chosen is not None)


def judging(question: Question, texts: Sequence[str]) -> Prompt:
    """Asks for the best of some answers."""
    turns = [m.content for m in question.prompt.messages if m.role != "assistant"]
    answers = "\n\n".join(f"Answer {i}:\n{text}" for i, text in enumerate(texts, 1))
    return Prompt.user(_ASK.format(count=len(texts), request="\n\n".join(turns), answers=answers))


def named(said: str, count: int) -> int | None:
    """Which answer a judge names, from 0; None if it names none that there is.

    Args:
        said: by the judge; the last number in double brackets counts.
        count: how many answers there are.
    """
    found = re.findall(r"\[\[\s*([0-9]{1,9})\s*\]\]", said)
    number = int(found[-1]) if found else 0
    return number - 1 if 1 <= number <= count else None
