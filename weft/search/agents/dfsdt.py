"""dfsdt: depth-first search over the states that a user's node leads to, tools included."""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from inspect import isawaitable
from itertools import permutations
from typing import Any, Generic, Literal, TypeVar, cast

from weft.errors import BudgetExceeded, OutputError, UsageError, WeftError
from weft.programs import fan_out
from weft.search.answers.failures import NO_RESULT
from weft.search.strategy import stable_seed

S = TypeVar("S")
End = Literal["answer", "give up", "error"]

_CLIMB: dict[End | None, float] = {"answer": 2, "give up": 2, "error": 1, None: 1}
"""How many levels the search climbs back from a leaf: with 2 it leaves its siblings out, too."""

_ALL = math.inf
"""Climbing back so far ends the search."""


@dataclass(frozen=True)
class AgentTurn(Generic[S]):
    """What a user's node made of a state: what an agent thought, did and saw.

    Attributes:
        state: the state that it leads to; whatever the node needs to go on from there.
        shown: thought, tool, arguments and output in words: what is told to the turns that are
            tried instead, and what preference pairs hold.
        end: `answer` if the state holds the answer; `give up` if the agent sees no way on;
            `error` if nothing can follow. None goes on.
        changes: whether a tool changed something outside the state.
    """

    state: S
    shown: str = ""
    end: End | None = None
    changes: bool = False


@dataclass(eq=False)
class Place(Generic[S]):
    """A place of the tree.

    Attributes:
        state: the state here.
        turn: what led here; None at the root, and where the node gave nothing.
        parent: the place before; None at the root.
        children: what was tried from here, in the order in which it was tried.
        failed: why the node gave nothing.
        pruned: whether the search gave the place up.
    """

    state: S
    turn: AgentTurn[S] | None = None
    parent: Place[S] | None = None
    children: list[Place[S]] = field(default_factory=list["Place[S]"])
    failed: WeftError | None = None
    pruned: bool = False

    @property
    def depth(self) -> int:
        """How many turns lead here."""
        return 0 if self.parent is None else self.parent.depth + 1

    @property
    def leads(self) -> bool:
        """Whether an answer is here or below."""
        here = self.turn is not None and self.turn.end == "answer"
        return here or any(child.leads for child in self.children)

    @property
    def turns(self) -> list[AgentTurn[S]]:
        """The turns that lead here, earliest first."""
        before = [] if self.parent is None else self.parent.turns
        return before if self.turn is None else [*before, self.turn]


@dataclass(frozen=True)
class Explored(Generic[S]):
    """What a search found.

    Attributes:
        state: that of the first answer. Without an answer, one at which the agent gave up, drawn
            from the seed; None if there is none either.
        found: whether it is an answer.
        answers: the states of all answers, in the order in which they were found.
        root: of the tree.
        calls: how many times the node was called.
        budget: the resource that ran out, if one did.
    """

    state: S | None
    found: bool
    answers: tuple[S, ...]
    root: Place[S]
    calls: int
    budget: str | None = None


Expand = Callable[[S, Sequence[AgentTurn[S]]], Awaitable[AgentTurn[S]]]
Better = Callable[[AgentTurn[S], AgentTurn[S]], "bool | Awaitable[bool]"]


async def dfsdt(
    expand: Expand[S],
    state: S,
    *,
    width: int = 2,
    depth: int = 12,
    calls: int = 30,
    answers: int = 1,
    fork: Callable[[S], Any] | None = None,
    better: Better[S] | None = None,
    seed: int = 0,
) -> Explored[S]:
    """Search depth first for an answer (DFSDT, Qin et al. 2023, the search of ToolLLaMA).

    From each place the node is asked for one turn, and the search goes on from there. After an
    answer, or where the agent gave up, the search climbs back two places, past what else could be
    tried beside that turn; after an error, a failure or at `depth`, one place. Then the node is
    asked for another turn, and is told the earlier ones from there, so that it does something else.
    What it is told is no part of the state, so nothing below hears of it. Climbing back past the
    beginning ends the search.

    Args:
        expand: the node: takes a state and the turns that were tried from there, and gives
            another turn. Its calls should sample, at a temperature above 0. What engines or budgets
            refuse, and answers that are not of the type asked for, are failures of this turn alone.
        state: where the search begins.
        width: turns tried from a place.
        depth: turns on the way to an answer at most.
        calls: how many times the node is called at most.
        answers: how many answers end the search.
        fork: copies a state, with the world that its tools act on, before each turn; may be async.
            Without it a turn that `changes` something is refused, since the search goes back to
            states from before.
        better: whether the first of two turns is the more promising one; may ask a model. With it,
            all turns of a place are made first, side by side and without being told of each
            other. The one that wins most comparisons, each made in both orders, goes on first.
        seed: of the choice among states at which the agent gave up.

    Raises:
        UsageError: a parameter is out of range, `expand` gives no AgentTurn, or a turn changed
            something and there is no `fork`.
        EngineError: no turn could be made, the first for this error.
    """
    for name, value in {"width": width, "depth": depth, "calls": calls, "answers": answers}.items():
        if value < 1:
            raise UsageError(f"{name}={value} of dfsdt must be at least 1")
    search = _Search(expand, width, depth, calls, answers, fork, better)
    root = Place(state)
    await search.visit(root)
    made = any(child.turn is not None for child in root.children)
    if search.errors and not made and search.budget is None:
        raise search.errors[0]
    chance = random.Random(stable_seed(seed, "give up"))
    chosen = search.answers[:1] or (search.gave_up and [chance.choice(search.gave_up)])
    return Explored(
        chosen[0].state if chosen else None,
        bool(search.answers),
        tuple(place.state for place in search.answers),
        root,
        search.calls,
        search.budget,
    )


