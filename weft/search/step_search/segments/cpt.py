"""cpt: parallel branches that tell each other what they have found while they go on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from weft.errors import BudgetExceeded, WeftError
from weft.parts.parameters import param, temperature
from weft.programs import Prompt, fan_out, generate
from weft.search.answers.failures import NO_RESULT
from weft.search.step_search.final_answer import final_answer
from weft.search.step_search.frontier import Move, Path, Step
from weft.search.step_search.steps import Steps
from weft.search.strategy import Answer, Question, Strategy, stable_seed, strategy

_FIND = """Here are a request and a part of somebody's work on it. List what this part has found \
out that would help others who work on the same: results, facts, ways that turned out to lead \
nowhere. One finding a line, each beginning with "- ", each to be understood by itself, {most} at \
most. Write "none" if there is nothing.

Request:
{request}

Part:
{part}"""

_NOTE = "(Others who work on this have found: {findings})\n"


@strategy("cpt")
class Cpt(Strategy):
    """A vote of n branches that share their findings (Collaborative Parallel Thinking, 2026).

    All branches go on for `every` steps. Then a model lists what each has found since, in a few
    lines. Findings go into one pool, each once: two whose words are nearly the same are one. Each
    branch is told what is new in the pool and not its own, in a note behind its last step, and
    goes on. So no branch has to find again what another one knows. Notes are part of a branch's
    context, not of its answer; what is before them stays in the engine's cache.

    All branches wait for each other at an exchange: that is the method's own. How the paper sets
    the time of its exchanges is left out: they come at fixed distances.
    """

    title = "CPT"
    family = "search"
    source = "Collaborative Parallel Thinking, Wang et al. 2026"
    needs = ("continuation",)

    n: int = param(4, "branches", least=1, main=True)
    apart: int = param(4, "steps between two exchanges", least=1)
    findings: int = param(3, "findings of a branch at an exchange, at most", least=1)
    alike: float = param(0.8, "the share of common words that makes two one", above=0, most=1)
    role: str = param("solver", "who lists findings")
    find_tokens: int = param(256, "most tokens of a list of findings", least=1)
    temperature: float = temperature()

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        steps = Steps(question, None, self.temperature)
        branches = _Branches(question, self, steps.mover(), [steps.root] * self.n)
        while branches.live and not branches.over:
            before = dict(branches.live)
            await branches.go_on()
            if len(branches.live) and not branches.over and self.n > 1:
                await branches.exchange(before)
        return final_answer(
            [branches.ended[i] for i in sorted(branches.ended)],
            steps,
            branches.errors,
            pick="vote",
            weights=[1.0] * len(branches.ended),
            steps=len(steps.paths),
            exchanges=branches.exchanges,
            shared=len(branches.pool),
        )


class _Branches:
    """Branches under way.

    Attributes:
        live: unfinished ones, by number.
        ended: finished ones.
        pool: all findings, with the number of the branch that each comes from.
        exchanges: how many there were.
        errors: why steps and lists came to nothing.
    """

    def __init__(
        self, question: Question, settings: Cpt, step: Step, roots: Sequence[Path]
    ) -> None:
        self.live = dict(enumerate(roots))
        self.ended: dict[int, Path] = {}
        self.pool: list[tuple[int, str]] = []
        self.exchanges = 0
        self.errors: list[WeftError] = []
        self._question, self._settings, self._step = question, settings, step

    @property
    def over(self) -> bool:
        """Whether a budget has run out."""
        return any(isinstance(error, BudgetExceeded) for error in self.errors)

    async def go_on(self) -> None:
        """All live branches make their next steps."""

        async def grow(number: int) -> None:
            for _ in range(self._settings.apart):
                try:
                    # A branch's number tells its continuations of a text from the others'.
                    path = await self._step(Move(self.live[number], number))
                except NO_RESULT as error:
                    self.errors.append(error)
                    del self.live[number]
                    return
                self.live[number] = path
                if path.finished:
                    self.ended[number] = self.live.pop(number)
                    return

        async with fan_out(grow, sorted(self.live)) as grown:
            async for _ in grown:
                pass

    async def exchange(self, before: dict[int, Path]) -> None:
        """All live branches are told what the others have found since they were as before."""
        self.exchanges += 1
        said: dict[int, list[str]] = {}

        async def find(number: int) -> None:
            path = self.live.get(number) or self.ended[number]
            part = path.text[len(before[number].text) :]
            said[number] = await self._findings(part)

        numbers = [i for i in sorted(before) if i in self.live or i in self.ended]
        async with fan_out(find, numbers) as found:
            async for _ in found:
                pass
        new = merged(self.pool, [(i, f) for i in numbers for f in said[i]], self._settings.alike)
        self.pool += new
        for number, path in self.live.items():
            if told := [finding for owner, finding in new if owner != number]:
                note = _NOTE.format(findings="; ".join(told))
                begun = "" if path.text.endswith("\n") else "\n"
                prompt = path.prompt.assistant(begun + note, open=True)
                self.live[number] = replace(path, prompt=prompt)

    async def _findings(self, part: str) -> list[str]:
        question, settings = self._question, self._settings
        turns = [m.content for m in question.prompt.messages if m.role != "assistant"]
        asked = _FIND.format(most=settings.findings, request="\n\n".join(turns), part=part)
        try:
            completion = await generate(
                Prompt.user(asked),
                max_tokens=settings.find_tokens,
                temperature=0.0,
                seed=stable_seed(question.seed, "find", part),
                role=settings.role,
            )
        except NO_RESULT as error:
            self.errors.append(error)
            return []
        return listed(completion.text)[: settings.findings]


def listed(text: str) -> list[str]:
    """The findings in a list of lines that begin with a dash."""
    return re.findall(r"^[-*] +(\S.*?)[ .]*$", text, re.MULTILINE)


def merged(
    pool: Iterable[tuple[int, str]], new: Iterable[tuple[int, str]], alike: float
) -> list[tuple[int, str]]:
    """Those of the new findings that say something else than any other, earliest first.

    Args:
        pool: findings that are known, each with its owner.
        new: further ones.
        alike: the share of words, of all words of both, that makes two the same.
    """
    known = [_words(finding) for _, finding in pool]
    kept: list[tuple[int, str]] = []
    for owner, finding in new:
        words = _words(finding)
        if words and all(len(words & w) < alike * len(words | w) for w in known):
            known.append(words)
            kept.append((owner, finding))
    return kept


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.casefold()))
