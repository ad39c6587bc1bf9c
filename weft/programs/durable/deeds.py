"""Deeds: what a run does once, however often the run is begun again."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from pydantic import PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from weft.concurrency import now
from weft.errors import RunChanged, UsageError
from weft.programs.budgets.budget import timeout

if TYPE_CHECKING:
    from weft.programs.scope import Scope
    from weft.store.kept_runs import Deed, KeptRuns
    from weft.store.store import Store, StoredResult


Mark = tuple[str, list[dict[str, int]]]
"""A branch, and what was counted in it."""


class Deeds:
    """The deeds of a run with an id.

    Args:
        store: has their results, among those of calls, so that all come back in their order.
        kept: what is kept of runs.
        id: of the run.

    Attributes:
        kept: the same.
        id: the same.
    """

    def __init__(self, store: Store, kept: KeptRuns, id: str) -> None:
        self.kept, self.id = kept, id
        self._store = store
        self._lines = lines(kept, id)
        self._occurrences: Counter[str] = Counter()
        self._fan_outs: Counter[str] = Counter()
        self._asked: set[str] = set()

    def branches(self, branch: str) -> Iterator[str]:
        """The names of the branches of the next fan-out in a branch; the same in each process."""
        self._fan_outs[branch] += 1
        fan_out = f"{branch}/{self._fan_outs[branch]}"
        return (f"{fan_out}.{number}" for number in itertools.count(1))

    def key(self, branch: str, kind: str, name: str, arguments: str) -> str:
        """What tells a deed from the others of the run: the same done again is another deed."""
        asked = f"{branch}\0{kind}\0{name}\0{arguments}"
        self._occurrences[asked] += 1
        return _digest(asked, str(self._occurrences[asked]))

    def mark(self, branch: str) -> Mark:
        """What was counted in a branch by now, for `reset`."""
        counts = self._occurrences, self._fan_outs
        return branch, [_within(one, branch) for one in counts]

    def reset(self, mark: Mark) -> None:
        """Go back to a mark: what was done since is known again when it is asked for again."""
        branch, counts = mark
        for counted, before in zip((self._occurrences, self._fan_outs), counts, strict=True):
            for key in _within(counted, branch):
                del counted[key]
            counted.update(before)

    def own_key(self, name: str, key: str) -> str:
        """The same where the program tells its deeds apart itself."""
        return _digest("own", name, key)

    def stored(self, key: str) -> StoredResult | None:
        """The result of a deed, of this run or of the one that it goes on from."""
        self._asked.add(key)
        for id, limit in self._lines:
            known = self.kept.deed(id, key)
            if known is not None and (limit is None or known.order < limit):
                found = self._store.get(_digest(id, key))
                if found is not None:
                    return found
        return None

    def put(
        self, deed: Deed, value: str, at: float, after: float, run: str | None, spent: object = ()
    ) -> None:
        """Keep the result of a deed, a JSON text, and what it cost."""
        record = f'{{"at": {at}, "after": {after}, "spent": {json.dumps(spent)}, "value": {value}}}'
        self._store.put(_digest(self.id, deed.key), record, done=True, run=run)
        self.kept.change_deed(deed, state="done", said="")

    def left_out(self, branch: str) -> list[Deed]:
        """What a branch of the run has done before and has not asked for now."""
        every = history(self.kept, self.id)
        # What was only looked at may be looked at anew, or not any more.
        done = [deed for deed in every if deed.state == "done" and deed.kind != "seen"]
        return [deed for deed in done if deed.branch == branch and deed.key not in self._asked]


def _within(counts: Counter[str], branch: str) -> dict[str, int]:
    """Of counts, those of a branch and of the branches within it."""
    inside = (f"{branch}\0", f"{branch}/")
    return {key: n for key, n in counts.items() if key == branch or key.startswith(inside)}


def lines(kept: KeptRuns, id: str) -> list[tuple[str, int | None]]:
    """A run and those that it goes on from, each with the order before which its deeds count."""
    found: list[tuple[str, int | None]] = [(id, None)]
    run = kept.get(id)
    while run is not None and run.fork_of is not None:
        earlier = found[-1][1]
        at = run.fork_at if earlier is None or run.fork_at is None else min(run.fork_at, earlier)
        found.append((run.fork_of, at))
        run = kept.get(run.fork_of)
    return found


def history(kept: KeptRuns, id: str) -> list[Deed]:
    """The deeds of a run, those of the runs that it goes on from first."""
    return [
        deed
        for line, limit in reversed(lines(kept, id))
        for deed in kept.deeds(line)
        if limit is None or deed.order < limit
    ]


def _digest(*parts: str) -> str:
    return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()


async def result_of(
    scope: Scope,
    deeds: Deeds,
    key: str,
    begin: Callable[[], Deed],
    act: Callable[[Deed], Awaitable[str]],
) -> str:
    """The result of a deed, as JSON: the kept one when its turn comes, or that of `act`.

    Args:
        scope: where in which run.
        deeds: of the run.
        key: of the deed.
        begin: keeps that the deed begins.
        act: does it.

    Raises:
        RunChanged: the run does something new though it did something else before.
        Exception: whatever `act` raises; the deed is then done anew when the run is resumed.
    """
    replay, journal = scope.replay, scope.journal
    stored = deeds.stored(key)
    after = now() - journal.last_end
    if stored is not None:
        record: dict[str, Any] = json.loads(stored.outcome)
        if scope.doing is not None:
            scope.doing.calls = True  # how long looking up takes says nothing of the tool
        if replay is not None:
            await replay.await_due(stored, record["at"], timeout(scope))
        journal.last_end = now()
        return json.dumps(record["value"])
    if replay is not None and not replay.over(None):
        await replay.await_end(None, None, timeout(scope))
    deed = begin()
    if left := deeds.left_out(scope.branch):
        deeds.kept.change_deed(deed, state="failed", said="the program has changed")
        raise RunChanged(
            f"run {deeds.id!r} did {described(left[0])} before, and now does {described(deed)} "
            "instead: its program has changed; start another run, or fork this one from where "
            "they differ (weft runs fork)"
        )
    try:
        value = await act(deed)
        deeds.put(
            deed,
            value,
            replay.clock() if replay is not None else 0.0,
            after,
            replay.run if replay is not None else None,
        )
    except Exception as error:
        deeds.kept.change_deed(deed, state="failed", said=f"{type(error).__name__}: {error}")
        raise
    journal.last_end = now()
    return value


def described(deed: Deed, width: int = 80) -> str:
    """A deed in a few words, such as `send({"to": "me"})`."""
    if deed.kind == "person":
        said = f"ask {deed.name!r}"
    elif deed.kind == "sleep":
        said = f"sleep({deed.arguments})"
    else:
        said = f"{deed.name}({deed.arguments})"
    return said if len(said) <= width else said[: width - 4] + " ..."


def plain_json(value: Any, what: str) -> str:
    """A value as JSON.

    Raises:
        UsageError: JSON can't say it.
    """
    try:
        return json.dumps(json.loads(to_json(value)), sort_keys=True, ensure_ascii=False)
    except (PydanticSerializationError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(
            f"{what} can't be kept as JSON ({reason}); use plain values, dataclasses or models"
        ) from None


class Kind:
    """The type of a result that is kept as JSON.

    Args:
        of: any type that pydantic knows; Any for plain JSON.
        what: for messages.

    Raises:
        UsageError: pydantic can't write and read values of this type.
    """

    def __init__(self, of: Any, what: str) -> None:
        self._what, self._of = what, of
        try:
            self._adapter: TypeAdapter[Any] = TypeAdapter(of)
        except PydanticUserError as error:
            reason = str(error).partition("\n")[0]
            raise UsageError(f"{what}: {of!r} can't be kept as JSON ({reason})") from None

    def write(self, value: Any) -> str:
        """A result as JSON.

        Raises:
            UsageError: the result is not of the type, or JSON can't say it.
        """
        try:
            text = self._adapter.dump_json(value, warnings="error").decode()
            self._adapter.validate_json(text)
        except (PydanticSerializationError, ValidationError, ValueError) as error:
            raise UsageError(
                f"{self._what} gave {value!r:.80}, which can't be kept as {self._named()} "
                f"({_reason(error)}); return what its annotation says"
            ) from None
        return text

    def read(self, text: str) -> Any:
        """A result that was kept.

        Raises:
            RunChanged: it is not of the type now.
        """
        try:
            return self._adapter.validate_json(text)
        except ValidationError as error:
            raise RunChanged(
                f"the kept result of {self._what} is no {self._named()} any more "
                f"({_reason(error)}); start another run, or fork this one before it"
            ) from None

    def answer(self, text: str) -> str:
        """What a person wrote, as the JSON of a value of the type.

        Raises:
            ValueError: it is none; the message says why.
        """
        first = ""
        for read in (self._adapter.validate_python, self._adapter.validate_json):
            try:
                return self._adapter.dump_json(read(text)).decode()
            except ValidationError as error:
                first = first or _reason(error)
        raise ValueError(first)

    def schema(self) -> str:
        """Its JSON schema; empty if there is none."""
        try:
            return json.dumps(self._adapter.json_schema())
        except PydanticUserError:
            return ""

    def _named(self) -> str:
        return getattr(self._of, "__name__", None) or str(self._of)


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        return f"{where}: {first['msg']}" if where else first["msg"]
    return str(error).partition("\n")[0]
