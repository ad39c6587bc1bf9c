"""What can be done with runs from outside: answer, cancel, fork, forget."""

from __future__ import annotations

import time
from typing import cast

from weft.errors import UnknownName, UsageError
from weft.programs.durable.deeds import history
from weft.programs.durable.named_run import alive, check_id
from weft.store.kept_runs import Deed, KeptRun, KeptRuns
from weft.store.store import Store


def known(kept: KeptRuns, id: str) -> KeptRun:
    """A run by its id.

    Raises:
        UnknownName: there is none.
    """
    if (run := kept.get(id)) is None:
        raise UnknownName("run", id, [run.id for run in kept.all()])
    return run


def answer(store: Store, run: str, text: str, *, deed: int | None = None) -> Deed:
    """Answer a question that a run asks a person (`ask_person`).

    The run reads the answer within about a second if its process lives, and else when the run is
    resumed. A text that is no answer of the type that is wanted leaves the question open.

    Args:
        store: where the run is kept.
        run: its id.
        text: the answer.
        deed: the number of the question among the run's deeds, if several are open.

    Returns:
        the question.

    Raises:
        UsageError: no question is open, or several are; there is no such run.
        StoreError: the store can't be written.
    """
    kept = KeptRuns(store.database)
    known(kept, run)
    if not isinstance(cast(object, text), str):
        raise UsageError(f"an answer must be a text, not {text!r}")
    numbered = enumerate(history(kept, run), 1)
    asked = [(number, one) for number, one in numbered if one.kind == "person"]
    wanted = [(n, one) for n, one in asked if one.state == "waiting" and deed in (None, n)]
    if not wanted:
        given = [one for n, one in asked if one.state == "answered" and deed in (None, n)]
        why = "has an answer that it has not read yet" if given else "asks nothing now"
        which = f"deed {deed} of run {run!r}" if deed is not None else f"run {run!r}"
        raise UsageError(f"{which} {why}; see `weft runs show {run}`")
    if len(wanted) > 1:
        listed = "; ".join(f"{number}: {one.name}" for number, one in wanted)
        raise UsageError(f"run {run!r} asks several things; name one by its number: {listed}")
    kept.change_deed(wanted[0][1], state="answered", said=text)
    return wanted[0][1]


def cancel(store: Store, run: str) -> bool:
    """Cancel a run, which may run in another process; whether it does.

    A run that runs ends within about two seconds, its calls are aborted in their engines.

    Raises:
        UsageError: there is no such run, or it has ended.
        StoreError: the store can't be written.
    """
    kept = KeptRuns(store.database)
    found = known(kept, run)
    if alive(found):
        kept.cancel(run)
        return True
    if found.state in ("done", "cancelled"):
        raise UsageError(f"run {run!r} is {found.state} already")
    kept.end(run, "cancelled", found.said, found.usage, owner=found.owner)
    return False


def fork(store: Store, run: str, new: str, *, at: int) -> KeptRun:
    """Make a run that goes on from another one: what that did before deed `at` is done.

    The fork is run by `run(..., id=new)` or `weft runs resume`. It has the arguments of the run,
    and may have a changed program. Calls with the same prompts come from the store, as in any
    run.

    Args:
        store: where the run is kept.
        run: its id.
        new: the id of the fork.
        at: the number of the first deed that the fork does anew, from 1.

    Raises:
        UsageError: there is no such run or deed, or `new` is the id of a run.
        StoreError: the store can't be written.
    """
    kept = KeptRuns(store.database)
    found = known(kept, run)
    check_id(new)
    deeds = history(kept, run)
    if not 1 <= at <= len(deeds) + 1:
        told = f"1 to {len(deeds) + 1}" if deeds else "1, for it has done nothing yet"
        raise UsageError(f"at={at} must be the number of a deed of run {run!r}: {told}")
    first = deeds[at - 1] if at <= len(deeds) else None
    now = time.time()
    made = found._replace(
        id=new,
        state="forked",
        began=now,
        changed=now,
        owner="",
        cancel=False,
        said="",
        usage="",
        fork_of=first.run if first is not None else run,
        fork_at=first.order if first is not None else None,
    )
    if not kept.add(made):
        raise UsageError(f"there is a run {new!r} already; use another id for the fork")
    return made


def forget(store: Store, run: str) -> None:
    """Forget a run and what it did once; results of its calls stay in the store.

    Raises:
        UsageError: there is no such run, it runs, or a fork goes on from it.
        StoreError: the store can't be written.
    """
    kept = KeptRuns(store.database)
    if alive(known(kept, run)):
        raise UsageError(f"run {run!r} is running; cancel it first")
    if forks := [one.id for one in kept.all() if one.fork_of == run]:
        raise UsageError(f"run {forks[0]!r} goes on from {run!r}; forget that one first")
    kept.forget(run)
