"""One call: from a Prompt to an engine and back, through Store, budgets and scheduler."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from anyio.lowlevel import checkpoint_if_cancelled

from weft.backends.http.wire import template_settings
from weft.concurrency import now
from weft.errors import BudgetExceeded
from weft.orchestrator.call import Call, text_size
from weft.programs.budgets.budget import timeout
from weft.programs.budgets.reservation import Reservation
from weft.programs.calls.known_call import KnownCall
from weft.programs.calls.opened_thinking import begins_inside
from weft.programs.calls.progress import CallProgress
from weft.programs.calls.stored import call_key
from weft.programs.calls.tokens import token_path
from weft.programs.calls.watched import CUT, WatchedProgress
from weft.programs.history.outcome import Outcome
from weft.programs.prompt import Prompt
from weft.programs.scope import Scope, left
from weft.types import NOTHING, Adapter, Request, Sampling

if TYPE_CHECKING:
    from weft.programs.timeouts import Timeout
    from weft.programs.watching import Monitor
    from weft.store.group import Group
    from weft.store.store import Store


class _NoBudget:
    """In place of a reservation; unlike `nullcontext` it makes no object for each call."""

    @staticmethod
    def __enter__() -> None: ...

    @staticmethod
    def __exit__(*_: object) -> None: ...


_UNLIMITED = _NoBudget()


def call(
    scope: Scope,
    role: str,
    prompt: Prompt,
    sampling: Sampling,
    *,
    options: tuple[str, ...] = (),
    tokens: tuple[int, ...] = (),
    suffix: tuple[int, ...] = (),
    index: int,
) -> Coroutine[Any, Any, Outcome]:
    """Run one call, or give back its stored result; must be awaited at once.

    Args:
        scope: where in which run.
        role: picks the model.
        prompt: what to continue or answer.
        sampling: how.
        options: texts whose probability is wanted.
        tokens: ids of tokens whose probability is wanted at the next position.
        suffix: ids that follow the prompt's (within a scored option).
        index: which sample of this prompt it is.
    """
    model = scope.model(role)
    if scope.doing is not None:
        scope.doing.call()
    if scope.observed is not None:
        scope.observed.call(scope.stage, scope.group)
    ask = (*options, *map(str, tokens), "after", *map(str, suffix)) if options or tokens else ()
    if ask and scope.live is not None:
        scope = scope.but(live=None)  # the token that an engine generates for it is no text
    store = scope.store
    adapter = scope.adapters.get(role)
    target = adapter.name if adapter is not None else model
    monitor = scope.monitor if not ask else None
    decides = ask if monitor is None else ("watch", monitor.key)
    batch = scope.batch if monitor is None and (ask or sampling.certain) else None
    keyed = store is not None or batch is not None
    key = call_key(target, prompt, sampling, decides, index) if keyed else ""
    about: dict[str, Any] = {
        "prompt": prompt,
        "model": model,
        "role": role,
        "score": bool(ask),
        "index": index,
    }
    if scope.provenance is not None and (uses := scope.provenance.quoted(prompt)):
        about["uses"] = uses
    id = scope.journal.begin("call", scope.id, **about)
    one = _Call(scope, prompt, model, sampling, options, tokens, suffix, key, id)
    one.adapter, one.monitor = adapter, monitor
    return one.run() if batch is None else batch.sharing.once(key, one, scope)


class _Call:
    """One call on its way, through Store, budgets and scheduler."""

    __slots__ = (
        "_key",
        "_known",
        "_model",
        "_options",
        "_prompt",
        "_sampling",
        "_scope",
        "_suffix",
        "_tokens",
        "adapter",
        "kept",
        "monitor",
        "outcome",
        "reservation",
    )

    def __init__(
        self,
        scope: Scope,
        prompt: Prompt,
        model: str,
        sampling: Sampling,
        options: tuple[str, ...],
        tokens: tuple[int, ...],
        suffix: tuple[int, ...],
        key: str,
        id: str,
    ) -> None:
        self._scope, self._prompt, self._model, self._sampling = scope, prompt, model, sampling
        self._options, self._tokens, self._suffix, self._key = options, tokens, suffix, key
        self.outcome = Outcome(id)
        self.adapter: Adapter | None = None
        self.monitor: Monitor | None = None
        self.reservation: Reservation | None = None
        self.kept: Group | None = None
        """With which the result is written."""
        self._known: KnownCall | None = None
        """What the Store has of it."""

    async def run(self) -> Outcome:
        """Take a stored result, or have the scheduler run the call.

        Budgets are charged and checked as tokens come.
        """
        # One coroutine while it waits, and nothing yet that follows it: of calls that wait there
        # may be thousands.
        scope = self._scope
        budgets, store = scope.budgets, scope.store
        try:
            with Reservation(budgets) if budgets else _UNLIMITED as held:
                self.reservation = held
                if store is None or not await self._find(store):
                    call, scheduler = await self._prepare(held), scope.pool.scheduler
                    await checkpoint_if_cancelled()  # what is cancelled anyway is not sent
                    ticket = scheduler.submit(call)
                    if ticket.replica is None:
                        try:
                            await scheduler.until_bound(ticket)
                            scheduler.check_bound(ticket)
                        except BaseException:
                            scheduler.drop(ticket)
                            raise
                    lost = self._hear_void if scope.hear is not None else None
                    follows = scope, call, self.outcome, held, lost, ticket.since
                    if self.monitor is None:
                        progress = CallProgress(*follows)
                        running = scheduler.run(call, progress, ticket)
                    else:
                        progress = WatchedProgress(*follows, self.monitor)
                        running = progress.unless_cut(scheduler.run(call, progress, ticket))
                    try:
                        await running
                    finally:
                        progress.close()
                    self._conclude(progress)
        except BaseException as error:
            self.break_off(error)
            raise
        if self.kept is not None:
            await self.kept.written(self._key)  # only then may the program go on
        if scope.settle is not None and self.outcome.text:
            await scope.settle(self._prompt, self.outcome)
        return self.outcome

    async def repeat(self, first: Outcome) -> Outcome:
        """Take what an equal call of another input of the batch gave, which costs nothing."""
        scope, id = self._scope, self.outcome.id
        self.outcome = outcome = replace(first, id=id, usage=NOTHING, read=None)
        self._hear(outcome, whole=True)
        scope.journal.note("done", id, outcome=outcome, stored=False, shared=True)
        if scope.settle is not None and outcome.text:
            await scope.settle(self._prompt, outcome)
        return outcome

    async def _prepare(self, held: Reservation | None) -> Call:
        """The call as the scheduler takes it, let in by budgets."""
        scope, model, sampling = self._scope, self._model, self._sampling
        pool, prompt, adapter, path = scope.pool, self._prompt, self.adapter, None
        if pool.models.takes_tokens(model):
            path = await token_path(prompt, pool, model, template_settings(sampling))
        request = Request(
            f"{scope.journal.name}-{self.outcome.id}",
            model,
            prompt.messages,
            prompt.open,
            path if path is None or not self._suffix else (*path, *self._suffix),
            sampling,
            self._tokens,
            self._options,
            scope.cache_salt,
            adapter.name if adapter is not None else "",
            scope.sender,
            scope.program.priority if scope.program is not None else 0,
        )
        # Rendering the prompt may have shown that its template opens thinking.
        self.outcome.inside = begins_inside(prompt, sampling, pool, model)
        call = Call(
            request,
            scope.program_id,
            scope.id,
            scope.stage,
            scope.siblings,
            scope.group,
            path=path,
        )
        call.only = scope.only if adapter is None else adapter.engines
        if path is None:
            call.estimate = pool.text_lengths.tokens(model, call.text_size)
        if scope.batch is not None:
            hashes = call.hashes(pool.engines[0].block_size)
            call.rank = scope.batch.sharing.neighbours.rank(hashes)
        self.outcome.prompt_tokens = prompt_tokens = call.prompt_tokens
        if held is not None:
            call.deadline, call.calls_left, call.tokens_left = left(scope.budgets)
            await self._admit(held, prompt_tokens)
            if held.most_tokens is not None:
                self.outcome.most_tokens = held.most_tokens
                call.request = limited(request, held.most_tokens)
        if self._known is not None:
            self._known.pending = False
        return call

    def _conclude(self, progress: CallProgress) -> None:
        """The call has come to its end."""
        scope, held = self._scope, self.reservation
        if held is not None and held.end is not None:
            raise held.end
        if progress.unopened:
            scope.pool.models.learn_opens_thinking(self._model)
        self._keep(done=True)
        self._hear(self.outcome, whole=True)
        scope.journal.note("done", self.outcome.id, outcome=self.outcome, stored=False)
        if scope.checks is not None and not (self._options or self._tokens or self.adapter):
            given = self._prompt, self._model, self._sampling, self.outcome
            scope.checks.consider(scope, *given)

    async def _find(self, store: Store) -> bool:
        """Take a stored result; whether there is one that is to be taken."""
        scope, held, known = self._scope, self.reservation, None
        stored = store.get(self._key)
        if stored is not None:
            self._known = known = KnownCall(scope, held, self.outcome.id, stored)
            # As when the result was made, so that what does not fit is the same.
            if held is not None:
                await self._admit(held, known.prompt_tokens)
            if known.holds:
                if await known.take(self._prompt, self._model, self._sampling.tools):
                    self._hear(known.outcome, whole=True)
                    scope.journal.note("done", known.outcome.id, outcome=known.outcome, stored=True)
                self.outcome = known.outcome
                return True
        self.outcome.after = now() - scope.journal.last_end
        if scope.replay is not None and not scope.replay.over(stored):
            if known is not None:
                await known.await_turn(scope.replay)
            else:
                if held is not None:
                    held.refuse(scope.pool, self._model, await self._prompt_tokens())
                await scope.replay.await_end(None, None, timeout(scope))
        if scope.program is not None and scope.program.stored:
            scope.program.away_for(self.outcome.after, now())
        return False

    async def _prompt_tokens(self) -> int:
        """Tokens of the prompt, as far as they can be known."""
        pool, model = self._scope.pool, self._model
        if not pool.models.takes_tokens(model):
            size = text_size(self._prompt.messages, self._sampling.tools)
            return pool.text_lengths.tokens(model, size)
        settings = template_settings(self._sampling)
        path = await token_path(self._prompt, pool, model, settings)
        return len(path.tokens) + len(self._suffix)

    async def _admit(self, held: Reservation, prompt_tokens: int) -> None:
        if not held.admitted:
            most = self._sampling.max_tokens
            await held.admit(self._scope.pool, self._model, prompt_tokens, most)

    def _hear_void(self, text: str) -> None:
        self._hear(replace(self.outcome, text=text, read=None))

    def _hear(self, outcome: Outcome, *, whole: bool = False) -> None:
        hear = self._scope.hear
        if hear is not None and outcome.text:
            hear(self._prompt, outcome, whole and outcome.finish_reason != CUT)

    def _keep(self, *, done: bool) -> None:
        scope = self._scope
        scope.spend(self.outcome.usage)
        if scope.store is not None:
            run = None
            if scope.replay is not None:
                run, self.outcome.at = scope.replay.run, scope.replay.clock()
            self.kept = scope.store.put_soon(self._key, self.outcome.record(), done=done, run=run)

    def break_off(self, error: BaseException) -> None:
        """Count and keep what the call cost that did not come to its end."""
        outcome, known, journal, stored = self.outcome, self._known, self._scope.journal, False
        if known is not None and known.taken:
            outcome, stored = known.outcome, True
        if isinstance(error, BudgetExceeded):
            outcome.ended_by, outcome.limit = error.resource, error.limit
        elif not stored:
            outcome.cancelled = not isinstance(error, Exception)
            if outcome.cancelled and self._scope.timeouts:
                self._note_timeout(self._scope.timeouts)
        if outcome.engine and not stored:
            self._keep(done=False)
        elif known is not None and known.pending and self._was_sent(error):
            known.count_lost()
            outcome, stored = known.outcome, True
        elif outcome.ended_by == "timeout" and not stored:
            self._keep(done=False)  # it was not sent, and is not when the run is begun again
        failed = isinstance(error, Exception)
        if isinstance(error, BudgetExceeded):
            error.text, failed = outcome.text, False
        self._hear(outcome)
        more = {"error": str(error), "type": type(error).__name__} if failed else {}
        kind = "failed" if failed else "cancelled"
        journal.note(kind, outcome.id, outcome=outcome, stored=stored, **more)

    def _note_timeout(self, timeouts: tuple[Timeout, ...]) -> None:
        from weft.programs.timeouts import ending  # programs without timeouts do not load it

        if (ended := ending(timeouts)) is not None:
            self.outcome.ended_by, self.outcome.limit = "timeout", ended.seconds

    def _was_sent(self, error: BaseException) -> bool:
        """Whether a call that is broken off before it is sent had been sent the first time."""
        if isinstance(error, BudgetExceeded):
            return self.reservation is not None and self.reservation.admitted
        return not isinstance(error, Exception)


def limited(request: Request, most: int) -> Request:
    """A request whose answer has no more tokens than `most`."""
    return replace(request, sampling=replace(request.sampling, max_tokens=most))
