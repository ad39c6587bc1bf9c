"""The OpenAI Agents SDK over a Pool."""

from __future__ import annotations

from weft.extras import need

need("openai-agents", "weft.frameworks.openai_agents")

from agents import Model, ModelProvider, OpenAIChatCompletionsModel  # noqa: E402

from weft.frameworks.transport import pool_client  # noqa: E402


class AgentsModel(OpenAIChatCompletionsModel):
    """A pool's model for agents of the OpenAI Agents SDK.

        agent = Agent(name="reader", model=AgentsModel(), tools=[read])
        done = await run(ask, "What is in a.txt?", pool=pool)  # where ask awaits Runner.run(...)

    Args:
        role: which of the pool's models answers: a role, or the name of a model.
    """

    def __init__(self, role: str = "solver") -> None:
        super().__init__(role, pool_client())


class AgentsModels(ModelProvider):
    """The pool's models by their names, for `RunConfig(model_provider=AgentsModels())`."""

    def get_model(self, model_name: str | None) -> Model:
        """The model of a name, or of a role; the solver if an agent names none."""
        return AgentsModel(model_name or "solver")
