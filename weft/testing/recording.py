"""Recorded runs as fixtures: recorded once with real engines, replayed without any."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.backends.engine import Engine
from weft.backends.scripted.engine import ScriptedEngine
from weft.backends.scripted.requests import Admitted
from weft.errors import RequestRejected, RunChanged, UsageError
from weft.orchestrator.pool import Pool
from weft.types import Price, Request

if TYPE_CHECKING:
    from weft.store.store import Store

VARIABLE = "WEFT_RECORD"
_ABOUT = "weft.testing: engines of the recording"
"""Under this key a recording has what is to be known of its engines."""
_KEPT = ("model", "name", "context", "takes_tokens", "continues", "calls_tools", "opens_thinking")


@asynccontextmanager
async def recorded(
    path: str | Path, *engines: Engine | str, record: bool | None = None, **options: Any
) -> AsyncGenerator[Pool]:
    """An open pool whose engines answer once, and a file after that.

        async with recorded("fix.db", "http://127.0.0.1:8000") as pool:
            assert (await run(fix, "It crashes.", pool=pool)).value == "a patch"

    With `WEFT_RECORD=1` in the environment the engines answer, and all that they answer is written
    into the file; a file that was there is replaced when the block has ended without an error.
    Else no engine is opened: all calls are answered from the file, with the tokens, times and
    costs of then. What a run with an id did once, and what people said, comes from there too.

    Args:
        path: the file, a SQLite store; keep it beside the tests.
        *engines: as `Pool` takes them.
        record: whether to record; None leaves it to the environment.
        **options: other options of `Pool`, such as `roles`.

    Raises:
        UsageError: there is no recording.
        RunChanged: the program made a call that the recording has no answer for: it has changed,
            and is to be recorded anew.
    """
    path = Path(path)
    if record is None:
        record = os.environ.get(VARIABLE, "") not in ("", "0")
    if record:
        async with _recording(path, engines, options) as pool:
            yield pool
        return
    if not path.is_file():
        raise UsageError(f"there is no recording {path}; run this once with {VARIABLE}=1")
    from weft.store.store import Store

    missed: list[str] = []
    with Store(path) as store:
        stand_ins = [_StandIn(about, path, missed) for about in _known(store, path)]
        try:
            async with Pool(*stand_ins, store=store, **options) as pool:
                yield pool
        except RequestRejected as error:
            if not missed:
                raise
            raise RunChanged(missed[0]) from error
    if missed:  # a strategy goes on without a sample that it can't have
        raise RunChanged(missed[0])


@asynccontextmanager
async def _recording(
    path: Path, engines: tuple[Engine | str, ...], options: dict[str, Any]
) -> AsyncGenerator[Pool]:
    from weft.store.store import Store

    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    try:
        with Store(new) as store:
            async with Pool(*engines, store=store, **options) as pool:
                about = [_about(engine) for engine in pool.engines]
                store.put(_ABOUT, json.dumps(about), done=True)
                yield pool
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _about(engine: Engine) -> dict[str, Any]:
    price = None if engine.price is None else asdict(engine.price)
    return {name: getattr(engine, name) for name in _KEPT} | {"price": price}


def _known(store: Store, path: Path) -> list[dict[str, Any]]:
    """What a recording says of its engines."""
    if (found := store.get(_ABOUT)) is None:
        raise UsageError(f"{path} is a store, and no recording; record it with {VARIABLE}=1")
    return json.loads(found.outcome)


class _StandIn(ScriptedEngine):
    """Has the place of a recorded engine, and answers nothing itself."""

    def __init__(self, about: dict[str, Any], path: Path, missed: list[str]) -> None:
        super().__init__()
        for name in _KEPT:
            setattr(self, name, about[name])
        self.price = None if about["price"] is None else Price(**about["price"])
        self._path, self._missed = path, missed

    def admit(self, request: Request) -> Admitted:
        """Refuse a request, for the recording has no answer."""
        stage = request.sender.stage
        asked = request.messages[-1].content if request.messages else ""
        where = f" in {stage}" if stage else ""
        self._missed.append(
            f"the recording {self._path} has no answer to a call{where} that ends with "
            f"{asked[-100:]!r}: the program has changed; record it anew with {VARIABLE}=1"
        )
        raise RequestRejected(self._missed[-1])
