"""The components that test answers: one writes tests, the next says which answers pass them."""

from __future__ import annotations

import re

from weft.parts.parameters import param
from weft.programs import fan_out
from weft.search.collaboration.pipelines.component import Component, Passing, component
from weft.search.sampling.drawing import Candidate

_TESTS = """Write {n} short tests that an answer to this request must pass, each a statement that \
is true or false of an answer. Write one a line, and nothing else. Do not answer the request.

Request:
{request}"""

_EVALUATE = """Here are a request, an answer to it, and tests. Go through the tests, and end with \
a line that names those that the answer passes by their numbers, in double brackets, such as \
[[1, 3]], or [[]] if it passes none.

Request:
{request}

Answer:
{answer}

Tests:
{tests}"""


@component("unit_tests")
class UnitTests(Component):
    """Writes tests for answers to this request; `evaluator` holds the answers against them."""

    leads_to = "evaluator"

    n: int = param(5, "tests", least=1, main=True)

    async def work(self, passing: Passing) -> None:
        """Ask once for all tests."""
        said = await passing.say(_TESTS.format(n=self.n, request=passing.request))
        lines = (re.sub(r"^\s*(?:[-*]|\d+[.)])\s*", "", line) for line in said.splitlines())
        passing.tests = [line.strip() for line in lines if line.strip()][: self.n]


@component("evaluator")
class Evaluator(Component):
    """Orders the answers by how many tests they pass, and keeps `k` of them."""

    follows = "unit_tests"

    k: int = param(3, "answers that are kept", least=1, main=True)

    async def work(self, passing: Passing) -> None:
        """Ask about each answer, side by side."""
        if not passing.tests or len(passing.shown) < 2:
            return
        tests = "\n".join(f"{i}. {test}" for i, test in enumerate(passing.tests, 1))
        passes: dict[int, int] = {}

        async def test(one: Candidate) -> None:
            ask = _EVALUATE.format(request=passing.request, answer=one.text, tests=tests)
            if (said := await passing.say(ask)) and (found := passed(said)) is not None:
                passes[one.index] = sum(1 <= i <= len(passing.tests) for i in found)

        async with fan_out(test, passing.shown) as asked:
            async for _ in asked:
                pass
        if passes:
            order = sorted(passing.shown, key=lambda one: -passes.get(one.index, 0))
            passing.shown, passing.ordered = order[: self.k], True
            passing.critique = ""


def passed(said: str) -> set[int] | None:
    """The numbers of the tests that an answer passes; None if it is not said."""
    found = re.findall(r"\[\[([\d\s,]*)\]\]", said)
    return {int(n) for n in re.findall(r"\d{1,9}", found[-1])} if found else None
