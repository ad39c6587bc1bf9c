"""Hearing of every text that is generated, also of those that were broken off, and of scores."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from weft.programs.history.outcome import Outcome
from weft.programs.prompt import Prompt
from weft.programs.scope.scope import Settle, enter, running

if TYPE_CHECKING:
    from weft.programs.calls.checks import ResultChecks


class Heard(NamedTuple):
    """A text that was generated.

    Attributes:
        prompt: what it answers, or continues.
        outcome: what was generated.
        whole: False if its call was broken off.
    """

    prompt: Prompt
    outcome: Outcome
    whole: bool


@contextmanager
def hearing() -> Generator[list[Heard]]:
    """The texts that are generated within the block, as they end."""
    heard: list[Heard] = []
    scope = running()
    if scope is None:
        yield heard
        return
    outer = scope.hear

    def hear(prompt: Prompt, outcome: Outcome, whole: bool) -> None:
        heard.append(Heard(prompt, outcome, whole))
        if outer is not None:
            outer(prompt, outcome, whole)

    with enter(scope.but(hear=hear)):
        yield heard


@contextmanager
def hearing_scores() -> Generator[dict[str, float]]:
    """The scores that verifiers give within the block, by text; of one text the last."""
    scope = running()
    scores: dict[str, float] = {}
    if scope is None:
        yield scores
        return
    with enter(scope.but(scores=scores)):
        yield scores


def tell_score(text: str, score: float) -> None:
    """Tell whoever wants to know that a verifier gave a text a score."""
    scope = running()
    if scope is not None and scope.scores is not None:
        scope.scores[text] = score


@contextmanager
def checking(checks: ResultChecks | None) -> Generator[None]:
    """Have a share of the calls within the block checked; none without `checks`."""
    scope = running()
    if scope is None or checks is None:
        yield
        return
    with enter(scope.but(checks=checks)):
        yield


@contextmanager
def settling(settle: Settle) -> Generator[None]:
    """Have each call within the block wait for `settle` before its program goes on."""
    scope = running()
    if scope is None:
        yield
        return
    with enter(scope.but(settle=settle)):
        yield
