"""Sessions of coding agents, made up after recorded ones."""

from __future__ import annotations

import math
from collections.abc import Iterator

from weft.errors import UsageError
from weft.parts.parameters import param
from weft.simulation.sources import Source, source
from weft.simulation.sources.contexts import Fresh, Run, Scale, length, part, space
from weft.simulation.sources.generators.drawing import Draws, Quantiles
from weft.simulation.sources.planned_calls import PlannedCalls
from weft.simulation.workload import Job, PlannedCall

# Measured on 561 recorded sessions with 37,232 calls (benchmarks/fit_coding_agents.py). A
# session is new, or it resumes an earlier one and begins with a long prompt.
_RESUMED = 233 / 561
_CALLS = (
    Quantiles(3, 4, 8, 13, 31, 68, 119, 175, 244, 349, 489, 514),
    Quantiles(3, 3, 4, 5, 9, 23, 44, 91, 119, 228, 240, 242),
)
_FIRST = (
    Quantiles(
        6343, 9714, 11772, 13171, 16779, 18946, 20809, 24581, 28176, 37208, 38940, 39406
    ),
    Quantiles(
        40442, 40742, 45308, 56752, 71309, 122681, 250732, 421948, 555678, 819618, 850468, 851858
    ),
)  # fmt: skip
_PEOPLE = (
    Quantiles(0, 0, 0, 0, 0.022, 0.054, 0.158, 0.488, 0.685, 0.945, 1, 1),
    Quantiles(0, 0, 0, 0, 0.045, 0.174, 0.569, 0.725, 0.851, 1, 1, 1),
)
_ANSWER = Quantiles(1, 57, 90, 105, 139, 219, 429, 883, 1509, 3764, 8268, 16681)
_ADDED = {  # to prompt and answer
    "tool": Quantiles(0, 4, 15, 26, 108, 386, 1284, 3434, 6210, 16209, 75320, 234962),
    "person": Quantiles(0, 4, 18, 30, 67, 228, 785, 2280, 4499, 13280, 58957, 94750),
}
_WAIT = {
    "tool": Quantiles(0, 2, 3, 4, 5, 9, 19, 69, 139, 607, 2904, 10788),
    "person": Quantiles(0, 0, 4, 11, 34, 125, 471.8, 1756.7, 3148.3, 7857.6, 47028.6, 77360),
}
_SYSTEMS = (12000, 13200, 15000, 15500)  # tokens of tools and system prompt
_COMPACTED = Quantiles(
    9903, 10197, 11908, 14407, 26036, 33069, 45718, 63621, 69560, 82114, 87934, 89216
)
_REWRITTEN = 452 / 5694  # a person's turn that changes the prompt behind the system prompt
_ALL_REWRITTEN = 1 / 6  # of those, the system prompt too
_GROWTH_OF_DROPPED = (0.85, 1.0)  # of a prompt that leaves an answer out, over the answer
_WINDOW = (140_000, 166_000)  # where a prompt is compacted
_LARGE_WINDOW = 900_000
_LARGE = 0.06  # new sessions that have one
_LEAST = 1000  # tokens that a session must be allowed to hold
# What a session's calls have in common: the share of their scores' deviation that it explains,
# and its correlation with the session's number of calls: long sessions have light calls.
# Quantiles are those of all calls, most of which belong to long sessions, so what is common
# counts from its mean over calls, where the score of their number is about 1.
_COMMON = {"answer": (0.35, -0.2), "added": (0.4, -0.4), "wait": (0.4, -0.2)}
_PEOPLE_OF_CALLS = -0.2
_ADDED_OF_ANSWER = 0.1


@source("coding_agents")
class CodingAgents(Source):
    """Sessions of coding agents, with the distributions of recorded ones.

    Calls, prompts, answers, waits for tools and people are drawn from quantiles measured on
    public traces, and correlate as there: a session's calls are alike, long answers come with
    long additions, long sessions have short calls. Most prompts extend the one before and its
    answer; at the end of the window they are compacted, and people's turns at times rewrite
    them. There are no sub-agents.
    """

    n: int = param(100, "sessions", least=1, main=True)
    scale: float = param(1.0, "factor on all lengths in tokens", above=0, most=16)
    wait_scale: float = param(1.0, "factor on all waits", least=0)
    wait_max: float = param(float("inf"), "longest wait, seconds", least=0)
    max_tokens: int = param(
        0, "a prompt is compacted before a call holds more, 0 for no limit", least=0
    )
    max_calls: int = param(0, "most calls of a session, 0 for no limit", least=0)
    shared_system: bool = param(False, "sessions of the same kind share tools and system prompt")

    def __post_init__(self) -> None:
        super().__post_init__()
        if 0 < self.max_tokens < _LEAST * self.scale:
            raise UsageError(
                f"max_tokens={self.max_tokens} of {self.name} must be 0 or at least "
                f"{math.ceil(_LEAST * self.scale)}, {_LEAST} tokens times scale"
            )

    def jobs(self, block_size: int, seed: int) -> Iterator[Job]:
        """The sessions; what one does not depend on the others."""
        for number in range(self.n):
            steps = _Session(self, Scale(self.scale, block_size), seed, number).steps()
            yield Job(f"session-{number}", steps, name="coding_agent")


