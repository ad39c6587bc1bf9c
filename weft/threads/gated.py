"""gated: subproblems one after the other, of which only the difficult ones are thought about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, Unpack

from pydantic import BaseModel, Field, ValidationError

from weft.context import added
from weft.errors import BudgetExceeded, EngineError, UsageError
from weft.programs import Completion, Prompt, generate, node
from weft.programs.calls.json_text import json_texts
from weft.programs.calls.settings import CallSettings
from weft.threads.spawn import Bill, Threaded
from weft.types import MoreSampling, Usage

Form = TypeVar("Form", bound=BaseModel)

SPLIT = (
    "Before you solve this: name the subproblems to solve, in order, at most {most}, as JSON. "
    "Each may use the results of those before it. Name one alone if there is nothing to split."
)
CHOOSE = (
    "Here are ways to split the problem:\n\n{ways}\n\nWhich is the best? Answer with its number."
)
RATE = (
    "The problem will be solved by these subproblems:\n\n{parts}\n\nHow difficult is each, from 0 "
    "(you can say the result at once) to 1 (it takes long thought)? Answer with a number for each."
)
SOLVE = "Solve this subproblem: {part}"
FINAL = "Now give the final answer to the problem."


class SplitProblem(BaseModel):
    """Subproblems, in order."""

    subproblems: list[str]


class ChosenSplit(BaseModel):
    """The number of the best way."""

    choice: int


class Difficulties(BaseModel):
    """How difficult each subproblem is, from 0 to 1."""

    difficulties: list[float] = Field(min_length=1)


@node
async def gated(
    prompt: Prompt,
    *,
    threshold: float = 0.2,
    ways: int = 3,
    most: int = 8,
    quick_tokens: int = 512,
    slow_tokens: int = 4096,
    temperature: float = 0.6,
    seed: int | None = None,
    role: str = "solver",
    **more: Unpack[MoreSampling],
) -> Threaded:
    """Solve a problem by subproblems, and think only where one is difficult.

    The model splits the problem in several ways and chooses one. It says how difficult each
    subproblem is. Those below the threshold are answered without thinking, the others with. They
    are solved in order, each with the results of those before it, and the answer follows from
    all. A problem of one subproblem is answered at once, with or without thinking.

    SCALE (2025, arXiv 2512.00466), all by prompts. It needs a model whose thinking can be
    switched (`thinking`). How difficult a model says a thing is, is poorly calibrated: try
    several thresholds. What can't be read counts as difficult.

    Args:
        prompt: the conversation.
        threshold: difficulty from 0 to 1 from which on a subproblem is thought about: 0 thinks
            about all, 1 only about those of difficulty 1.
        ways: how many ways to split are written; with 1 none is chosen.
        most: most subproblems; further ones are left out.
        quick_tokens: most tokens of an answer without thinking, and of plans.
        slow_tokens: most tokens of an answer with thinking.
        temperature: of splits and solutions; choices and ratings are greedy.
        seed: makes the answer repeatable where the engine allows it.
        role: which of the pool's models writes.
        **more: settings that few calls need, but for `thinking`.

    Returns:
        The answer. `details` has `subproblems`, `difficulties`, `slow` (whether each was thought
        about), and the generated tokens of both kinds, `quick_tokens` and `slow_tokens`.

    Raises:
        UsageError: an argument is out of range.
        EngineError: no engine could answer.
        BudgetExceeded: the budget ended before there was any result.
    """
    _check(threshold, ways, most, more)
    solving: CallSettings = {**more, "temperature": temperature, "seed": seed, "role": role}
    worked = _Gated(prompt, threshold, quick_tokens, slow_tokens, solving)
    try:
        parts = await worked.split(ways, most)
        await worked.rate(parts or ["the whole"])
        await worked.solve(parts)
    except BudgetExceeded as over:
        if over.text and worked.answering:
            worked.text = over.text
        if not worked.text:
            raise
    except EngineError:
        if not worked.text:
            raise
    return worked.bill.result(
        worked.path,
        worked.text,
        worked.whole,
        subproblems=worked.parts,
        difficulties=worked.difficulties,
        slow=worked.slow,
        quick_tokens=worked.bill.tokens - worked.thought.completion,
        slow_tokens=worked.thought.completion,
    )


class _Gated:
    """A problem on its way through its subproblems."""

    def __init__(
        self,
        prompt: Prompt,
        threshold: float,
        quick_tokens: int,
        slow_tokens: int,
        solving: CallSettings,
    ) -> None:
        self.prompt, self.path, self.threshold, self.solving = prompt, prompt, threshold, solving
        self.limits = {False: quick_tokens, True: slow_tokens}
        self.bill, self.thought = Bill(), Usage()
        self.text, self.whole, self.answering = "", False, False
        self.parts: list[str] = []
        self.difficulties: list[float] = []
        self.slow: list[bool] = []

    async def split(self, ways: int, most: int) -> list[str]:
        """The subproblems; none if there is nothing to split, or it can't be read."""
        asked = added(self.prompt, SPLIT.format(most=most))
        settings: CallSettings = {**self.solving, "max_tokens": self.limits[False]}
        settings["thinking"] = False
        schema = SplitProblem.model_json_schema()
        try:
            said = await generate(asked, n=ways, schema=schema, **settings)
        except EngineError:
            return []
        lengths = [one.usage.completion for one in said]
        self.bill.tokens += sum(lengths)
        self.bill.critical += max(lengths)
        found = dict.fromkeys(tuple(parts) for one in said if (parts := _parts(one, most)))
        if not found:
            return []
        best = list(found)
        return list(best[await self._choose(best)] if len(best) > 1 else best[0])

    async def _choose(self, ways: Sequence[tuple[str, ...]]) -> int:
        told = "\n\n".join(f"{at}.\n{_listed(one)}" for at, one in enumerate(ways, 1))
        read = _read(ChosenSplit, await self._ask(CHOOSE.format(ways=told), ChosenSplit))
        return read.choice - 1 if read is not None and 1 <= read.choice <= len(ways) else 0

    async def rate(self, parts: Sequence[str]) -> None:
        """Note of each subproblem how difficult it is, and whether to think about it."""
        said = await self._ask(RATE.format(parts=_listed(parts)), Difficulties)
        read = _read(Difficulties, said)
        rated = read.difficulties if read is not None else []
        whole = len(rated) == len(parts) and all(0 <= one <= 1 for one in rated)
        self.difficulties = rated if whole else [1.0] * len(parts)
        self.slow = [one >= self.threshold for one in self.difficulties]

    async def _ask(self, words: str, form: type[BaseModel]) -> str:
        settings: CallSettings = {**self.solving, "max_tokens": self.limits[False]}
        settings["temperature"], settings["thinking"] = 0.0, False
        asked, schema = added(self.prompt, words), form.model_json_schema()
        try:
            said = await generate(asked, schema=schema, **settings)
        except EngineError:
            return ""
        self.bill.serial(said)
        return said.text

    async def solve(self, parts: Sequence[str]) -> None:
        """Solve all, and give the answer."""
        self.parts = list(parts)
        if len(parts) < 2:
            self.answering = True
            await self._answer(self.prompt, self.slow[0])
            return
        for part, slow in zip(parts, self.slow, strict=True):
            self.bill.threads += 1
            await self._answer(added(self.path, SOLVE.format(part=part)), slow)
        self.whole, self.answering = False, True
        await self._answer(self.path.user(FINAL), slow=False)

    async def _answer(self, asked: Prompt, slow: bool) -> None:
        settings: CallSettings = {**self.solving, "max_tokens": self.limits[slow]}
        settings["thinking"] = slow
        said = await generate(asked, **settings)
        self.bill.serial(said)
        if slow:
            self.thought += said.usage
        # Results go on without the thinking that led to them.
        self.path = asked.assistant(said.text)
        self.text, self.whole = said.text or self.text, self.answering and said.whole


def _parts(said: Completion, most: int) -> list[str]:
    read = _read(SplitProblem, said.text)
    found = [part.strip() for part in read.subproblems] if read is not None else []
    return [part for part in found if part][:most]


def _read(form: type[Form], text: str) -> Form | None:
    for found in json_texts(text):
        try:
            return form.model_validate_json(found)
        except ValidationError:
            continue
    return None


def _listed(parts: Sequence[str]) -> str:
    return "\n".join(f"- {part}" for part in parts)


def _check(threshold: float, ways: int, most: int, more: MoreSampling) -> None:
    if not 0 <= threshold <= 1:
        raise UsageError(f"gated threshold={threshold!r} must be from 0 to 1")
    for name, number in (("ways", ways), ("most", most)):
        if type(number) is not int or number < 1:
            raise UsageError(f"gated {name}={number!r} must be a whole number of at least 1")
    if "thinking" in more:
        raise UsageError("gated switches the thinking itself; leave out thinking")
