"""Component: one part of a layer, and the answers that go through the layers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar, dataclass_transform

from weft.parts.parameters import Parametric
from weft.parts.registry import PartRegistry
from weft.programs import Prompt, generate
from weft.search.answers.failures import NO_RESULT
from weft.search.sampling.drawing import Candidate, Draw
from weft.search.sampling.samples import Drawn, collect
from weft.search.strategy import Question, stable_seed


@dataclass
class Passing:
    """The answers that go through a pipeline.

    Attributes:
        question: what they answer.
        role: who says something of answers, where a component does not say.
        tokens: most of what is said of answers.
        drawn: all answers that were written, by their numbers, and what failed.
        shown: those that go on, the best first where they were ordered.
        ordered: whether they were.
        critique: what a critic said of them; empty without one.
        tests: what they are to be tested by.
        layer: the number of the layer that works on them.
    """

    question: Question
    role: str
    tokens: int
    drawn: Drawn = field(default_factory=Drawn)
    shown: list[Candidate] = field(default_factory=list[Candidate])
    ordered: bool = False
    critique: str = ""
    tests: list[str] = field(default_factory=list[str])
    layer: int = 0

    async def write(self, draws: Sequence[Draw]) -> bool:
        """Write new answers, side by side; they take the place of the others.

        Returns:
            whether there is one that can be read; else all stays as it was.
        """
        begun = len(self.drawn.found) + len(self.drawn.missing)
        most = begun + len(draws)

        async def draw(index: int) -> Candidate:
            return await draws[index - begun](index)

        await collect(draw, most, drawn=self.drawn)
        new = [self.drawn.found[i] for i in range(begun, most) if i in self.drawn.found]
        if not (readable := [one for one in new if one.value is not None]):
            return False
        self.shown, self.ordered, self.critique = readable, False, ""
        return True

    async def say(self, ask: str, temperature: float = 0.0) -> str:
        """What a model says to a text; empty if it can't be asked, or says nothing."""
        try:
            said = await generate(
                Prompt.user(ask),
                max_tokens=self.tokens,
                temperature=temperature,
                seed=stable_seed(self.question.seed, "layer", self.layer),
                role=self.role,
            )
        except NO_RESULT as error:
            self.drawn.errors.append(error)
            return ""
        return said.text.strip()

    @property
    def request(self) -> str:
        """What is asked, in one text."""
        turns = [m.content for m in self.question.prompt.messages if m.role != "assistant"]
        return "\n\n".join(turns)

    @property
    def listed(self) -> str:
        """The answers with their numbers, from 1 on, and what a critic said of them."""
        return numbered([one.text for one in self.shown], self.critique)


def numbered(texts: Sequence[str], critique: str = "") -> str:
    """Answers with their numbers, from 1 on, and what a critic said of them."""
    answers = [f"Answer {i}:\n{text}" for i, text in enumerate(texts, 1)]
    said = [f"What a critic says of them:\n{critique}"] if critique else []
    return "\n\n".join([*answers, *said])


class Component(Parametric, ABC):
    """A part of a layer.

    Subclasses are marked with `@component(name)`, which makes them frozen dataclasses whose fields
    are their parameters.

    Attributes:
        begins: whether it makes answers of nothing: it stands in the first layer, and only there.
        several: whether its layer may have several of its kind, which work side by side.
        heard_by: what only those hear that come later; one of them must.
        follows: what must be the layer directly before.
        leads_to: what must be the layer directly behind.
    """

    begins: ClassVar[bool] = False
    several: ClassVar[bool] = False
    heard_by: ClassVar[tuple[str, ...]] = ()
    follows: ClassVar[str] = ""
    leads_to: ClassVar[str] = ""

    @property
    def writes(self) -> int | None:
        """How many whole answers it writes; None if they come about in other ways."""
        return 0

    def draws(self, passing: Passing) -> list[Draw]:
        """What writes its answers, one each; none by default."""
        return []

    @abstractmethod
    async def work(self, passing: Passing) -> None:
        """Do what it does to the answers, where it does not write any."""


COMPONENTS = PartRegistry(
    "component",
    Component,
    mark="component",
    group="weft.components",
    own=[
        "weft.search.collaboration.pipelines.components",
        "weft.search.collaboration.pipelines.testing",
    ],
)
C = TypeVar("C", bound=type[Component])


@dataclass_transform(frozen_default=True)
def component(name: str) -> Callable[[C], C]:
    """Make a class a component that specs call `name`."""
    return COMPONENTS.mark_as(name)
