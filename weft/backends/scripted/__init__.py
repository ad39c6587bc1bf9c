"""A deterministic engine that answers by a script, with a prefix cache and a clock.

Called by tests, examples, and the mock server. To script more, extend `script`. Trades away:
answers come from rules, so nothing is said of a model's quality.
"""

from weft.backends.scripted.engine import Scripted, ScriptedEngine, ToolCall

__all__ = ["Scripted", "ScriptedEngine", "ToolCall"]
