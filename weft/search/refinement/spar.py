"""spar: an answer is refined along a tree until a judge lets it pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from weft.errors import WeftError
from weft.parts.parameters import param, temperature
from weft.programs import generate, node
from weft.search.refinement.judge import Judgement, judge
from weft.search.sampling.drawing import Candidate
from weft.search.sampling.samples import Drawn, answered, collect
from weft.search.strategy import Answer, Question, Strategy, stable_seed, strategy

_REFINE = """Your answer does not follow all instructions of my request. This is what is wrong:

{critique}

Write the whole answer anew so that it follows all of them. Change nothing else, and give the \
answer alone."""


@strategy("spar")
class Spar(Strategy):
    """The first answer that a judge lets pass, of a tree of refinements (Cheng et al. 2024).

    The root is one answer. An answer that does not pass gets `width` refinements, written with the
    judge's critique of it. Each is judged by `verdicts` verdicts, of which more than half must let
    it pass. The tree is searched breadth first, level by level, or depth first, where the
    refinement with the most verdicts in its favour goes on first. It ends with the first answer
    that passes, or with n answers: then that with the largest share of verdicts is given, of equals
    the earliest.

    The method trains a model on such trees, too; that is left out.
    """

    title = "SPaR refinement"
    family = "search"
    source = "SPaR, Cheng et al. 2024"

    n: int = param(7, "answers at most", least=1, main=True)
    width: int = param(2, "refinements of an answer", least=1)
    order: str = param("breadth", "which answers are refined first", choices=("breadth", "depth"))
    verdicts: int = param(3, "verdicts on an answer", least=1)
    role: str = param("verifier", "who judges")
    judge_tokens: int = param(1024, "most tokens of a verdict", least=1)
    temperature: float = temperature()

    @property
    def texts(self) -> int:
        """Among how many whole texts the strategy chooses, at most."""
        return self.n

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        tree = _Tree(question, self)
        while tree.waiting and not tree.passed and len(tree.tried) < self.n:
            await tree.refine()
        best = max(tree.found, key=lambda one: one.judgement.share, default=None)
        chosen = tree.passed or best
        drawn = tree.drawn
        if chosen is None:
            return answered(drawn, None, None, passed=False, depth=0)
        return answered(
            drawn,
            chosen.sample,
            chosen.judgement.share,
            passed=chosen is tree.passed,
            depth=chosen.depth,
        )


@dataclass(frozen=True, eq=False)
class _Judged:
    """An answer of the tree, with what the judge said of it."""

    sample: Candidate
    judgement: Judgement
    depth: int


@dataclass(frozen=True)
class _Place:
    """An answer that is to be written: a refinement of another one, or the root."""

    of: _Judged | None = None

    @property
    def depth(self) -> int:
        return 0 if self.of is None else self.of.depth + 1


class _Tree:
    """The tree of refinements.

    Attributes:
        drawn: all answers, by the order of their places.
        found: those that can be read, with their judgements, in that order.
        passed: the first one that the judge let pass.
        waiting: groups of places that are to be written together.
        tried: the places that were.
    """

    def __init__(self, question: Question, settings: Spar) -> None:
        self.drawn = Drawn()
        self.found: list[_Judged] = []
        self.passed: _Judged | None = None
        self.tried: list[_Place] = []
        self.waiting: list[list[_Place]] = [[_Place()]]
        self._question, self._settings = question, settings
        self._errors: list[WeftError] = self.drawn.errors

    async def refine(self) -> None:
        """Write and judge the next places, up to the first answer that passes."""
        begun = len(self.tried)
        self.tried += self.waiting.pop()[: self._settings.n - begun]
        judged: dict[int, _Judged] = {}

        @node
        async def write(index: int) -> Candidate:
            one = await self._write(self.tried[index], index)
            if one.value is None:
                return one
            said = await self._judge(one.text)
            judged[index] = _Judged(one, said, self.tried[index].depth)
            return replace(one, score=said.share)

        def passed(drawn: Drawn, _: int) -> bool:
            for index in drawn.in_order():
                if index in judged and judged[index].judgement.passed:
                    self.passed = judged[index]
                    return True
            return False

        await collect(write, len(self.tried), passed, drawn=self.drawn)
        new = [judged[i] for i in sorted(judged)]
        self.found += new
        self._wait(new)

    def _wait(self, new: Sequence[_Judged]) -> None:
        """The refinements of some answers wait."""
        width = self._settings.width
        groups = [[_Place(one)] * width for one in new]
        if self._settings.order == "breadth":
            self.waiting = [[place for group in groups for place in group]] if groups else []
        else:  # the last group is written first
            order = sorted(range(len(new)), key=lambda i: (-new[i].judgement.share, i))
            self.waiting += [groups[i] for i in reversed(order)]

    async def _write(self, place: _Place, index: int) -> Candidate:
        question, prompt = self._question, self._question.prompt
        if place.of is not None:
            critique = place.of.judgement.critique or "It is not clear that it follows them."
            before = prompt.assistant(place.of.sample.text)
            prompt = before.user(_REFINE.format(critique=critique))
        completion = await generate(
            prompt,
            max_tokens=question.max_tokens,
            temperature=self._settings.temperature,
            top_p=question.top_p,
            stop=question.stop,
            schema=question.schema,
            seed=stable_seed(question.seed, "spar", index),
            index=index,
            **question.sampling,
        )
        value = question.read(completion)
        tokens = completion.usage.completion
        return Candidate(index, completion.text, value, tokens, completion.whole)

    async def _judge(self, text: str) -> Judgement:
        settings = self._settings
        return await judge(
            self._question,
            text,
            verdicts=settings.verdicts,
            role=settings.role,
            max_tokens=settings.judge_tokens,
            temperature=settings.temperature,
            errors=self._errors,
        )
