"""What the data says about the questions that an evaluation is made to answer.

A difference counts only if it is more than two standard errors from 0; otherwise the
answer is that one can't tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from weft.evals.labels import family, labels, parameters
from weft.evals.results import Evaluation, Result, aligned
from weft.evals.statistics import Difference, paired
from weft.search import strategies

Verdict = Literal["yes", "no", "can't tell"]
_ALIKE = 0.1
_MARGIN = 0.02


@dataclass(frozen=True, slots=True)
class Finding:
    """A question, its answer, and the numbers behind it."""

    question: str
    verdict: Verdict
    text: str


def findings(evaluation: Evaluation) -> list[Finding]:
    """The answers for which the evaluation has the strategies."""
    by: dict[str, list[Result]] = {}
    for result in evaluation.results:
        if result.n:
            by.setdefault(family(result.strategy), []).append(result)
    names = labels([r.strategy for r in evaluation.results])
    found: list[Finding] = []
    known = strategies()
    for name, rows in by.items():
        claim = known[name].claim if name in known else None
        rivals = by.get(claim.than) if claim is not None else None
        if claim is None or rivals is None:
            continue
        title, other = _title(name), _title(claim.than)
        if claim.at == "tokens":
            found.append(_cheaper(_top(rows), _top(rivals), names, title, other))
            continue
        for thinking in (False, True):
            alike = [r for r in rivals if _thinks(r) == thinking]
            over = f"{other} over thinking" if thinking else other
            found += [_equal_tokens(row, alike, names, over, other) for row in rows if alike]
    for name, rows in by.items():
        others = [r for n, all_rows in by.items() if n != name for r in all_rows]
        if name in known and known[name].baseline and others:
            found.append(_gain(_top(others), rows[0], names, _title(name)))
    return found


def accuracy_difference(first: Result, second: Result) -> Difference:
    """In right answers a problem, on the problems that both have."""
    pairs = aligned(first, second)
    return paired(
        [float(bool(a.correct)) for a, _ in pairs], [float(bool(b.correct)) for _, b in pairs]
    )


def token_difference(first: Result, second: Result) -> Difference:
    """In computed tokens a problem, on the problems that both have."""
    pairs = aligned(first, second)
    return paired(
        [float(a.usage.computed) for a, _ in pairs], [float(b.usage.computed) for _, b in pairs]
    )


def _top(results: Sequence[Result]) -> Result:
    """The most accurate; of equals the one with fewest tokens."""
    return max(results, key=lambda r: (r.accuracy, -r.computed))


def _points(d: Difference) -> str:
    return f"{100 * d.mean:+.1f} ± {100 * d.stderr:.1f} points on {d.n} problems"


def _of(result: Result, names: dict[str, str]) -> str:
    return f"{names[result.strategy]} ({100 * result.accuracy:.1f} %, {result.computed:.0f} tokens)"


def _title(name: str) -> str:
    """What sentences call a strategy."""
    known = strategies()
    return (known[name].title if name in known else "") or name.replace("_", "-")


def _cheaper(star: Result, best: Result, names: dict[str, str], title: str, other: str) -> Finding:
    accuracy, tokens = accuracy_difference(star, best), token_difference(star, best)
    fewer = tokens.clear and tokens.mean < 0
    if accuracy.clear and accuracy.mean < 0:
        verdict, why = "no", f"{title} is less accurate"
    elif tokens.clear and tokens.mean > 0:
        verdict, why = "no", f"{title} needs more tokens"
    elif not fewer:
        verdict, why = "can't tell", "their tokens can't be told apart"
    elif accuracy.clear:
        verdict, why = "yes", f"{title} is more accurate, with fewer tokens"
    elif accuracy.n > 1 and accuracy.mean - 2 * accuracy.stderr >= -_MARGIN and _moved(accuracy):
        verdict = "yes"
        why = f"{title} is at most 2 points less accurate, if at all, with fewer tokens"
    else:
        verdict, why = (
            "can't tell",
            f"{title} needs fewer tokens, but more problems are needed to tell the accuracies "
            "apart",
        )
    return Finding(
        f"Does {title} reach {other}'s accuracy with fewer tokens?",
        verdict,
        f"{why}. {_of(star, names)} against {_of(best, names)}: {_points(accuracy)}, and "
        f"{tokens.mean:+.0f} ± {tokens.stderr:.0f} tokens a problem.",
    )


def _moved(d: Difference) -> bool:
    # Too few problems without a single difference have a standard error of 0 and prove nothing.
    return d.stderr > 0 or d.n >= 100


def _thinks(result: Result) -> bool:
    return parameters(result.strategy).get("think") == "true"


def _equal_tokens(
    first: Result, votes: Sequence[Result], names: dict[str, str], over: str, rival: str
) -> Finding:
    question = f"Does {names[first.strategy].replace('_', '-')} beat {over} at equal tokens?"
    at = first.computed
    cheaper = max((v for v in votes if v.computed <= at), key=lambda v: v.computed, default=None)
    dearer = min((v for v in votes if v.computed > at), key=lambda v: v.computed, default=None)
    near = min(votes, key=lambda v: abs(v.computed - at))
    mine = _of(first, names)
    if abs(near.computed - at) <= _ALIKE * at:
        d = accuracy_difference(first, near)
        return Finding(question, _sign(d), f"{mine} against {_of(near, names)}: {_points(d)}.")
    if cheaper is not None and dearer is not None:
        d = _against_mix(first, cheaper, dearer)
        return Finding(
            question,
            _sign(d),
            f"{mine} against {_of(cheaper, names)} and {_of(dearer, names)}, mixed in the "
            f"proportion that spends the same: {_points(d)}.",
        )
    other = _top(votes)
    d = accuracy_difference(first, other)
    pair = f"{mine} against {_of(other, names)}: {_points(d)}"
    if cheaper is not None:
        if d.clear and d.mean < 0:
            return Finding(
                question, "no", f"{rival.capitalize()} does better with fewer tokens. {pair}."
            )
        hint = f"{rival} spent fewer tokens here; run it with more samples"
    else:
        if d.clear and d.mean > 0:
            return Finding(question, "yes", f"It does better even with fewer tokens. {pair}.")
        hint = f"{rival} spent more tokens here; run it with fewer samples"
    return Finding(question, "can't tell", f"No run of equal tokens: {hint}. {pair}.")


def _against_mix(first: Result, cheaper: Result, dearer: Result) -> Difference:
    weight = (first.computed - cheaper.computed) / (dearer.computed - cheaper.computed)
    low = {r.id: float(bool(r.correct)) for r in cheaper.rows}
    high = {r.id: float(bool(r.correct)) for r in dearer.rows}
    rows = [r for r in first.rows if r.id in low and r.id in high]
    return paired(
        [float(bool(r.correct)) for r in rows],
        [(1 - weight) * low[r.id] + weight * high[r.id] for r in rows],
    )


def _sign(d: Difference) -> Verdict:
    if not d.clear:
        return "can't tell"
    return "yes" if d.mean > 0 else "no"


def _gain(top: Result, base: Result, names: dict[str, str], title: str) -> Finding:
    d = accuracy_difference(top, base)
    times = top.computed / base.computed if base.computed else 0.0
    cost = f" for {times:.1f} times the tokens" if times else ""
    return Finding(
        f"Is the most accurate strategy better than one {title} answer?",
        _sign(d),
        f"{_of(top, names)} against {_of(base, names)}: {_points(d)}{cost}.",
    )
