"""study: problems in batches, with a memory that grows by what was solved."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Unpack

from weft.errors import BudgetExceeded, EngineError, PartFailed, UsageError
from weft.memory.concept import Concept
from weft.memory.kept_concepts import ConceptMemory
from weft.memory.learning import abstracted
from weft.memory.recalling import recall
from weft.parts.faults import blaming, truth
from weft.programs import node
from weft.programs.gather import gather
from weft.types import MoreSampling

Solve = Callable[[str, str], Awaitable[str]]
"""Solves a problem with notes, which stand in the prompt; the notes may be empty."""

Judge = Callable[[str, str], bool | str | Awaitable[bool | str]]
"""Says of a problem's solution whether it is right; a text says what is wrong with it."""


@dataclass(frozen=True)
class Studied:
    """What became of a problem.

    Attributes:
        problem: the problem.
        solution: the last one; None if there was none.
        solved: whether it was verified.
        passes: how often it was tried.
        concepts: names of what was recalled the last time.
        wrong: what the judge, or the error of a try, said last; empty if it is solved.
    """

    problem: str
    solution: str | None = None
    solved: bool = False
    passes: int = 0
    concepts: tuple[str, ...] = ()
    wrong: str = ""


@node
async def study(
    problems: Sequence[str],
    solve: Solve,
    judge: Judge,
    memory: ConceptMemory,
    *,
    passes: int = 3,
    batch: int = 16,
    most: int = 5,
    role: str = "solver",
    seed: int | None = None,
    **more: Unpack[MoreSampling],
) -> list[Studied]:
    """Solve problems with a memory of concepts, and remember what was verified.

    A batch is solved side by side: for each problem concepts are recalled, `solve` gets them as
    notes, and `judge` verifies. Behind the batch concepts are learned from what was verified, in
    the order of the problems. So problems of one batch don't see each other's concepts, and
    results depend on the size of batches. What is not solved is tried again in the next pass, with
    concepts recalled anew and with what the judge said. A try that fails loses no other. When a
    budget ends, what is solved by then is given, and what it taught is remembered.

    ArcMemo (Ho et al. 2025, arXiv 2509.04439).

    Args:
        problems: in words.
        solve: an async function of a problem and of notes.
        judge: says whether a solution is right; async or plain.
        memory: of concepts.
        passes: how often a problem is tried at most.
        batch: problems that are solved between two updates of the memory.
        most: concepts that are recalled for a problem.
        role: which of the pool's models picks and abstracts.
        seed: makes these calls repeatable where the engine allows it.
        **more: settings of these calls.

    Raises:
        UsageError: a number is below 1, or there is no list of problems.
        StoreError: the memory can't be read or written.
    """
    if isinstance(problems, str):
        raise UsageError("problems must be a list of texts")
    for name, number in (("passes", passes), ("batch", batch), ("most", most)):
        if type(number) is not int or number < 1:
            raise UsageError(f"{name}={number!r} must be a whole number of at least 1")
    state = [Studied(problem) for problem in problems]

    @node
    async def attempt(at: int) -> Studied:
        before = state[at]
        recalled = await recall(memory, before.problem, most=most, role=role, seed=seed, **more)
        tried = replace(
            before,
            passes=before.passes + 1,
            concepts=tuple(concept.name for concept in recalled.concepts),
        )
        try:
            with blaming("solver", solve):
                solution = await solve(before.problem, _notes(recalled.text, before))
            said = await _judged(judge, before.problem, solution)
        except (EngineError, PartFailed) as error:
            return replace(tried, wrong=str(error))
        wrong = "" if said is True else said or "it is wrong"
        return replace(tried, solution=solution, solved=said is True, wrong=wrong)

    @node
    async def abstract(at: int) -> list[Concept]:
        one = state[at]
        solution = one.solution or ""
        return await abstracted(
            memory, one.problem, solution, "", temperature=0.0, role=role, seed=seed, **more
        )

    over = False
    for _ in range(passes):
        open = [at for at, one in enumerate(state) if not one.solved]
        for begin in range(0, len(open), batch):
            some = open[begin : begin + batch]
            tries, over = _kept(await gather(attempt, some, errors="keep"))
            state = [tries.get(some.index(at), one) if at in some else one
                     for at, one in enumerate(state)]  # fmt: skip
            solved = [at for at in some if state[at].solved]
            taught, ended = _kept(await gather(abstract, solved, errors="keep"))
            for number in sorted(taught):
                memory.add(taught[number], verified=True)
            if over := over or ended:
                break
        if over:
            break
    return state


def _kept(results: Sequence[Any]) -> tuple[dict[int, Any], bool]:
    """Results by number, and whether a budget has ended; other errors are raised."""
    for one in results:
        if isinstance(one, Exception) and not isinstance(one, BudgetExceeded):
            raise one
    kept = {at: one for at, one in enumerate(results) if not isinstance(one, Exception)}
    return kept, len(kept) < len(results)


def _notes(text: str, before: Studied) -> str:
    tried = ""
    if before.passes and before.wrong:
        solution = f"An earlier try:\n{before.solution}\n\n" if before.solution else ""
        tried = f"{solution}What was wrong with it: {before.wrong}"
    known = f"Concepts that may help:\n\n{text}" if text else ""
    return "\n\n".join(filter(None, (known, tried)))


async def _judged(judge: Judge, problem: str, solution: str) -> bool | str:
    with blaming("judge", judge):
        said = judge(problem, solution)
        said = await said if inspect.isawaitable(said) else said
        return said if isinstance(said, str) else truth(said, "what it says")
