"""A call of which the Store has a result: whether that is taken again, when, and at what price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from weft.programs.budgets.budget import timeout
from weft.programs.budgets.reservation import Reservation
from weft.programs.calls.stored import cut_as_before, held_to_fewer, learn_length
from weft.programs.history.outcome import Outcome
from weft.programs.history.replay import Replay
from weft.programs.prompt import Prompt
from weft.programs.scope import Scope

if TYPE_CHECKING:
    from weft.store.store import StoredResult


class KnownCall:
    """A call that was made before, in an earlier run or by another branch.

    Args:
        scope: where in which run it is made again.
        held: what budgets hold for it; None if there are none.
        id: of the call in this run.
        stored: the result.

    Attributes:
        outcome: what it gave.
        pending: whether the outcome has not been counted yet.
        taken: whether the outcome is the call's own again.
    """

    __slots__ = ("_charged", "_held", "_scope", "_stored", "outcome", "pending", "taken")

    def __init__(
        self, scope: Scope, held: Reservation | None, id: str, stored: StoredResult
    ) -> None:
        self._scope, self._held, self._stored = scope, held, stored
        self.outcome = Outcome.of(id, stored.outcome)
        self.pending, self.taken = True, False
        self._charged = False  # budgets, though it is pending

    @property
    def prompt_tokens(self) -> int:
        """Tokens of its prompt, as they were counted then."""
        return self.outcome.prompt_tokens or self.outcome.usage.prompt

    @property
    def holds(self) -> bool:
        """Whether it would give the same now."""
        known, scope = self.outcome, self._scope
        if known.ended_by == "timeout":
            return self._times_out_again()
        return self._stored.done or cut_as_before(known, self._held, scope.budgets)

    def _times_out_again(self) -> bool:
        """Whether the timeout that ended it ends it again, since its run went on behind that.

        A run that failed by its timeouts, or came no further, makes the call anew.
        """
        from weft.programs.timeouts import ending_again  # few runs need it

        scope, stored = self._scope, self._stored
        if ending_again(scope.timeouts, self.outcome.limit) is None or scope.store is None:
            return False
        run = stored.run
        return run is not None and scope.store.following(run, stored.order) is not None

    async def take(
        self, prompt: Prompt, model: str, tools: Sequence[Mapping[str, Any]] = ()
    ) -> bool:
        """Take the result when its turn comes, at its price; whether it is a whole one.

        Args:
            prompt: of the call.
            model: that answered.
            tools: that it could call.

        Raises:
            BudgetExceeded: a budget ends it, as it did then or because it is held to less now.
        """
        scope, held, known, stored = self._scope, self._held, self.outcome, self._stored
        program, path = scope.program, 0.0
        if program is not None:
            path = program.critical
            away = known.after if program.acting is not None else 0.0
            program.trail.call(program, scope.stage, scope.group, away)
        if scope.replay is not None:
            await scope.replay.await_due(stored, known.at, timeout(scope))
        done = stored.done
        if done and scope.charge_stored and (most := held_to_fewer(known, held)) is not None:
            self.outcome = known = known.cut(most, scope.pool.models.dearest(model))
            done = False
        self.pending, self.taken = False, True
        learn_length(scope.pool, model, prompt, tools, known)
        scope.spend(known.usage)
        if program is not None:
            timing = known.timing
            program.answered(path, known.usage.computed, timing.total - timing.queued)
        if held is not None and scope.charge_stored:
            held.charge(known.usage, last=True)
        if done:
            return True
        if known.ended_by == "timeout":
            from weft.programs.timeouts import end_again

            await end_again(scope.timeouts, known.limit)
        if known.ended_by == "seconds":
            for b in scope.budgets:
                if b.limits.seconds is not None and b.limits.seconds <= known.limit:
                    b.out_of_time()
                    b.check()
        if held is not None and held.check_end(None):
            assert held.end is not None
            raise held.end
        return False

    async def await_turn(self, replay: Replay) -> None:
        """Wait until it is to be sent again, though it was sent before."""
        known, ends = self.outcome, timeout(self._scope)
        if known.ended_by == "timeout":
            await replay.await_due(self._stored, 0.0, ends)  # and its time begins to count
            return
        if not known.cancelled:
            # It failed, or was held to less than now: it is sent again when its turn comes.
            await replay.await_due(self._stored, known.at, ends)
            return
        counts = self._scope.charge_stored and bool(self._scope.budgets)
        lost = known.at, known.timing.total
        await replay.await_end(self._stored, lost, ends, self._charge_lost if counts else None)
        if self._charged:  # it did not lose after all
            assert self._held is not None
            self._charged = False
            self._held.take_back(known.usage)

    def _charge_lost(self) -> None:
        """Charge what a call had cost that lost the first time, and is likely to lose again."""
        assert self._held is not None
        self._held.charge(self.outcome.usage, last=True)
        self._held.wake_others()
        self._charged = True

    def count_lost(self) -> None:
        """It is cancelled, as it was the first time: what it cost then counts."""
        scope, usage = self._scope, self.outcome.usage
        scope.spend(usage)
        if scope.charge_stored and not self._charged:
            for b in scope.budgets:
                b.charge(usage)
