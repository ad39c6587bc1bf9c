"""What strategies need, held against the engines and the task at hand."""

from __future__ import annotations

from collections.abc import Iterator

from weft.errors import UsageError
from weft.orchestrator.pool import Pool
from weft.search.strategy import NEEDS, Need, Question, Strategy
from weft.search.verifiers import Verifier, read_verifier


def nested(strategy: Strategy) -> Iterator[Strategy]:
    """The strategy, and those that are its parameters."""
    yield strategy
    for p in strategy.parameters():
        if isinstance(inner := getattr(strategy, p.name), Strategy):
            yield from nested(inner)


def verifiers(strategy: Strategy) -> list[Verifier]:
    """The verifiers that a strategy, and those nested in it, ask."""
    return [
        read_verifier(getattr(one, p.name))
        for one in nested(strategy)
        for p in one.parameters()
        if p.read is read_verifier
    ]


def lacking(strategy: Strategy, question: Question, pool: Pool) -> list[str]:
    """What a strategy needs that the engines or the task can't give; each a sentence.

    Whether an engine reports log-probabilities is only known from its answers.

    Args:
        strategy: with all that is nested in it.
        question: one of the task's.
        pool: open.
    """
    solver = pool.model("solver")
    wanted: list[Need] = [need for one in nested(strategy) for need in one.needs]
    writers = {solver, pool.model("draft")} if "draft" in wanted else {solver}
    engines = [e for e in pool.engines if e.model in writers]
    found: list[str] = []
    for need in dict.fromkeys(wanted):
        why = ""
        match need:
            case "continuation":
                unfit = [e.name for e in engines if not e.continues]
                why = f"{', '.join(unfit)} can't" if unfit else ""
            case "thinking":
                if question.think is None and not any(e.opens_thinking for e in engines):
                    why = "the task does not ask for thinking, nor does the model begin with it"
            case "draft":
                if pool.model("draft") == solver:
                    why = f"{solver} plays it too"
            case "verifier" | "steps" | "logprobs" | "calibration":
                pass
        if why:
            found.append(f"{strategy.spec} needs {NEEDS[need]}, but {why}")
    for verifier in verifiers(strategy):
        try:
            verifier.check(question)
            if verifier.asks is not None:
                pool.model(verifier.asks)
        except UsageError as error:
            found.append(f"{strategy.spec} can't have its answers judged: {error}")
    return list(dict.fromkeys(found))