class _Session:
    """Draws one session."""

    def __init__(self, settings: CodingAgents, scale: Scale, seed: int, number: int) -> None:
        self._settings = settings
        self._draws = draws = Draws("coding_agents", seed, number)
        self._fresh = Fresh(f"coding_agents:{seed}:{number}")
        self._planned = PlannedCalls(scale, self._fresh)
        resumed = draws.chance(_RESUMED)
        calls = draws.normal()
        self._calls = round(_CALLS[resumed].draw(calls))
        if settings.max_calls:
            self._calls = min(self._calls, settings.max_calls)
        self._common = {n: draws.near(calls, c) - c for n, (_, c) in _COMMON.items()}
        self._people = _PEOPLE[resumed].draw(draws.near(calls, _PEOPLE_OF_CALLS))
        first = round(_FIRST[resumed].draw(draws.normal()))
        large = first > _WINDOW[0] or draws.chance(_LARGE)
        self._window = _LARGE_WINDOW if large else draws.random.randrange(*_WINDOW)
        self._most = 2 * self._window
        if settings.max_tokens:
            # Rounding may add a token to prompt and answer together.
            self._most = int((settings.max_tokens - 1) / settings.scale)
            self._window = min(self._window, self._most * 7 // 8)
        self._first = first if first <= self._window else self._window // 2
        system = min(draws.random.choice(_SYSTEMS), self._first * 3 // 4)
        shared = settings.shared_system
        self._system: Run = (space(f"system:{system}"), system) if shared else self._fresh(system)

    def steps(self) -> Iterator[PlannedCall]:
        """What the session does."""
        draws, settings = self._draws, self._settings
        prompt = [self._system, self._fresh(self._first - self._system[1])]
        for call in range(self._calls):
            held = length(prompt)
            score = draws.normal()
            answer = round(_ANSWER.draw(self._score("answer", score)))
            answer = max(1, min(answer, self._most - held))
            context = [*prompt, self._fresh(answer)]
            if call + 1 == self._calls:
                yield self._planned.make(context, held, answer)
                return
            tool, prompt = self._next(context, held, score)
            wait = _WAIT[tool].draw(self._score("wait", draws.normal())) * settings.wait_scale
            wait = min(wait, settings.wait_max)
            yield self._planned.make(context, held, answer, wait=wait, tool=tool)

    def _next(self, context: list[Run], held: int, score: float) -> tuple[str, list[Run]]:
        """What is waited for, and the next prompt."""
        draws = self._draws
        tool = "person" if draws.chance(self._people) else "tool"
        answer = length(context) - held
        kept = not draws.chance(_dropped(answer))
        if kept:
            added = _ADDED[tool].draw(self._score("added", draws.near(score, _ADDED_OF_ANSWER)))
            following = [*context, self._fresh(round(added))]
        else:
            growth = round(answer * draws.random.uniform(*_GROWTH_OF_DROPPED))
            following = [*part(context, 0, held), self._fresh(growth)]
        if length(following) > self._window:
            size = min(round(_COMPACTED.draw(draws.normal())), self._window // 2)
            return "person", self._rewritten([self._system], size)
        if tool == "person" and draws.chance(_REWRITTEN):
            behind = [] if draws.chance(_ALL_REWRITTEN) else [self._system]
            return tool, self._rewritten(behind, length(following))
        return tool, following

    def _rewritten(self, kept: list[Run], size: int) -> list[Run]:
        return [*part(kept, 0, size), self._fresh(max(0, size - length(kept)))]

    def _score(self, name: str, score: float) -> float:
        share, _ = _COMMON[name]
        return share * self._common[name] + math.sqrt(1 - share**2) * score


def _dropped(answer: int) -> float:
    """How likely the next prompt holds less than the answer, as when it leaves out thinking."""
    return min(max(0.13 * math.log2(answer / 170), 0.0), 0.53)
