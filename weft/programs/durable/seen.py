"""seen: what a program looks up in a world that changes, so that a rerun sees what it saw."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import Any

from weft.concurrency import now
from weft.programs.budgets.budget import timeout
from weft.programs.scope import enter, running
from weft.programs.spending import Spent, spent_before


async def seen(
    name: str, arguments: str, look: Callable[[], Awaitable[str]], *, version: str = ""
) -> str:
    """What `look` gives, or what it gave when this run, or one like it, looked before.

    A run with an id that is begun again sees what it saw, whatever has become of the world. Looking
    has no effects: so a program that looks up something else than before is not refused, as one is
    that does something else (`RunChanged`), and what failed is looked up anew. The same asked again
    in a run is another look, for the program may have changed the world meanwhile.

    A run without an id takes what the Store has of the same question about the same version of the
    world; if the version is not known, what the same program saw when it asked for the same the
    same time.

    Args:
        name: of what is looked into.
        arguments: what is asked of it.
        look: looks; gives JSON.
        version: of the world; empty if that is not known.

    Raises:
        StoreError: the Store can't be read or written.
        Exception: whatever `look` raises; nothing is kept then.
    """
    scope = running()
    store = scope.store if scope is not None else None
    if scope is None or store is None:
        return await look()
    deeds, replay, journal = scope.deeds, scope.replay, scope.journal
    if deeds is not None:
        key = deeds.key(scope.branch, "seen", name, arguments)
        stored = deeds.stored(key)
    else:
        parts = ["seen", name, arguments]
        if version:
            parts += ["", version]
        elif scope.program is None:  # outside any run there is nothing that could run again
            return await look()
        else:
            parts.append(scope.program.name)
            parts.append(str(journal.occurrence("\0".join(parts).encode("utf-8", "replace"))))
        key = _digest(parts)
        stored = store.get(key)
    if stored is not None:
        record: dict[str, Any] = json.loads(stored.outcome)
        if scope.doing is not None:
            scope.doing.calls = True  # how long looking up takes says nothing of the tool
        if replay is not None:
            await replay.await_due(stored, record["at"], timeout(scope))
        spent_before(scope, record.get("spent", ()))
        journal.last_end = now()
        return json.dumps(record["value"])
    after = now() - journal.last_end
    paid: list[Spent] = []
    with enter(scope.but(paid=paid)):
        value = await look()
    at = replay.clock() if replay is not None else 0.0
    run = replay.run if replay is not None else None
    if deeds is not None:
        deed = deeds.kept.begin_deed(deeds.id, key, scope.branch, "seen", name, arguments, "begun")
        deeds.put(deed, value, at, after, run, paid)
    else:
        record = {"at": at, "after": after, "value": json.loads(value), "spent": paid}
        store.put(key, json.dumps(record), done=True, run=run)
    journal.last_end = now()
    return value


def _digest(parts: list[str]) -> str:
    return blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=20).hexdigest()
