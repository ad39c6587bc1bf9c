"""pydantic-ai over a Pool."""

from __future__ import annotations

from typing import Any

from weft.extras import need

need("pydantic-ai", "weft.frameworks.pydantic_ai")

from pydantic_ai.models.openai import OpenAIChatModel  # noqa: E402
from pydantic_ai.providers.openai import OpenAIProvider  # noqa: E402

from weft.frameworks.transport import pool_client  # noqa: E402


class PydanticAIModel(OpenAIChatModel):
    """A pool's model for agents of pydantic-ai.

        agent = Agent(PydanticAIModel(), tools=[read])
        done = await run(ask, "What is in a.txt?", pool=pool)  # where ask awaits agent.run(...)

    Args:
        role: which of the pool's models answers: a role, or the name of a model.
        **settings: as `OpenAIChatModel` takes them: `profile`, `settings`.
    """

    def __init__(self, role: str = "solver", **settings: Any) -> None:
        provider = OpenAIProvider(openai_client=pool_client())
        super().__init__(role, provider=provider, **settings)
