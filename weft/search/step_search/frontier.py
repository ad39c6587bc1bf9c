"""The engine of all step searches.

A search grows a tree of **paths**, answers that are extended a step at a time. A **frontier**
is a search's policy: told of each new path, it names the **moves** to make next. The engine
makes moves: it generates a step and has the new path scored as soon as it is there, while
other paths are still generated or scored. There is no round that all paths wait for, unless
the policy itself waits.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import ChainMap
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import TYPE_CHECKING

import anyio

from weft.concurrency import TaskGroup
from weft.errors import BudgetExceeded, WeftError
from weft.programs import Prompt, fan_out
from weft.programs.scope import current
from weft.search.answers.failures import NO_RESULT
from weft.search.strategy import stable_seed
from weft.search.verifiers import NO_TOKENS, Confidence
from weft.types import TokenLogprob

if TYPE_CHECKING:
    from weft.search.step_search.ahead import StepsAhead


@dataclass(frozen=True, eq=False)
class Path:
    """A partial answer, or a finished one.

    Attributes:
        prompt: the question with the answer so far, open.
        text: all that was generated so far, marked thinking included.
        depth: how many steps it has.
        parent: the path that it extends; None for the root.
        order: the place that its move asked for.
        score: how good it is, from 0 to 1; None if it was never scored.
        finished: there is nothing to add.
        value: the answer read from it once it is finished, if there is one.
        tokens: generated for all its steps.
        confidence: of those tokens.
        shown: the answer so far, without the thinking before it.
        logprobs: of the last step's tokens, where the search keeps them.
    """

    prompt: Prompt
    text: str = ""
    depth: int = 0
    parent: Path | None = None
    order: int = 0
    score: float | None = None
    finished: bool = False
    value: str | None = None
    tokens: int = 0
    confidence: Confidence = NO_TOKENS
    shown: str = ""
    logprobs: tuple[TokenLogprob, ...] = ()

    @cached_property
    def tie(self) -> tuple[int, str]:
        """Decides between equally good paths: by their texts alone, yet without a bias.

        The order in which paths happen to be ready must not decide: reruns would differ.
        """
        return stable_seed("tie", self.text), self.text


@dataclass(frozen=True)
class Move:
    """One step to generate.

    Attributes:
        path: what to extend.
        index: which of the continuations of this text it is; with the question's seed and
            the text it determines the step's own seed, so it must never repeat for a text.
        order: the new path's `order`.
        most: the most tokens of the step, if not those that steps of the search have.
    """

    path: Path
    index: int
    order: int = 0
    most: int | None = None


Step = Callable[[Move], Awaitable[Path]]


class Frontier(ABC):
    """The policy of a search. Its methods only compute; the engine does all waiting."""

    @abstractmethod
    def begin(self) -> Sequence[Move]:
        """The first moves."""

    @abstractmethod
    def on_landed(self, path: Path) -> Sequence[Move]:
        """The moves to make now that a path was generated and scored."""

    def on_failed(self, move: Move) -> Sequence[Move]:
        """The moves to make now that a move came to nothing; none by default."""
        return ()

    @property
    def done(self) -> bool:
        """Whether what is still under way can be cancelled."""
        return False

    def guesses(self) -> Iterable[Move]:
        """The moves that rounds which are still open will probably lead to, likeliest first.

        A path from which a move was named stays among them while its round may lead to it.
        """
        return ()


async def explore(
    frontier: Frontier, step: Step, ahead: StepsAhead | None = None
) -> list[WeftError]:
    """Search until the frontier is done or has no moves left.

    Moves that are named together are announced together, as one fan-out. A move that engines
    refuse comes to nothing, and the search goes on; when a budget refuses one, no further
    moves are begun, and those under way are brought to their end.

    Args:
        frontier: the policy.
        step: makes a move: generates and scores.
        ahead: makes moves before the frontier names them, and has `step`.

    Returns:
        Why moves came to nothing.

    Raises:
        Exception: what a step raised, budgets' and engines' refusals excepted.
    """
    send, receive = anyio.create_memory_object_stream[Path | _Failed | None](math.inf)
    errors: list[WeftError] = []
    over, scope = False, current()

    @wraps(step)
    async def land(move: Move) -> None:
        # Handed over at once, so that paths land in the order in which their calls ended: a
        # search whose course depends on that order then takes the same one in a rerun.
        try:
            send.send_nowait(await step(move))
        except NO_RESULT as error:
            send.send_nowait(_Failed(move, error))

    async def make(moves: Sequence[Move]) -> None:
        # Paths that begin alike stand side by side, so that an engine with little room for KV
        # serves those of one prefix together (FastTTS, 2025).
        moves = sorted(moves, key=lambda move: move.path.text)
        with scope.branches(1):
            async with fan_out(land, moves) as landings:
                async for _ in landings:
                    pass
        send.send_nowait(None)

    async with send, receive, TaskGroup() as tasks:
        moves, batches = frontier.begin(), 0
        while True:
            if moves and not over:
                batches += 1
                if ahead is not None:
                    ahead.take(moves)
                tasks.start_soon(make, moves)
            moves = ()
            if not batches or frontier.done:
                break
            if ahead is not None:
                for guess in ahead.follow([] if over else frontier.guesses()):
                    tasks.start_soon(guess)
            with scope.branches(-1):
                landed = await receive.receive()
            match landed:
                case Path() as path:
                    moves = frontier.on_landed(path)
                case _Failed(move, error):
                    errors.append(error)
                    over = over or isinstance(error, BudgetExceeded)
                    moves = frontier.on_failed(move)
                case None:
                    batches -= 1
        tasks.cancel_scope.cancel()
    return errors if ahead is None else [*errors, *ahead.errors]


@dataclass(frozen=True)
class _Failed:
    """A move that came to nothing."""

    move: Move
    error: WeftError


class Indices:
    """Hands out the indices of continuations, text by text.

    Args:
        first: the first index.
        every: how far an index is from the next one.
    """

    def __init__(self, first: int = 0, every: int = 1) -> None:
        self._first, self._every = first, every
        self._next: MutableMapping[str, int] = {}

    def of(self, path: Path) -> int:
        """The next index for a path's text."""
        index = self._next.get(path.text, self._first)
        self._next[path.text] = index + self._every
        return index

    def ahead(self, given: Iterable[tuple[Path, int]]) -> Iterator[Move]:
        """The moves that are made if each path gets so many continuations next."""
        then = Indices(self._first, self._every)
        then._next = ChainMap({}, self._next)
        for path, count in given:
            for _ in range(count):
                yield Move(path, then.of(path))
