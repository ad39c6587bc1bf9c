"""What spans say of programs, calls and tools, by OpenTelemetry's conventions for generative AI.

The service's spans and those of runs in the library say the same under the same names. Nothing here
imports OpenTelemetry. What prompts, answers and errors say is in no span.
"""

from __future__ import annotations

Attributes = dict[str, str | int | float | bool]


def agent_span(
    name: str, conversation: str, *, prompt: int, generated: int, cached: int
) -> tuple[str, Attributes]:
    """The name and the attributes of a program's span.

    Args:
        name: of the program.
        conversation: the program's id, as engines are told it.
        prompt: tokens of its prompts.
        generated: tokens that engines generated for it.
        cached: prompt tokens that engines had in their caches.
    """
    return f"invoke_agent {name}", {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": "weft",
        "gen_ai.agent.name": name,
        "gen_ai.conversation.id": conversation,
        **_usage(prompt, generated, cached),
    }


def call_span(
    operation: str,
    model: str,
    conversation: str,
    id: str,
    outcome: str,
    *,
    prompt: int,
    generated: int,
    cached: int,
    attempts: int,
    waited: float,
    first: float | None,
    engine: str,
    reason: str,
) -> tuple[str, Attributes]:
    """The name and the attributes of a call's span.

    Args:
        operation: `chat`, `text_completion` or `embeddings`.
        model: that was asked.
        conversation: id of its program.
        id: the call's own.
        outcome: how it ended.
        prompt: tokens of its prompt.
        generated: tokens of its answer, kept or not.
        cached: prompt tokens that the engine had in its cache.
        attempts: how often it was sent to an engine.
        waited: seconds for which it waited for an engine.
        first: seconds to its first token; None if none came.
        engine: where it ran; empty if it did not.
        reason: why there.
    """
    attributes: Attributes = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "weft",
        "gen_ai.request.model": model,
        "gen_ai.conversation.id": conversation,
        **_usage(prompt, generated, cached),
        "weft.call.id": id,
        "weft.call.attempts": attempts,
        "weft.call.outcome": outcome,
        "weft.call.wait": waited,
    }
    if engine:
        attributes["weft.engine"] = engine
        attributes["weft.placement.reason"] = reason
    if first is not None:
        attributes["gen_ai.response.time_to_first_chunk"] = first
    return f"{operation} {model}", attributes


def tool_span(name: str, call: str) -> tuple[str, Attributes]:
    """The name and the attributes of a tool's span.

    Args:
        name: of the tool.
        call: id under which the model called it.
    """
    return f"execute_tool {name}", {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": name,
        "gen_ai.tool.call.id": call,
        "gen_ai.tool.type": "function",
    }


def _usage(prompt: int, generated: int, cached: int) -> Attributes:
    return {
        "gen_ai.usage.input_tokens": prompt,
        "gen_ai.usage.output_tokens": generated,
        "gen_ai.usage.cache_read.input_tokens": cached,
    }
