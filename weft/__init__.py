"""weft: programs over inference engines.

Write an agent's workflow or a reasoning strategy as an async function: a program. weft runs the
program on a pool of inference engines, with a scheduler that sees the whole program.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from weft.backends.scripted.engine import ScriptedEngine
from weft.orchestrator.pool import Pool
from weft.programs import (
    Completion,
    Limits,
    Prompt,
    Run,
    ask_person,
    budget,
    fan_out,
    generate,
    node,
    once,
    program,
    run,
    run_sync,
    score,
    sleep,
    waiting,
)
from weft.types import ToolCall, ToolResult

if TYPE_CHECKING:
    from weft.programs.batches.batch import batch
    from weft.programs.calls.count import count
    from weft.programs.gather import gather
    from weft.programs.media import file, image
    from weft.programs.runs.running import Running, start
    from weft.programs.tools.marking import tool
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
    "ToolCall",
    "ToolResult",
    "ask_person",
    "batch",
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
    "tool",
    "waiting",
]


_LATER = {
    "Running": "weft.programs.runs.running",
    "Store": "weft.store.store",  # brings a database's library
    "batch": "weft.programs.batches.batch",
    "count": "weft.programs.calls.count",
    "file": "weft.programs.media",
    "gather": "weft.programs.gather",
    "image": "weft.programs.media",
    "start": "weft.programs.runs.running",
    "tool": "weft.programs.tools.marking",
}
"""What not every program needs is loaded when it is asked for: an import stays quick."""


def __getattr__(name: str) -> Any:
    if name in _LATER:
        globals()[name] = value = getattr(import_module(_LATER[name]), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
