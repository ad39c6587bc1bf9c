"""Engines by their spec: `http://host:port`, `openai:model`, `mine.py:Engine(...)`.

Called by whatever reads the word of a user for an engine: command line, suites, service. To add
a kind, mark a class `@engine_kind`; weft's own stand in `own`. Trades away: a spec is one line, so
an engine that needs more is opened in Python.
"""

from weft.backends.kinds.kind import KINDS, EngineKind, engine_kind

__all__ = ["KINDS", "EngineKind", "engine_kind"]
