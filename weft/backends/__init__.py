"""Inference engines: the contract in `engine`, and what fulfils the contract.

Called by the scheduler, which binds calls to engines, and by `kinds`, which makes engines from
words. To add an engine, fulfil `Engine` in a module of its own and give the class a spec; the
rooms below hold what is more than one file. Trades away: an engine knows nothing of programs,
so whatever depends on them is the scheduler's.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from weft.backends.engine import Engine
    from weft.backends.kinds.kind import EngineKind, engine_kind
    from weft.types import Delta, Request

__all__ = ["Delta", "Engine", "EngineKind", "Request", "engine_kind"]

_HOMES = {
    "Delta": "weft.types",
    "Engine": "weft.backends.engine",
    "EngineKind": "weft.backends.kinds",
    "Request": "weft.types",
    "engine_kind": "weft.backends.kinds",
}


def __getattr__(name: str) -> Any:
    # Nothing is loaded for those who want one of the modules here alone.
    if (home := _HOMES.get(name)) is not None:
        return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
