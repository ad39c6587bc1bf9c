"""A state of an execution graph, and what runs did there."""

from __future__ import annotations

from dataclasses import dataclass, field

State = tuple[str, int]
"""A stage, and how often a run has come to it by then, as far as visits are told apart."""

OUTSIDE: State = ("", 0)
"""What a run comes from, and goes to at its end."""


@dataclass(slots=True)
class StateSums:
    """What runs did at one state, in sums.

    Attributes:
        runs: that came to it, by weight.
        calls: that they made there.
        width: of their fan-outs there.
        tokens: that engines computed for them: prompts not cached, and answers.
        seconds: of service along their critical path.
        next: by what came next, how many of them went there.
        away: seconds between the last call there and the next one elsewhere.
        tools: by what they did meanwhile: how many of them, and seconds.
    """

    runs: float = 0.0
    calls: float = 0.0
    width: float = 0.0
    tokens: float = 0.0
    seconds: float = 0.0
    next: dict[State, float] = field(default_factory=dict[State, float])
    away: float = 0.0
    tools: dict[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])

    @property
    def leaving(self) -> float:
        """Runs that have gone on from it, or ended there."""
        return sum(self.next.values())

    def halve(self) -> None:
        """Let all that is known weigh half as much."""
        for name in ("runs", "calls", "width", "tokens", "seconds", "away"):
            setattr(self, name, getattr(self, name) / 2)
        self.next = {state: weight / 2 for state, weight in self.next.items()}
        self.tools = {tool: (n / 2, s / 2) for tool, (n, s) in self.tools.items()}
