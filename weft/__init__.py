"""weft: programs over inference engines.

Write an agent's workflow or a reasoning strategy as an async function: a program. weft runs the
program on a pool of inference engines, with a scheduler that sees the whole program.
"""

from typing import TYPE_CHECKING, Any

from weft.backends.scripted.engine import ScriptedEngine
from weft.orchestrator.pool import Pool
from weft.programs import (
    Completion,
    Limits,
    Prompt,
    Run,
    Running,
    ask_person,
    budget,
    count,
    fan_out,
    file,
    gather,
    generate,
    image,
    node,
    once,
    program,
    run,
    run_sync,
    score,
    sleep,
    start,
    waiting,
)

if TYPE_CHECKING:
    from weft.store.store import Store

__version__ = "0.1.0"

__all__ = [
    "Completion",
    "Limits",
    "Pool",
    "Prompt",
    "Run",
    "Running",
    "ScriptedEngine",
    "Store",
    "ask_person",
    "budget",
    "count",
    "fan_out",
    "file",
    "gather",
    "generate",
    "image",
    "node",
    "once",
    "program",
    "run",
    "run_sync",
    "score",
    "sleep",
    "start",
    "waiting",
]


def __getattr__(name: str) -> Any:
    # A store brings a database's library, which programs without one need not load.
    if name == "Store":
        from weft.store.store import Store

        return Store
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
