"""batch: one program over many inputs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from weft.errors import UsageError
from weft.orchestrator.pool import Pool
from weft.programs.batches.sharing import BatchPlace, Sharing
from weft.programs.fan_out import fan_out
from weft.programs.nodes import awaitable, check_awaited, close_unused, stands_for, underlying
from weft.programs.runs import Run, check_runnable, run
from weft.programs.scope import Scope, current, enter
from weft.programs.scope.declaration import NOTHING_DECLARED, declared
from weft.programs.scope.observed import Observed

Item = TypeVar("Item")
T = TypeVar("T")


@dataclass(frozen=True)
class BatchRun(Run[list[T | Exception]]):
    """A run of one program over many inputs.

    Attributes:
        shared: calls that were answered by an equal call of another input.
        value: for each input, in their order, what the program returned, or the error that it
            ended with.
    """

    shared: int = 0

    @property
    def errors(self) -> dict[int, Exception]:
        """The errors, each by the place of its input."""
        return {at: one for at, one in enumerate(self.value) if isinstance(one, Exception)}


async def batch(
    program: Callable[[Item], Awaitable[T]],
    inputs: Iterable[Item],
    *,
    pool: Pool,
    limit: int | None = None,
    on_result: Callable[[int, T | Exception], None] | None = None,
    **options: Any,
) -> BatchRun[T]:
    """Run `program` on every input, as one run of which the scheduler sees the whole.

        done = await batch(answer, questions, pool=pool, store=store, id="monday")

    What inputs have in common is computed once: a call with temperature 0 or a seed, or a score,
    that another input makes too is made by one of them, and costs the others nothing. Calls whose
    prompts begin alike are served one after the other, while their beginning is cached. (Halo,
    2025, and Helium, 2026, do so for declared graphs over batches.) The batch is one program to
    the scheduler, with as many expected calls as its inputs have declared together. Its calls
    yield to programs with less work.

    An input that fails harms no other; its error stands in its place. Where a budget ends, so do
    the inputs that it does not suffice for: each has a `BudgetExceeded` in its place. With a
    store, a batch that was interrupted goes on where it was.

    Args:
        program: an async function of one input, usually marked `@program`.
        inputs: the inputs.
        pool: the engines; the pool must be open.
        limit: how many inputs are under way at once. None begins with all of them: what is
            common is then found best, but most inputs end late. Where a budget may end before
            the batch, a limit sees to it that inputs are finished rather than begun.
        on_result: told of every input that has ended: its place, and its result or error.
        **options: options of `run`, such as `budget` for the whole, `store`, `id` and `roles`.
            With an id the inputs are kept as JSON.

    Raises:
        UsageError: an argument is of the wrong kind.
        RunCancelled: another process has cancelled the batch, by its id.
    """
    check_runnable("batch", program, pool)
    if not isinstance(cast(object, inputs), Iterable) or isinstance(inputs, str):
        raise UsageError(f"batch takes a program and a list of inputs, not {inputs!r:.60}")
    given = list(inputs)
    if given and hasattr(given[0], "__await__"):
        for made in given:
            close_unused(made)
        raise UsageError("batch calls the program itself: give the inputs, not calls of it")
    starts = underlying(program)
    name = getattr(starts, "__name__", None) or "program"
    declares, sharing = declared(starts), Sharing()
    results: list[Any] = [None] * len(given)

    @stands_for(program, name)
    async def one(numbered: tuple[int, Item]) -> None:
        at, item = numbered
        scope = current()
        place = scope.but(starts=starts, batch=BatchPlace(sharing, at))
        if declares is not NOTHING_DECLARED:
            place = _observed(place, name, at, declares)
        with enter(place):
            made = awaitable(program(item), "batch's", program)
            try:
                results[at] = value = await made
                check_awaited(value, name)
            except Exception as error:
                results[at] = error
        if place.observed is not None and place.observed is not scope.observed:
            place.journal.differ(place.observed.end())
        if on_result is not None:
            on_result(at, results[at])

    async def over_inputs(inputs: list[Item]) -> list[Any]:
        own = current().program
        if own is not None:
            own.expected_calls = _times(declares.calls, len(given))
            own.expected_tokens = _times(declares.tokens, len(given))
        async with fan_out(one, enumerate(given), limit=limit) as done:
            async for _ in done:
                pass
        return results

    over_inputs.__name__ = f"{name}_batch"
    done = await run(over_inputs, given, pool=pool, **options)
    return BatchRun(
        done.value, done.usage, done.events, done.seconds, done.differences, sharing.shared
    )


def _observed(scope: Scope, name: str, at: int, declares: Any) -> Scope:
    """Where it is seen whether an input's run is as the program has declared."""
    return scope.but(observed=Observed(declares, scope.child(name, str(at), declares)))


def _times(one: int | None, inputs: int) -> int | None:
    return None if one is None else one * inputs
