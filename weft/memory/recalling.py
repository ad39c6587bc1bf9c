"""recall: the concepts that a problem may need, picked by a model from a compact index."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Unpack, cast

from weft.errors import BudgetExceeded, EngineError, OutputError, UsageError
from weft.memory.concept import Concept, index_line, key_of, rendered
from weft.memory.kept_concepts import ConceptMemory
from weft.programs import Prompt, generate, node
from weft.programs.durable.seen import seen
from weft.types import MoreSampling

PICK = (
    "Here are concepts that helped with earlier problems.\n\n{index}\n\nProblem:\n{problem}\n\n"
    "Which of them may help with this problem? Give their exact names as a JSON list, those that "
    "help most first, at most {most}; an empty list if none does."
)


@dataclass(frozen=True)
class Recalled:
    """What was picked for a problem.

    Attributes:
        concepts: those that help most first.
        text: the same for a prompt; empty if there are none.
        unknown: names that the model gave and the memory does not have.
    """

    concepts: tuple[Concept, ...] = ()
    text: str = ""
    unknown: tuple[str, ...] = ()


@node
async def recall(
    memory: ConceptMemory,
    problem: str,
    *,
    most: int = 5,
    index_size: int = 20_000,
    size: int = 12_000,
    max_tokens: int = 512,
    temperature: float = 0.0,
    seed: int | None = None,
    role: str = "solver",
    **more: Unpack[MoreSampling],
) -> Recalled:
    """Pick the concepts of a memory that a problem may need.

    A model reads a compact index and gives names; names that the memory does not have are left
    out. Where no model answers or a budget has ended, nothing is picked. An empty memory costs no
    call.

    What was read is kept with the run: a run that is resumed, or run again from its Store, sees
    the memory as it saw it then, though the memory has grown. To see it as it is now, run under
    another id. Read again in one run, for the same problem, the memory is as it is by then.

    ArcMemo (Ho et al. 2025, arXiv 2509.04439).

    Args:
        memory: has the concepts.
        problem: in words.
        most: concepts.
        index_size: characters of the index; concepts that were used least are left out.
        size: characters of `Recalled.text`.
        max_tokens: most tokens of the model's answer.
        temperature: 0 is greedy.
        seed: makes the answer repeatable where the engine allows it.
        role: which of the pool's models picks.
        **more: settings that few calls need.

    Raises:
        UsageError: the problem is no text, or `most` is below 1.
        StoreError: the memory can't be read.
    """
    if not isinstance(cast(object, problem), str) or not problem.strip():
        raise UsageError(f"problem={problem!r:.60} must be a text")
    if type(most) is not int or most < 1:
        raise UsageError(f"most={most!r} must be a whole number of at least 1")
    index = await read_index(memory, problem, index_size)
    if not index:
        return Recalled()
    known = {key_of(name): name for name in index}
    asked = PICK.format(index="\n".join(index.values()), problem=problem, most=most)
    try:
        said = await generate(
            Prompt.user(asked),
            returns=list[str],
            max_tokens=max_tokens,
            temperature=temperature,
            seed=seed,
            role=role,
            **more,
        )
        names = said.value
    except OutputError as error:
        names = _names(error.completion.text if error.completion is not None else "")
    except (BudgetExceeded, EngineError):
        names = []
    picked = list(dict.fromkeys(key_of(name) for name in names if key_of(name) in known))[:most]
    unknown = tuple(dict.fromkeys(name for name in names if key_of(name) not in known))
    if not picked:
        return Recalled(unknown=unknown)
    concepts = await _read(memory, problem, picked)
    return Recalled(concepts, rendered(concepts, size), unknown)


async def read_index(memory: ConceptMemory, problem: str, size: int) -> dict[str, str]:
    """Lines of the compact index by names, as the run sees the memory.

    Args:
        memory: has the concepts.
        problem: for which it is read.
        size: most characters; concepts that were used least are left out.
    """

    async def look() -> str:
        lines: dict[str, str] = {}
        left = size
        for concept in sorted(memory.all(), key=lambda one: (-len(one.used), one.key)):
            line = index_line(concept)
            left -= len(line) + 1
            if left < 0:
                break
            lines[concept.name] = line
        return json.dumps(dict(sorted(lines.items())))

    arguments = json.dumps(["index", problem, size])
    return json.loads(await seen(f"memory {memory.name}", arguments, look))


async def _read(memory: ConceptMemory, problem: str, keys: Sequence[str]) -> tuple[Concept, ...]:
    async def look() -> str:
        known = {concept.key: concept for concept in memory.all()}
        return json.dumps([known[key].model_dump() for key in keys if key in known])

    arguments = json.dumps(["concepts", problem, *keys])
    kept = json.loads(await seen(f"memory {memory.name}", arguments, look))
    return tuple(map(Concept.model_validate, kept))


def _names(text: str) -> list[str]:
    """Names in an answer that is no JSON list: in quotes, or else a line each."""
    quoted = re.findall(r'"([^"\n]+)"', text)
    lines = (re.sub(r"^\s*(?:[-*]|\d+[.)])\s+", "", line) for line in text.splitlines())
    return quoted or [line.strip(" *`'") for line in lines if line.strip()]
