"""`/v1/chat/completions`."""

from __future__ import annotations

from typing import Any, cast

from weft.service.protocols.openai import OpenAIProtocol
from weft.service.protocols.protocol import Body
from weft.service.protocols.reading import (
    count_problem,
    member_bytes,
    messages_problem,
    model_problem,
    role_bytes,
    stream_problem,
    tools_piece,
    tools_problem,
)

# What chat templates write of a message besides its role and content.
_RENDERED = frozenset(
    ("name", "tool_calls", "tool_call_id", "reasoning", "reasoning_content", "function_call")
)


class Chat(OpenAIProtocol):
    """OpenAI's chat completions.

    Messages stay where they are, those of the system too: hoisting a later one to the front
    would change the prefix of all that follows.
    """

    path = "/v1/chat/completions"

    def check(self, body: Body) -> str:
        """See Protocol."""
        return (
            model_problem(body)
            or messages_problem(body)
            or stream_problem(body)
            or count_problem(body, "max_tokens")
            or count_problem(body, "max_completion_tokens")
            or tools_problem(body)
        )

    def pieces(self, body: Body) -> list[bytes]:
        """See Protocol."""
        pieces = tools_piece(body)
        for message in cast(list[dict[str, Any]], body["messages"]):
            piece = role_bytes(message)
            if len(message) > 2:
                for key in message:
                    if key in _RENDERED and message[key]:
                        piece += member_bytes(key, message[key])
            pieces.append(piece)
        return pieces
