"""Result checking: a share of calls is asked of a second engine too, and both texts are kept.

Engines of one model that are given the same prompt, settings and seed should say the same. Where
they do not, one of them may be broken: another quantisation, a wrong template, a faulty card.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import blake2b

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from weft.errors import WeftError
from weft.orchestrator.programs.program import MOST_PRECEDENCE, Program
from weft.programs.calls.call import call
from weft.programs.history.journal import Journal
from weft.programs.history.outcome import Outcome
from weft.programs.prompt import Prompt
from weft.programs.scope import Scope, enter
from weft.types import Sampling, Usage

_WHOLE = ("stop", "length")


@dataclass(frozen=True, slots=True)
class CheckedCall:
    """A call that two engines were asked.

    Attributes:
        prompt: what was asked.
        first: what the first engine said.
        second: what the other one said; None if it failed.
        usage: of the second call.
        error: why there is no second answer.
    """

    prompt: Prompt
    first: Outcome
    second: Outcome | None
    usage: Usage
    error: str = ""

    @property
    def same_text(self) -> bool:
        """Whether both said the same, thinking included."""
        one, other = self.first, self.second
        if other is None:
            return False
        return (one.text, one.reasoning) == (other.text, other.reasoning)


Told = Callable[[CheckedCall], None]


class ResultChecks:
    """Has a share of calls made again by another engine of the same model.

    The second call goes after all others, costs the program nothing, and is told of once it is
    done. Calls with an adapter, calls that were broken off, and results from a Store are not
    checked.

    Args:
        share: of calls, from 0 to 1; which ones depends on prompt and seed alone.
        group: in which second calls run.
        told: is told of each, in a thread, of one after the other.
    """

    def __init__(
        self, share: float, group: TaskGroup, told: Told, turn: anyio.Lock | None = None
    ) -> None:
        self._share, self._group, self._told = share, group, told
        self._turn = turn or anyio.Lock()

    def telling(self, told: Told) -> ResultChecks:
        """The same, but another one is told."""
        return ResultChecks(self._share, self._group, told, self._turn)

    def consider(
        self, scope: Scope, prompt: Prompt, model: str, sampling: Sampling, outcome: Outcome
    ) -> None:
        """A call has come to its end; perhaps it is made again."""
        if outcome.finish_reason not in _WHOLE or not self._chosen(prompt, sampling):
            return
        engines = scope.pool.engines
        others = tuple(e.name for e in engines if e.model == model and e.name != outcome.engine)
        if others:
            if outcome.most_tokens is not None:
                sampling = replace(sampling, max_tokens=outcome.most_tokens)
            again = _apart(scope, model, others)
            self._group.start_soon(self._again, again, prompt, sampling, outcome)

    def _chosen(self, prompt: Prompt, sampling: Sampling) -> bool:
        asked = "\0".join(m.content for m in prompt.messages)
        digest = blake2b(
            f"{sampling.seed}\0{asked}".encode("utf-8", "surrogatepass"), digest_size=7
        )
        return int.from_bytes(digest.digest(), "big") < self._share * 2**56

    async def _again(
        self, scope: Scope, prompt: Prompt, sampling: Sampling, first: Outcome
    ) -> None:
        program = Program(scope.journal.name, "check", precedence=MOST_PRECEDENCE)
        second, error = None, ""
        with scope.pool.scheduler.program(program) as own:
            place = scope.but(program=own)
            with enter(place):
                try:
                    second = await call(place, "solver", prompt, sampling, index=0)
                except WeftError as e:
                    error = str(e)
        checked = CheckedCall(prompt, first, second, scope.journal.usage, error)
        async with self._turn:  # comparing may take long
            await anyio.to_thread.run_sync(self._told, checked)


def _apart(scope: Scope, model: str, others: tuple[str, ...]) -> Scope:
    """A place of its own for a call, in no run."""
    return Scope(
        scope.pool,
        Journal(),
        stage="check",
        roles={"solver": model},
        cache_salt=scope.cache_salt,
        only=others,
    )
