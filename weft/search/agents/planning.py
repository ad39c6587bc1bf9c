"""The agents of PlanGEN: what a plan must satisfy, how well it does, which method suits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import BaseModel, Field

from weft.errors import OutputError, WeftError
from weft.programs import Prompt, generate
from weft.search.answers.failures import NO_RESULT
from weft.search.strategy import Question, stable_seed

_CONSTRAINTS = """List all constraints that a good answer to this request must satisfy: what it \
states, and what follows from it for this very case. Do not answer the request.

{request}"""

_VERIFY = """Here are a request, the constraints on an answer to it, and an answer. Go through the \
constraints one by one, and say which ones the answer violates and how. Then give it a score from \
-100, for an answer that violates all of them, to 100, for one that satisfies all.

Request:
{request}

Constraints:
{constraints}

Answer:
{answer}"""

_HOLDS = """These are the constraints on your answer:

{constraints}

Does your answer satisfy them as far as it goes? Answer with yes or no alone."""

_SELECT = """Here are a request, the constraints on an answer to it, and ways to look for one. Say \
for each way how well it suits this request, in their order, by a number from 0 to 1.

Request:
{request}

Constraints:
{constraints}

Ways:
{ways}"""


class Constraints(BaseModel):
    """What the constraint agent gives."""

    constraints: list[str]


class Verification(BaseModel):
    """What the verification agent gives: a score from -100 to 100, and why."""

    feedback: str
    score: float = Field(ge=-100, le=100)


class Suitability(BaseModel):
    """What the selection agent gives: a number from 0 to 1 for each way."""

    suitability: list[float]


M = TypeVar("M", bound=BaseModel)


@dataclass
class Agents:
    """The three agents, for one question.

    Attributes:
        question: what is to be answered.
        role: who plays them.
        max_tokens: most tokens of what one says.
        errors: why they could not be asked.
        constraints: what the constraint agent found; empty before it was asked.
        unread: how often what an agent said could not be read.
    """

    question: Question
    role: str
    max_tokens: int
    errors: list[WeftError]
    constraints: Sequence[str] = ()
    unread: int = 0
    _asked: int = field(default=0, repr=False)

    async def find_constraints(self) -> None:
        """Ask for the constraints; there are none if they can't be read."""
        found = await self._ask(_CONSTRAINTS.format(request=self._request), Constraints)
        self.constraints = found.constraints if found else ()

    async def verify(self, text: str) -> Verification | None:
        """Ask how well an answer satisfies the constraints; None if that can't be read."""
        return await self._ask(self._about(_VERIFY, answer=text), Verification)

    async def suits(self, ways: Sequence[str]) -> list[float]:
        """Ask how well ways suit, from 0 to 1; all alike if that can't be read."""
        listed = "\n".join(f"{i}. {way}" for i, way in enumerate(ways, 1))
        found = await self._ask(self._about(_SELECT, ways=listed), Suitability)
        if found is None or len(found.suitability) != len(ways):
            return [0.5] * len(ways)
        return [min(1.0, max(0.0, value)) for value in found.suitability]

    def holds(self, text: str) -> Prompt:
        """Asks by yes or no whether an answer satisfies the constraints as far as it goes."""
        asked = Prompt.user(self._request).assistant(text)
        return asked.user(self._about(_HOLDS))

    @property
    def _request(self) -> str:
        turns = [m.content for m in self.question.prompt.messages if m.role != "assistant"]
        return "\n\n".join(turns)

    def _about(self, text: str, **more: str) -> str:
        listed = "\n".join(f"- {one}" for one in self.constraints) or "- those of the request"
        return text.format(request=self._request, constraints=listed, **more)

    async def _ask(self, text: str, returns: type[M]) -> M | None:
        self._asked += 1
        try:
            completion = await generate(
                Prompt.user(text),
                max_tokens=self.max_tokens,
                temperature=0.0,
                seed=stable_seed(self.question.seed, "agent", self._asked),
                returns=returns,
                role=self.role,
            )
            return completion.value
        except OutputError:
            self.unread += 1
        except NO_RESULT as error:
            self.errors.append(error)
        return None
