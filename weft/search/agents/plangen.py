"""plangen: agents list constraints, verify answers, and choose how to look for a better one."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from weft.errors import BudgetExceeded, UsageError
from weft.parts.parameters import param, temperature
from weft.programs import generate
from weft.programs.scope.hearing import hearing
from weft.search.agents.bandit import ArmBounds
from weft.search.agents.planning import Agents, Verification
from weft.search.answers.failures import NO_RESULT
from weft.search.sampling.best_of_n import BestOfN
from weft.search.sampling.drawing import Candidate
from weft.search.sampling.samples import Drawn, answered
from weft.search.step_search.beam import Beam
from weft.search.step_search.rebase import Rebase
from weft.search.strategy import Answer, Question, Strategy, stable_seed, strategy
from weft.search.verifiers import verifier_param

_AGAIN = """This answer does not satisfy all constraints:

{feedback}

The constraints are:
{constraints}

Write a better answer to my request, whole, in the same form."""


def _arm(default: str) -> Any:
    doc = f"a way to look for a better answer; {default} if none is given"
    return param(None, doc, kind=Strategy)


@strategy("plangen")
class PlanGen(Strategy):
    """A mixture of algorithms that get feedback from agents (PlanGEN, Parmar et al. 2025).

    The constraint agent lists what an answer to this question must satisfy. The verification
    agent gives a draft a score from -100 to 100, and feedback. While the best score is below
    `threshold` and rounds are left, a bandit chooses one of three strategies, which looks for a
    better answer with that feedback. Where it asks the verifier `model`, its answers are judged by
    these constraints; `verifier` is that of strategies that are not given. The selection agent says
    beforehand how well each suits the question; see `ArmBounds` for what else counts. The best
    answer so far is never given up for a worse one. What the verification agent says may be
    unreadable: then the strategy has failed, and has no score of 0.
    """

    title = "PlanGEN"
    family = "search"
    source = "PlanGEN, Parmar et al. 2025"
    needs = ("verifier", "continuation")

    rounds: int = param(4, "answers after the draft", least=1, main=True)
    verifier: str = verifier_param()
    threshold: float = param(95.0, "a score that is enough", least=-100, most=100)
    one: Strategy | None = _arm("best_of_n(n=4)")
    two: Strategy | None = _arm("beam(n=2, width=2)")
    three: Strategy | None = _arm("rebase(n=2)")
    role: str = param("verifier", "who plays the agents")
    agent_tokens: int = param(1024, "most tokens of what an agent says", least=1)
    temperature: float = temperature()

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        if question.schema is not None:
            raise UsageError(
                "a search that may write its answer in steps can't hold it to a schema; use a "
                "strategy that draws whole answers, such as majority"
            )
        drawn = Drawn()
        agents = Agents(question, self.role, self.agent_tokens, drawn.errors)
        ways = [
            self.one or BestOfN(n=4, verifier=self.verifier),
            self.two or Beam(n=2, width=2, verifier=self.verifier),
            self.three or Rebase(n=2, verifier=self.verifier),
        ]
        best: tuple[Candidate, Verification] | None = None
        chosen: list[str] = []
        await self._draw(drawn, 0, self._draft(question))
        if (draft := drawn.found.get(0)) is not None and draft.value is not None:
            await agents.find_constraints()
            if (said := await agents.verify(draft.text)) is not None:
                best = draft, said
        bandit: ArmBounds | None = None
        for index in range(1, self.rounds + 1):
            if _spent(drawn) or (best is not None and best[1].score >= self.threshold):
                break
            if bandit is None:
                bandit = ArmBounds(await agents.suits([way.spec for way in ways]))
            way = bandit.choose()
            chosen.append(ways[way].spec)
            asked = _asked_again(question, agents, index, best, draft)
            await self._draw(drawn, index, _candidate(ways[way], asked, index))
            found, said = drawn.found.get(index), None
            if found is not None and found.value is not None:
                said = await agents.verify(found.text)
                if said is not None and (best is None or said.score > best[1].score):
                    best = found, said
            bandit.tried(way, None if said is None else _reward(said))
        return answered(
            drawn,
            best[0] if best else None,
            _reward(best[1]) if best else None,
            constraints=len(agents.constraints),
            unread=agents.unread,
            ways=chosen,
            **_mass(drawn),
        )

    async def _draw(self, drawn: Drawn, index: int, answer: Any) -> None:
        try:
            drawn.add(index, await answer)
        except NO_RESULT as error:
            drawn.add(index, error)

    async def _draft(self, question: Question) -> Candidate:
        completion = await generate(
            question.prompt,
            max_tokens=question.max_tokens,
            temperature=self.temperature,
            top_p=question.top_p,
            stop=question.stop,
            seed=stable_seed(question.seed, 0),
            index=0,
            **question.sampling,
        )
        value = question.read(completion)
        return Candidate(0, completion.text, value, completion.usage.completion, completion.whole)


async def _candidate(way: Strategy, asked: Question, index: int) -> Candidate:
    """What a strategy finds."""
    with hearing() as heard:
        answer = await way(asked)
    tokens = sum(one.outcome.usage.completion for one in heard)
    ended = "budget" not in answer.details and "broken_off" not in answer.details
    return Candidate(index, answer.text or "", answer.value, tokens, ended, within=answer.details)


def _asked_again(
    question: Question,
    agents: Agents,
    index: int,
    best: tuple[Candidate, Verification] | None,
    draft: Candidate | None,
) -> Question:
    """The question with feedback on the best answer, to be judged by the constraints."""
    prompt = question.prompt
    text, feedback = "", "It could not be verified."
    if best is not None:
        text, feedback = best[0].text, best[1].feedback
    elif draft is not None:
        text = draft.text
    if text:
        listed = "\n".join(f"- {one}" for one in agents.constraints) or "- those of my request"
        prompt = prompt.assistant(text).user(_AGAIN.format(feedback=feedback, constraints=listed))
    seed = stable_seed(question.seed, "plan", index)
    return replace(question, prompt=prompt, think=None, verify=agents.holds, seed=seed)


def _mass(drawn: Drawn) -> dict[str, float]:
    """How much of the verifier's model the verdicts of the ways rest on, in the mean."""
    within = [one.within for one in drawn.found.values() if one.within is not None]
    masses = [one["verdict_mass"] for one in within if "verdict_mass" in one]
    return {"verdict_mass": round(math.fsum(masses) / len(masses), 6)} if masses else {}


def _reward(said: Verification) -> float:
    return (said.score + 100) / 200


def _spent(drawn: Drawn) -> bool:
    return any(isinstance(error, BudgetExceeded) for error in drawn.errors)
