"""effort: a judge says how much a model should think about a question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from weft.errors import UsageError
from weft.parts.parameters import param, temperature
from weft.programs import Prompt, node
from weft.programs.calls.score import pool_texts
from weft.search.answers.failures import NO_RESULT
from weft.search.collaboration.routing.ways import Way, answer_by
from weft.search.sampling.nesting import of_param
from weft.search.sampling.samples import Drawn, answered
from weft.search.strategy import Answer, Question, Strategy, strategy
from weft.search.verifiers.verdicts import forms

ASK = (
    "How much reasoning does the task below need? Name the least that is enough: {levels}. "
    "Answer with this word alone.\n\nTask:\n{task}"
)


@dataclass(frozen=True)
class Choice:
    """How much effort a judge gives a task.

    Attributes:
        level: the effort chosen.
        chances: of each level that it is the least that is enough, adding up to 1; empty if the
            judge named none.
    """

    level: str
    chances: dict[str, float]


@node
async def choose_effort(
    task: str, levels: Sequence[str], *, role: str = "draft", sure: float = 0.5, ask: str = ASK
) -> Choice:
    """Ask a judge for the least effort that is enough for a task, or for a step of an agent.

    The judge's probabilities of the levels are summed from the lowest on. The level with which
    they reach `sure` is chosen; without any probability, the highest. One token is generated.

    Args:
        task: what is to be done, history included.
        levels: efforts, the lowest first; each one word.
        role: of the model that is asked.
        sure: how likely it must be that no higher effort is needed, from 0 to 1.
        ask: what is asked; `{levels}` and `{task}` stand for the two.

    Raises:
        WeftError: the judge could not be asked.
    """
    *first, last = levels
    named = f"{', '.join(first)} or {last}" if first else last
    asked = ask.replace("{levels}", named).replace("{task}", task)
    found = await pool_texts(Prompt.user(asked), {one: forms(one) for one in levels}, role=role)
    mass = sum(found.values())
    if mass <= 0:
        return Choice(last, {})
    chances, enough = {one: found[one] / mass for one in levels}, 0.0
    for level, chance in chances.items():
        enough += chance
        if enough >= sure:
            return Choice(level, chances)
    return Choice(last, chances)


def read_levels(text: str) -> tuple[str, ...]:
    """Levels of effort, parted by spaces.

    Raises:
        UsageError: there is none, or one twice.
    """
    found = tuple(text.split())
    if not found or len(set(found)) < len(found):
        raise UsageError(f"levels={text!r} must name one level at least, and none twice")
    return found


def read_ask(text: str) -> str:
    """What a judge is asked.

    Raises:
        UsageError: the task has no place in it.
    """
    if "{task}" not in text:
        raise UsageError(f"ask={text!r} must hold {{task}}, where the task is put")
    return text


@strategy("effort")
class Effort(Strategy):
    """One answer, with the least effort that a judge takes for enough (Ares, 2026).

    The judge is the model in the role `role`, and is asked for one word. The levels are the
    `reasoning_effort` of the model that answers; `none` switches thinking off. A judge that fails
    leaves the highest level. With one level, nobody is asked: `effort(levels=low)` is the
    baseline to compare with.

    In the paper the judge is trained, upon labels that `lowest_efforts` makes. A judge that was
    not trained knows less of what a model can do. `choose_effort` does the same for each step of an
    agent; `bandit(ways='solver/low solver/high')` learns efforts from what they brought.
    """

    family = "collaboration"
    source = "Ares, 2026"
    needs = ("thinking",)

    levels: str = param("low medium high", "efforts, lowest first", main=True, read=read_levels)
    role: str = param("draft", "who is asked for the effort")
    sure: float = param(0.5, "how likely the effort must be enough", above=0, most=1)
    ask: str = param(ASK, "what is asked, with {levels} and {task}", read=read_ask)
    temperature: float = temperature()
    of: Strategy | None = of_param()

    @property
    def texts(self) -> int | None:
        """Among how many whole texts the strategy chooses: one, or as many as `of` says."""
        return 1 if self.of is None else self.of.texts

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        levels, drawn = read_levels(self.levels), Drawn()
        choice = Choice(levels[-1], {})
        if len(levels) > 1:
            task = question.prompt.messages[-1].content
            try:
                choice = await choose_effort(
                    task, levels, role=self.role, sure=self.sure, ask=self.ask
                )
            except NO_RESULT as error:
                drawn.errors.append(error)
        way = Way("solver", choice.level)
        sample = await answer_by(way, question, drawn, self.temperature, think=True, of=self.of)
        details = {"effort": choice.level} | ({"chances": choice.chances} if choice.chances else {})
        return answered(drawn, sample, None, **details)
