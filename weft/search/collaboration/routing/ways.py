"""Ways to have a question answered: by which model, and with how much effort."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

from weft.errors import UsageError
from weft.parts.parameters import param
from weft.programs.scope import current, enter
from weft.search.sampling.drawing import Candidate, drawer
from weft.search.sampling.samples import Drawn, collect
from weft.search.strategy import Question, Strategy
from weft.search.verifiers import Verifier
from weft.types import MoreSampling


@dataclass(frozen=True)
class Way:
    """Who answers, and how.

    Attributes:
        role: of the model that answers.
        effort: how much the model thinks, such as `low`; `none` switches thinking off. Empty
            leaves it to the question.
        cost: of one of its tokens, beside those of other ways.
    """

    role: str
    effort: str = ""
    cost: float = 1.0

    @property
    def name(self) -> str:
        """Role and effort, as specs write them."""
        return f"{self.role}/{self.effort}" if self.effort else self.role

    def asked(self, question: Question) -> Question:
        """The question, to be answered with this effort."""
        return with_effort(question, self.effort)


def read_ways(text: str) -> tuple[Way, ...]:
    """Ways as specs write them: `draft solver/none solver/high:4`.

    Raises:
        UsageError: the text is no such list, or names a way twice.
    """
    found: list[Way] = []
    for one in text.split():
        name, colon, price = one.partition(":")
        role, slash, effort = name.partition("/")
        try:
            cost = float(price) if colon else 1.0
        except ValueError:
            cost = -1.0
        if not role or bool(slash) != bool(effort) or not 0 < cost < float("inf"):
            raise UsageError(
                f"{one!r} of ways must be a role, perhaps with an effort and the cost of a token, "
                "such as draft, solver/high or solver/high:4"
            )
        found.append(Way(role, effort, cost))
    names = [way.name for way in found]
    if not found or len(set(names)) < len(names):
        raise UsageError(f"ways={text!r} must name one way at least, and none twice")
    return tuple(found)


def ways_param(doc: str) -> Any:
    """The parameter that names ways."""
    doc += "; roles, each perhaps with an effort and the cost of its tokens: 'draft solver/high:4'"
    return param("draft solver", doc, main=True, read=read_ways)


def with_effort(question: Question, effort: str) -> Question:
    """The question, to be answered with so much effort.

    `none` switches thinking off, and leaves out a prompt that asks for thinking. Any other effort
    is the `reasoning_effort` of the model. A model that knows no effort answers as ever.
    """
    if not effort:
        return question
    more = {"thinking": False} if effort == "none" else {"reasoning_effort": effort}
    sampling = cast("MoreSampling", {**question.sampling, **more})
    return replace(question, think=None if effort == "none" else question.think, sampling=sampling)


@contextmanager
def played_by(role: str) -> Generator[None]:
    """Within the block, the model of a role is the solver, its adapter included.

    Raises:
        UnknownName: there is no such role.
    """
    scope = current()
    adapters = {name: one for name, one in scope.adapters.items() if name != "solver"}
    if role in scope.adapters:
        adapters["solver"] = scope.adapters[role]
    roles = {**scope.roles, "solver": scope.model(role)}
    with enter(scope.but(roles=roles, adapters=adapters)):
        yield


async def answer_by(
    way: Way,
    question: Question,
    drawn: Drawn,
    temperature: float,
    *,
    think: bool = False,
    verifier: Verifier | None = None,
    of: Strategy | None = None,
) -> Candidate | None:
    """Draw one more answer, in a way; None if that came to nothing.

    Args:
        way: who answers, and how.
        question: what to answer.
        drawn: where the answer is added, or why there is none.
        temperature: of sampling.
        think: ask for visible thinking, if the task has it; an effort asks for it anyway.
        verifier: who scores.
        of: the strategy by which the model answers; one sample if None.
    """
    asked, index = way.asked(question), len(drawn.found) + len(drawn.missing)
    draw = drawer(asked, temperature, think=think or bool(way.effort), verifier=verifier, of=of)
    with played_by(way.role):
        await collect(draw, index + 1, drawn=drawn)
    return drawn.found.get(index)
