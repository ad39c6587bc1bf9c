"""Why an answer won, and why it counts as it does, in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

from weft.evals.records import Row


def why(row: Row) -> list[str]:
    """Sentences: how the answer was chosen, and how it was judged."""
    return [*_chosen(row), _judged(row)]


def votes(row: Row) -> dict[str, float]:
    """The votes for each answer, most first: the strategy's own count, else that of its texts."""
    told: Any = row.details.get("votes")
    if isinstance(told, Mapping) and all(
        isinstance(v, int | float) for v in cast("Mapping[str, Any]", told).values()
    ):
        count = dict(cast("Mapping[str, float]", told))
    else:
        count = dict(Counter(t.voted for t in row.texts if t.voted is not None))
    return dict(sorted(count.items(), key=lambda one: -one[1]))


def outcome(row: Row) -> str:
    """One word or two: `right`, `wrong`, `abstained`, `no answer` or `error`."""
    if row.correct is None or row.error is not None:
        return "error"
    if row.correct:
        return "right"
    if row.abstained:
        return "abstained"
    return "no answer" if row.answer is None else "wrong"


def _chosen(row: Row) -> list[str]:
    found: list[str] = []
    count = votes(row)
    if row.answer is not None and sum(count.values()) > 1:
        own = next((v for t in row.texts if t.value == row.answer and (v := t.voted)), row.answer)
        others = [f"{a!r} {n:g}" for a, n in count.items() if a != own][:3]
        total = sum(count.values())
        of = f"{count.get(own, 0):g} of {total:g}"
        text = f"{own!r} " + (f"has {of} votes" if "votes" in row.details else f"is in {of} texts")
        found.append(text + (f", {', '.join(others)}" if others else ", all of them"))
    scored = [t.score for t in row.texts if t.score is not None]
    if row.chosen is not None and row.chosen < len(row.texts):
        one = row.texts[row.chosen]
        text = f"text {row.chosen + 1} of {len(row.texts)} is the answer"
        if one.score is not None:
            rank = 1 + sum(s > one.score for s in scored)
            text += f"; its score {one.score:.3g} is number {rank} of {len(scored)}"
        found.append(text)
    if row.details.get("broken_off"):
        found.append("its call did not come to its end")
    if (budget := row.details.get("budget")) is not None:
        found.append(f"the budget of {budget} ran out; this is the best there was until then")
    return found


def _judged(row: Row) -> str:
    if row.error is not None:
        counts = "; it counts as wrong" if row.correct is False else ""
        return f"error: {row.error}{counts}"
    if row.correct:
        return f"right: {row.answer!r}" if row.answer is not None else "right"
    known = f"; right is {row.target!r}" if row.target else ""
    if row.abstained:
        return f"the strategy gave no answer on purpose{known}"
    if (budget := row.details.get("budget_exceeded")) is not None:
        return f"wrong: the budget of {budget} ran out before there was an answer{known}"
    if row.answer is None:
        cut = any(t.finish == "length" for t in row.texts)
        reason = ", and a text was cut off by its limit of tokens" if cut else ""
        return f"wrong: no answer could be read{reason}{known}"
    credit = f", worth {row.credit:.2g}" if row.credit else ""
    return f"wrong: {row.answer!r}{credit}{known}"
