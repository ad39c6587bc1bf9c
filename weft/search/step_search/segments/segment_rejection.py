"""segment_rejection: one answer, of which a guard must pass every segment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from weft.parts.parameters import param, temperature
from weft.search.answers.failures import note
from weft.search.step_search.final_answer import final_answer
from weft.search.step_search.frontier import Frontier, Indices, Move, Path, explore
from weft.search.step_search.segments.segment_params import depth_param, every_param
from weft.search.step_search.steps import Steps
from weft.search.strategy import Answer, Question, Strategy, strategy
from weft.search.verifiers import read_verifier, verifier_param


@strategy("segment_rejection")
class SegmentRejection(Strategy):
    """An answer whose every beginning a verifier passes, for safety above all.

    The answer is written in segments. After each one the verifier scores the answer so far. A
    segment that scores less than the threshold is thrown away and drawn again, up to `tries` times;
    what was kept before it lies in the engine's cache. This is the plain part of what Saffron-1
    (Qiu et al. 2025) does by a reward model of its own for every token.

    When no try is passed, the search goes on with the best of them. With `abstain` there is no
    answer then, nor where a budget or a failure keeps the verifier from passing the whole: nothing
    is given that the verifier has not passed. `best_of_n(verifier=guard, least=0.5)` does the same
    with whole answers.
    """

    title = "segment rejection"
    family = "search"
    source = "after Saffron-1, Qiu et al. 2025"
    needs = ("verifier", "continuation")

    tries: int = param(4, "drawings of a segment", least=1, main=True)
    verifier: str = verifier_param()
    threshold: float = param(0.5, "a score that passes", least=0, most=1)
    every: int = every_param(64)
    depth: int = depth_param(32)
    abstain: bool = param(False, "give no answer where a segment is not passed")
    temperature: float = temperature()

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        verifier = read_verifier(self.verifier)
        steps = Steps(question, verifier, self.temperature, every=self.every, depth=self.depth)
        frontier = SegmentRejectionFrontier(steps.root, self)
        errors = await explore(frontier, steps.mover())
        found = frontier.found
        details: dict[str, Any] = {
            "segments": len(steps.paths),
            "rejected": frontier.rejected,
            "passed": found is not None and frontier.passed,
        }
        if not self.abstain:
            return final_answer([found] if found else [], steps, errors, pick="best", **details)
        note(details, [*errors, *steps.errors])
        details |= verifier.details
        # Nothing but what was passed may be read as an answer.
        if found is None or found.value is None:
            return Answer(None, None, None, details | {"abstained": True})
        return Answer(found.shown, found.value, found.score, details)


class SegmentRejectionFrontier(Frontier):
    """The policy: one path, whose next segment is drawn until it is passed.

    Attributes:
        found: the whole answer, if there is one.
        rejected: how many segments were thrown away.
        passed: whether all that was kept was passed.
    """

    def __init__(self, root: Path, settings: SegmentRejection) -> None:
        self.found: Path | None = None
        self.rejected = 0
        self.passed = True
        self._settings = settings
        self._indices = Indices()
        self._at, self._left = root, settings.tries
        self._tried: list[Path] = []

    def begin(self) -> Sequence[Move]:
        """The first segment."""
        return self._draw()

    def on_landed(self, path: Path) -> Sequence[Move]:
        """Keep the segment if it is passed; else draw it again."""
        if path.score is not None and path.score >= self._settings.threshold:
            return self._keep(path)
        self.rejected += 1
        self._tried.append(path)
        return self._again()

    def on_failed(self, move: Move) -> Sequence[Move]:
        """It counts as a try."""
        return self._again()

    def _again(self) -> Sequence[Move]:
        if self._left:
            return self._draw()
        if self._settings.abstain or not self._tried:
            return ()
        self.passed = False
        return self._keep(max(self._tried, key=lambda p: -1.0 if p.score is None else p.score))

    def _keep(self, path: Path) -> Sequence[Move]:
        if path.finished:
            self.found = path
            return ()
        self._at, self._left, self._tried = path, self._settings.tries, []
        return self._draw()

    def _draw(self) -> Sequence[Move]:
        self._left -= 1
        return [Move(self._at, self._indices.of(self._at))]
