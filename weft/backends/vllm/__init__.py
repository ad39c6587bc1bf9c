"""Engines that are vLLM servers, spoken to in token ids.

Called by `kinds` and by users who open such an engine themselves. To use more of a server's
API, extend `engine`; `kv_events` follows what the server's cache holds. Trades away: what a
server does otherwise than vLLM is an error here, not a dialect.
"""

from weft.backends.vllm.engine import VLLMEngine

__all__ = ["VLLMEngine"]
