"""Steps made ahead of their round (FastTTS 2025 calls it speculative beam extension)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from typing import Any

import anyio

from weft.errors import BudgetExceeded, EngineError, WeftError
from weft.parts.parameters import param
from weft.programs.scope import current
from weft.programs.scope.hearing import hearing
from weft.search.step_search.frontier import Move, Path, Step


def ahead_param() -> Any:
    """The parameter that says how many steps a search with rounds makes ahead."""
    return param(0, "steps that are made before their round is decided", least=0)


class StepsAhead:
    """Makes the moves that an open round will probably lead to.

    A search by rounds waits for the last step of each. Meanwhile the steps of likely survivors
    are made. What such a step gives is kept until the frontier names the very same move, so the
    tree is that of the search that waits. When the round has been decided otherwise, a step that
    is still under way is cancelled in its engine.

    Args:
        step: makes a move.
        most: how many moves are made ahead at once; 0 makes none.

    Attributes:
        step: makes a move, unless it was made ahead.
    """

    def __init__(self, step: Step, most: int) -> None:
        self._make, self._most = step, most
        self._open: dict[tuple[Path, int], _Guess] = {}
        self._taken: dict[tuple[Path, int], _Guess] = {}
        self._all: list[_Guess] = []

        @wraps(step)
        async def instead(move: Move) -> Path:
            guess = self._taken.pop((move.path, move.index), None)
            if guess is None:
                return await step(move)
            with current().branches(-1):
                await guess.ended.wait()
            match guess.result:
                case Path() as path:
                    return replace(path, order=move.order)
                case None | BudgetExceeded():  # the budget may have room again
                    return await step(move)
                case error:
                    raise error

        self.step: Step = instead

    @property
    def errors(self) -> list[WeftError]:
        """Why engines refused moves that the frontier has not named."""
        results = (guess.result for guess in self._all if not guess.taken)
        return [error for error in results if isinstance(error, EngineError)]

    @property
    def details(self) -> dict[str, Any]:
        """For `Answer.details`: moves made ahead, those of them in vain, and their tokens."""
        vain = [guess for guess in self._all if not guess.taken]
        tokens = sum(guess.tokens for guess in vain)
        made = {"ahead": len(self._all), "in_vain": len(vain), "in_vain_tokens": tokens}
        return made if self._most else {}

    def take(self, moves: Sequence[Move]) -> None:
        """The frontier has named these moves."""
        for move in moves:
            if (guess := self._open.pop((move.path, move.index), None)) is not None:
                self._taken[move.path, move.index] = guess
                guess.taken = True

    def follow(self, guesses: Iterable[Move]) -> Iterator[Callable[[], Coroutine[Any, Any, None]]]:
        """What makes the likeliest of these moves.

        Moves that are under way from paths of which nothing is guessed any more are cancelled.
        """
        moves = list(guesses) if self._most else []
        likely = {move.path for move in moves}
        for key in [key for key in self._open if key[0] not in likely]:
            self._open.pop(key).scope.cancel()
        free = self._most - sum(not guess.ended.is_set() for guess in self._open.values())
        for move in moves:
            if free > 0 and (move.path, move.index) not in self._open:
                free -= 1
                guess = self._open[move.path, move.index] = _Guess()
                self._all.append(guess)
                yield partial(self._run, guess, move)

    async def _run(self, guess: _Guess, move: Move) -> None:
        with current().branches(1), hearing() as heard:
            try:
                with guess.scope:
                    guess.result = await self._make(move)
            except Exception as error:
                guess.result = error  # for whoever makes this move
            finally:
                guess.tokens = sum(one.outcome.usage.generated for one in heard)
                guess.ended.set()


@dataclass(eq=False)
class _Guess:
    """A move that is made ahead.

    Attributes:
        result: what came of it; None if it was cancelled.
        taken: whether the frontier has named it.
        tokens: generated for it.
    """

    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    ended: anyio.Event = field(default_factory=anyio.Event)
    result: Path | Exception | None = None
    taken: bool = False
    tokens: int = 0
