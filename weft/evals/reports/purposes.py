"""What the tokens of each strategy went to: the answer, what was discarded, verifying."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from weft.evals.records import Row
from weft.evals.reports.section import ReportSection

_PURPOSES = ("kept", "discarded", "cancelled", "verifying")
_AHEAD = "in_vain_tokens"


@dataclass(slots=True)
class Purposes:
    """Computed tokens by strategy and purpose, added up row by row.

    Attributes:
        tokens: of each strategy, by purpose.
        rows: how many rows each strategy has.
    """

    tokens: dict[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])
    rows: Counter[str] = field(default_factory=Counter[str])

    def add(self, row: Row) -> None:
        """Count a row, with its texts."""
        if row.failed:
            return
        count = self.tokens.setdefault(row.strategy, Counter())
        count.update(purposes(row))
        self.rows[row.strategy] += 1

    def section(self) -> ReportSection:
        """A table of means a problem; without rows where no strategy drew more than it kept."""
        rows = [
            [strategy, *(f"{count[name] / self.rows[strategy]:.0f}" for name in self._columns)]
            for strategy, count in self.tokens.items()
        ]
        ahead = (
            "; speculative: generated for steps that were made ahead of their round and not "
            "needed, which are among the discarded or cancelled"
        )
        return ReportSection(
            "Tokens by purpose",
            ("strategy", *self._columns),
            rows if any(any(c.values()) for c in self._beside) else [],
            "means a problem of computed tokens; kept: of the texts that the answer is made of; "
            "discarded: of other whole texts; cancelled: of texts that were broken off; verifying: "
            "of scores, and of calls that ask something else than the problem, such as judges and "
            "plans" + (ahead if "speculative" in self._columns else ""),
        )

    @property
    def _columns(self) -> tuple[str, ...]:
        ahead = any(count["speculative"] for count in self.tokens.values())
        return (*_PURPOSES, "speculative") if ahead else _PURPOSES

    @property
    def _beside(self) -> list[Counter[str]]:
        return [
            Counter({k: v for k, v in count.items() if k != "kept"})
            for count in self.tokens.values()
        ]


def purposes(row: Row) -> dict[str, int]:
    """The computed tokens of a row by purpose; all but `speculative` add up to what it computed."""
    kept: set[int] = set()
    at = row.chosen
    while at is not None and at not in kept and at < len(row.texts):
        kept.add(at)
        at = row.texts[at].after
    count: dict[str, int] = dict.fromkeys(_PURPOSES, 0)
    for i, text in enumerate(row.texts):
        tokens = text.tokens + text.prompt - text.cached
        if i in kept:
            count["kept"] += tokens
        elif text.asked:
            count["verifying"] += tokens
        else:
            count["discarded" if text.whole else "cancelled"] += tokens
    rest = row.usage.computed - sum(count.values())
    count["verifying"] += max(0, rest)
    ahead = row.details.get(_AHEAD)
    if isinstance(ahead, int) and ahead:
        count["speculative"] = ahead
    return count