class _Search(Generic[S]):
    """A search under way."""

    def __init__(
        self,
        expand: Expand[S],
        width: int,
        depth: int,
        most: int,
        wanted: int,
        fork: Callable[[S], Any] | None,
        better: Better[S] | None,
    ) -> None:
        self._expand, self._width, self._depth = expand, width, depth
        self._most, self._wanted = most, wanted
        self._fork, self._better = fork, better
        self.calls = 0
        self.answers: list[Place[S]] = []
        self.gave_up: list[Place[S]] = []
        self.errors: list[WeftError] = []
        self.budget: str | None = None

    async def visit(self, place: Place[S]) -> float:
        """Search here and below; gives how many levels to climb back from here."""
        end = None if place.turn is None else place.turn.end
        if end == "answer":
            self.answers.append(place)
            return _ALL if len(self.answers) >= self._wanted else _CLIMB[end]
        if end is not None or place.failed is not None or place.depth >= self._depth:
            place.pruned = True
            if end == "give up":
                self.gave_up.append(place)
            return _CLIMB[end]
        ranked = None if self._better is None else await self._all(place, self._better)
        for number in range(self._width if ranked is None else len(ranked)):
            if ranked is not None:
                child = ranked[number]
            elif self._left:
                child = await self._one(place)
            else:
                return _ALL
            back = await self.visit(child)
            if back > 1:
                place.pruned = back < _ALL and not place.leads
                return back - 1
        # Where calls or a budget ran out, nothing is known to have failed.
        place.pruned = bool(place.children) and self.budget is None and not place.leads
        return 1

    @property
    def _left(self) -> int:
        """How many times the node may still be called."""
        return 0 if self.budget is not None else self._most - self.calls

    async def _one(self, place: Place[S]) -> Place[S]:
        """One turn more, which is told those before."""
        told = [child.turn for child in place.children if child.turn is not None]
        child = await self._try(place, told)
        place.children.append(child)
        return child

    async def _all(self, place: Place[S], better: Better[S]) -> list[Place[S]]:
        """All turns of a place, the most promising first."""
        made: dict[int, Place[S]] = {}

        async def attempt(number: int) -> None:
            made[number] = await self._try(place, [])

        wins: dict[int, int] = {}

        async def compare(pair: tuple[int, int]) -> None:
            first, second = made[pair[0]].turn, made[pair[1]].turn
            assert first is not None
            assert second is not None
            try:
                said = better(first, second)
                won = await said if isawaitable(said) else said
            except (OutputError, *NO_RESULT) as error:
                self._note(error)
                return
            wins[pair[0] if won else pair[1]] = wins.get(pair[0] if won else pair[1], 0) + 1

        async with fan_out(attempt, range(min(self._width, self._left))) as tries:
            async for _ in tries:
                pass
        place.children += [made[number] for number in sorted(made)]
        able = [number for number in sorted(made) if made[number].turn is not None]
        async with fan_out(compare, list(permutations(able, 2))) as compared:
            async for _ in compared:
                pass
        return [made[number] for number in sorted(able, key=lambda i: (-wins.get(i, 0), i))]

    async def _try(self, place: Place[S], told: Sequence[AgentTurn[S]]) -> Place[S]:
        """What the node makes of a place's state."""
        self.calls += 1
        try:
            state = place.state
            if self._fork is not None:
                copied = self._fork(state)
                state = cast(S, await copied if isawaitable(copied) else copied)
            given: Any = await self._expand(state, tuple(told))
        except (OutputError, *NO_RESULT) as error:
            self._note(error)
            return Place(place.state, None, place, failed=error)
        if not isinstance(given, AgentTurn) or given.end not in _CLIMB:
            raise UsageError(
                f"the node gave dfsdt {given!r}; give an AgentTurn, whose end is answer, give up, "
                "error or None"
            )
        turn = cast("AgentTurn[S]", given)
        if turn.changes and self._fork is None and self._width > 1:
            raise UsageError(
                f"a turn of dfsdt changed something outside its state ({turn.shown or 'unnamed'}), "
                "which going back can't undo; give fork=, which copies a state with its world, "
                "or width=1"
            )
        return Place(turn.state, turn, place)

    def _note(self, error: WeftError) -> None:
        self.errors.append(error)
        if isinstance(error, BudgetExceeded):
            self.budget = error.resource
