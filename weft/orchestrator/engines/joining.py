"""Joining: engines on their way into a pool that is open."""

from __future__ import annotations

import logging
from collections.abc import Callable

import anyio
import anyio.abc

from weft.backends.checks import check_facts
from weft.backends.engine import Engine
from weft.errors import EngineError, EngineUnavailable, PartFailed, UsageError
from weft.parts.faults import blaming

_log = logging.getLogger(__name__)
_LONGEST_REST = 10.0  # seconds between attempts to reach an engine


class Joining:
    """Takes in engines once they can be reached.

    Args:
        group: the tasks of the pool; once the group is cancelled, no engine joins.
        take_in: called with each engine that is connected.
    """

    def __init__(self, group: anyio.abc.TaskGroup, take_in: Callable[[Engine], None]) -> None:
        self._group, self._take_in = group, take_in
        self._scopes: dict[str, anyio.CancelScope] = {}

    @property
    def names(self) -> list[str]:
        """Of the engines that could not be reached yet."""
        return list(self._scopes)

    async def add(self, engine: Engine) -> bool:
        """Take an engine in, or as soon as the engine can be reached.

        Returns:
            whether the engine is there now.

        Raises:
            UsageError: one of its name is on its way.
            NotAnEngine, WrongModel: it is not what it should be.
        """
        if engine.name in self._scopes:
            raise same_name(engine.name)
        try:
            await connect(engine)
        except EngineUnavailable as error:
            _log.warning("%s", error)
            self._scopes[engine.name] = anyio.CancelScope()
            self._group.start_soon(self._join, engine)
            return False
        self._welcome(engine)
        return True

    def give_up(self, name: str) -> bool:
        """Have an engine not join after all; whether one of this name was to."""
        if name not in self._scopes:
            return False
        self._scopes[name].cancel()
        return True

    def _welcome(self, engine: Engine) -> None:
        self._take_in(engine)
        _log.info("%s serves %s", engine.name, engine.model)

    async def _join(self, engine: Engine) -> None:
        rest, joined = 0.5, False
        with self._scopes[engine.name]:
            while True:
                await anyio.sleep(rest)
                rest = min(2 * rest, _LONGEST_REST)
                try:
                    await connect(engine)
                except EngineUnavailable:
                    continue
                except (EngineError, PartFailed) as error:
                    _log.error("%s is left out: %s", engine.name, error)
                else:
                    self._welcome(engine)
                    joined = True
                break
        del self._scopes[engine.name]
        if not joined:
            await close(engine)


async def connect(engine: Engine) -> None:
    """Reach an engine; what is wrong with a user's class is put down to it."""
    with blaming("engine", type(engine)):
        await engine.connect()
    check_facts(engine)


async def close(engine: Engine) -> None:
    """Let go of an engine; what a user's class raises then is logged, for all is done."""
    try:
        with blaming("engine", type(engine)):
            await engine.aclose()
    except PartFailed as error:
        _log.warning("%s, when it was closed", error)


def same_name(name: str) -> UsageError:
    """The error for two engines of one name."""
    return UsageError(
        f"engines need different names, but {name!r} is there twice; give each a `name` of its own"
    )
