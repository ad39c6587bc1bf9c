"""Engines behind OpenAI's chat completions, whatever the endpoint takes of them.

Called by `kinds` and by users who open such an engine themselves. To have it understand another
refusal, add to `complaints` what the endpoint says, and to `dialect` what follows. Trades away:
endpoints take text, so neither tokens nor blocks of the KV cache are known exactly.
"""

from weft.backends.openai.engine import OpenAIEngine

__all__ = ["OpenAIEngine"]
