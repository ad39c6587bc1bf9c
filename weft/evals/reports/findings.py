"""What the data says about the questions that an evaluation is made to answer.

All that a report asks is judged together (see `Comparisons`): the chance that any answer of yes or
no is a false alarm is at most 5 %. Otherwise the answer is that one can't tell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from weft.evals.reports.comparisons import (
    ALIKE,
    MARGIN,
    Comparison,
    Comparisons,
    Verdict,
    rounded,
)
from weft.evals.reports.interactions import Together, parts
from weft.evals.reports.labels import family, labels, parameters
from weft.evals.reports.sweep import Effect, alike, effects
from weft.evals.results import Evaluation, Result
from weft.search import strategies


@dataclass(frozen=True, slots=True)
class Finding:
    """A question, its answer, and the numbers behind it."""

    question: str
    verdict: Verdict
    text: str


@dataclass(frozen=True, slots=True)
class Judged:
    """What a report says of differences.

    Attributes:
        findings: the answers for which the evaluation has the strategies.
        differences: each strategy's accuracy against the first that is a baseline, or else against
            the first of all.
        family: all that is judged together.
        effects: of a sweep, what each setting changes; then only what took the same tokens is
            compared.
    """

    findings: list[Finding]
    differences: list[Comparison]
    family: Comparisons
    effects: Sequence[Effect] = ()


Judge = Callable[[], Finding]
"""Gives the finding when all that the report compares has been asked."""


def findings(evaluation: Evaluation) -> list[Finding]:
    """The answers for which the evaluation has the strategies."""
    return judged(evaluation).findings


def judged(evaluation: Evaluation) -> Judged:
    """The answers, and what each strategy differs by from one of them."""
    if evaluation.session.cells:
        return _judged_sweep(evaluation)
    by: dict[str, list[Result]] = {}
    shown = [r for r in evaluation.results if r.n]
    for result in shown:
        by.setdefault(family(result.strategy), []).append(result)
    names = labels([r.strategy for r in evaluation.results])
    asked = Comparisons()
    found: list[Judge] = []
    known = strategies()
    for name, rows in by.items():
        claim = known[name].claim if name in known else None
        rivals = by.get(claim.than) if claim is not None else None
        if claim is None or rivals is None:
            continue
        title, other = _title(name), _title(claim.than)
        if claim.at == "tokens":
            found.append(_cheaper(asked, rows, rivals, names, title, other))
            continue
        for thinking in (False, True):
            alike = [r for r in rivals if _thinks(r) == thinking]
            over = f"{other} over thinking" if thinking else other
            found += [_equal_tokens(asked, r, alike, names, over, other) for r in rows if alike]
    bases = [n for n in by if n in known and known[n].baseline]
    for name in bases:
        others = [r for n, all_rows in by.items() if n != name for r in all_rows]
        if others:
            found.append(_gain(asked, others, by[name][0], names, _title(name)))
    for result in shown:
        if alone := parts(result, shown):
            found.append(_together(Together(asked, result, alone), names))
    against = by[bases[0]][0] if bases else next(iter(shown), None)
    differences = [asked.accuracy(r, against) for r in shown if against and r is not against]
    return Judged([judge() for judge in found], differences, asked)


def _judged_sweep(evaluation: Evaluation) -> Judged:
    """The same of a sweep: each cell that took the same tokens as the first, and each setting."""
    asked, shown = Comparisons(), [r for r in evaluation.results if r.n]
    found = effects(asked, shown, evaluation.session.cells)
    near = [asked.accuracy(r, shown[0]) for r in shown[1:] if alike(r, shown[0])]
    return Judged([], near, asked, found)


def _top(results: Sequence[Result]) -> Result:
    """The most accurate; of equals the one with fewest tokens."""
    return max(results, key=lambda r: (r.accuracy, -r.computed))


def _points(compared: Comparison) -> str:
    """The difference; where it is not clear, also how many problems would make it so."""
    text = f"{compared.points} points on {compared.common} problems"
    if compared.verdict == "can't tell" and compared.margin is not None:
        text += f" (about {rounded(compared.problems)} would show {100 * MARGIN:g})"
    return text


def _of(result: Result, names: dict[str, str]) -> str:
    return f"{names[result.strategy]} ({100 * result.accuracy:.1f} %, {result.computed:.0f} tokens)"


def _title(name: str) -> str:
    """What sentences call a strategy."""
    known = strategies()
    return (known[name].title if name in known else "") or name.replace("_", "-")


def _cheaper(
    asked: Comparisons,
    rows: Sequence[Result],
    rivals: Sequence[Result],
    names: dict[str, str],
    title: str,
    other: str,
) -> Judge:
    pairs = {
        (row.strategy, rival.strategy): (
            asked.accuracy(row, rival, reach=True),
            asked.tokens(row, rival),
        )
        for row in rows
        for rival in rivals
    }
    star, best = _top(rows), _top(rivals)
    accuracy, tokens = pairs[star.strategy, best.strategy]

    def judge() -> Finding:
        verdict, why = _reached(accuracy, tokens, title)
        return Finding(
            f"Does {title} reach {other}'s accuracy with fewer tokens?",
            verdict,
            f"{why}. {_of(star, names)} against {_of(best, names)}: {_points(accuracy)}, and "
            f"{tokens.tokens} tokens a problem.",
        )

    return judge


def _reached(accuracy: Comparison, tokens: Comparison, title: str) -> tuple[Verdict, str]:
    if accuracy.verdict == "no":
        return "no", f"{title} is less accurate"
    if tokens.verdict == "yes":
        return "no", f"{title} needs more tokens"
    if tokens.verdict == "can't tell":
        return "can't tell", "their tokens can't be told apart"
    if accuracy.verdict == "yes":
        return "yes", f"{title} is more accurate, with fewer tokens"
    if accuracy.reaches:
        return "yes", f"{title} is at most 2 points less accurate, if at all, with fewer tokens"
    return (
        "can't tell",
        f"{title} needs fewer tokens, but more problems are needed to tell the accuracies apart",
    )


def _thinks(result: Result) -> bool:
    return parameters(result.strategy).get("think") == "true"


def _equal_tokens(
    asked: Comparisons,
    first: Result,
    votes: Sequence[Result],
    names: dict[str, str],
    over: str,
    rival: str,
) -> Judge:
    question = f"Does {names[first.strategy].replace('_', '-')} beat {over} at equal tokens?"
    at = first.computed
    cheaper = max((v for v in votes if v.computed <= at), key=lambda v: v.computed, default=None)
    dearer = min((v for v in votes if v.computed > at), key=lambda v: v.computed, default=None)
    near = min(votes, key=lambda v: abs(v.computed - at))
    mine = _of(first, names)
    if abs(near.computed - at) <= ALIKE * at:
        d = asked.accuracy(first, near)
        return lambda: Finding(
            question, d.verdict, f"{mine} against {_of(near, names)}: {_points(d)}."
        )
    if cheaper is not None and dearer is not None:
        mix = asked.mix(first, cheaper, dearer)
        return lambda: Finding(
            question,
            mix.verdict,
            f"{mine} against {_of(cheaper, names)} and {_of(dearer, names)}, mixed in the "
            f"proportion that spends the same: {_points(mix)}.",
        )
    # The most accurate is chosen by the data, so all are asked about.
    pairs = {v.strategy: asked.accuracy(first, v) for v in votes}
    other = _top(votes)
    pair = pairs[other.strategy]

    def judge() -> Finding:
        text = f"{mine} against {_of(other, names)}: {_points(pair)}"
        if cheaper is not None:
            if pair.verdict == "no":
                return Finding(
                    question, "no", f"{rival.capitalize()} does better with fewer tokens. {text}."
                )
            hint = f"{rival} spent fewer tokens here; run it with more samples"
        else:
            if pair.verdict == "yes":
                return Finding(question, "yes", f"It does better even with fewer tokens. {text}.")
            hint = f"{rival} spent more tokens here; run it with fewer samples"
        return Finding(question, "can't tell", f"No run of equal tokens: {hint}. {text}.")

    return judge


def _gain(
    asked: Comparisons, others: Sequence[Result], base: Result, names: dict[str, str], title: str
) -> Judge:
    pairs = {r.strategy: asked.accuracy(r, base) for r in others}
    top = _top(others)
    times = top.computed / base.computed if base.computed else 0.0
    cost = f" for {times:.1f} times the tokens" if times else ""

    def judge() -> Finding:
        d = pairs[top.strategy]
        return Finding(
            f"Is the most accurate strategy better than one {title} answer?",
            d.verdict,
            f"{_of(top, names)} against {_of(base, names)}: {_points(d)}{cost}.",
        )

    return judge


def _together(both: Together, names: dict[str, str]) -> Judge:
    def judge() -> Finding:
        against = "; ".join(f"{_of(c.second, names)}: {_points(c)}" for c in both.accuracies)
        return Finding(
            f"Is {both.result.strategy} better than its parts alone?",
            both.verdict,
            f"{both.why}{_of(both.result, names)} against {against}.",
        )

    return judge
