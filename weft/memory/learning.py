"""learn: concepts out of a solution that was verified."""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable
from typing import Any, Unpack

from weft.errors import BudgetExceeded, EngineError, OutputError
from weft.memory.concept import Concept, merged
from weft.memory.kept_concepts import ConceptMemory
from weft.memory.recalling import read_index
from weft.parts.faults import blaming, truth
from weft.programs import Prompt, generate, node
from weft.programs.calls.settings import CallSettings
from weft.types import MoreSampling

SKETCH = (
    "Problem:\n{problem}\n\nA solution that is right:\n{solution}\n\n"
    "Write the solution as short pseudocode, in general terms: what is looked at, and what is done."
)
ABSTRACT = (
    "From this pseudocode, name the concepts that could help with other problems: structures (what "
    "there is in a problem) and routines (what is done). Put them in general terms, without what "
    "belongs to this problem alone. Use a name of the list where the concept is the same.\n\n"
    "Names that are known:\n{index}\n\nPseudocode:\n{sketch}\n\n"
    "Give a JSON list of objects with name, kind (structure or routine), subtype, output, "
    "parameters, description, cues (what in a problem says that it may help) and notes (how it is "
    "done)."
)
Check = Callable[[str], bool | Awaitable[bool]]
"""Says of a solution whether it is right."""


@node
async def learn(
    memory: ConceptMemory,
    problem: str,
    solution: str,
    *,
    check: Check,
    label: str = "",
    index_size: int = 20_000,
    max_tokens: int = 2048,
    temperature: float = 0.0,
    seed: int | None = None,
    role: str = "solver",
    **more: Unpack[MoreSampling],
) -> list[Concept]:
    """Learn concepts from a solution, if it is right, and remember them.

    `check` is asked first; without its yes nothing is asked of a model and nothing is remembered.
    Then a model writes the solution as pseudocode, and names concepts in it. What of its answer
    can't be read as concepts is left out.

    Args:
        memory: remembers them.
        problem: in words.
        solution: with the way to it, if it is known.
        check: says whether the solution is right; async or plain.
        label: of the problem, for `Concept.used`; its first characters by default.
        index_size: characters of the list of names that are known.
        max_tokens: most tokens of each of the model's answers.
        temperature: 0 is greedy.
        seed: makes the answers repeatable where the engine allows it.
        role: which of the pool's models is asked.
        **more: settings that few calls need.

    Returns:
        what was learned.

    Raises:
        PartFailed: the check failed, or said neither yes nor no.
        StoreError: the memory can't be read or written.
    """
    with blaming("check", check):
        said = check(solution)
        right = truth(await said if inspect.isawaitable(said) else said, "the check")
    if not right:
        return []
    found = await abstracted(
        memory,
        problem,
        solution,
        label,
        index_size,
        max_tokens=max_tokens,
        temperature=temperature,
        seed=seed,
        role=role,
        **more,
    )
    if found:
        memory.add(found, verified=True)
    return found


async def abstracted(
    memory: ConceptMemory,
    problem: str,
    solution: str,
    label: str,
    index_size: int = 20_000,
    **settings: Unpack[CallSettings],
) -> list[Concept]:
    """Concepts of a solution; none if calls fail or can't be read. Nothing is remembered."""
    index = await read_index(memory, problem, index_size)
    try:
        sketch = await generate(
            Prompt.user(SKETCH.format(problem=problem, solution=solution)), **settings
        )
        names = "\n".join(index) or "(none yet)"
        asked = ABSTRACT.format(index=names, sketch=sketch.text or solution)
        said = await generate(Prompt.user(asked), returns=list[dict[str, Any]], **settings)
        rows = said.value
    except OutputError as error:
        rows = _rows(error.completion.text if error.completion is not None else "")
    except (BudgetExceeded, EngineError):
        return []
    used = label or " ".join(problem.split())[:80]
    found: dict[str, Concept] = {}
    for row in rows:
        try:
            made = Concept.model_validate({**row, "used": [used]})
        except ValueError:  # of one concept nothing can be read
            continue
        found[made.key] = merged(found.get(made.key, made), made)
    return [found[key] for key in sorted(found)]


def _rows(text: str) -> list[dict[str, Any]]:
    """The objects in a text, one after the other, whatever stands between them."""
    decoder, rows, at = json.JSONDecoder(), list[dict[str, Any]](), text.find("{")
    while at >= 0:
        try:
            row, end = decoder.raw_decode(text, at)
            if "name" in row:
                rows.append(row)
        except ValueError:
            end = at + 1
        at = text.find("{", end)
    return rows
