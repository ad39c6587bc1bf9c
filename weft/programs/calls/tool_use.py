"""A call with tools: how the model is told of them, and what it calls in its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from weft.errors import RequestRejected, Unsupported, UsageError
from weft.parsers.tool_calls import read_calls
from weft.programs.calls.call import call
from weft.programs.history.outcome import Outcome
from weft.programs.prompt import Prompt
from weft.programs.scope import Scope
from weft.programs.tools.calls import checked, numbered
from weft.programs.tools.marking import Tool, tools_of
from weft.programs.tools.told import ANSWER_ALONE, read_told, told_prompt, told_schema
from weft.types import Message, Sampling, ToolCall

_CHOICES = ("auto", "none", "required")


@dataclass(frozen=True, slots=True)
class ToolUse:
    """The tools of a call.

    Attributes:
        tools: by name.
        choice: which of them is to be called, as `Sampling.tool_choice`.
    """

    tools: Mapping[str, Tool]
    choice: str | None

    @classmethod
    def of(cls, tools: Sequence[object], choice: object) -> ToolUse:
        """What was given to `generate`.

        Raises:
            UsageError: there is no such tool, or one is no tool.
        """
        found = tools_of(tools)
        name = choice if isinstance(choice, str) else None
        if choice is not None and name is None:
            (name,) = tools_of([choice])
        if name is not None and not found:
            raise UsageError(f"tool_choice={name!r} needs tools to choose from; give tools=[...]")
        if name is not None and name not in found and name not in _CHOICES:
            raise UsageError(
                f"tool_choice={name!r} must be 'auto', 'none', 'required' or one of the tools: "
                f"{', '.join(found)}"
            )
        return cls(found, name)

    @property
    def definitions(self) -> tuple[dict[str, Any], ...]:
        """The tools in OpenAI's form."""
        return tuple([one.definition for one in self.tools.values()])

    def into(self, sampling: Sampling) -> Sampling:
        """The settings of a call that has these tools."""
        return replace(sampling, tools=self.definitions, tool_choice=self.choice)

    async def call(
        self, scope: Scope, role: str, prompt: Prompt, sampling: Sampling, index: int
    ) -> Outcome:
        """Have the model answer; its calls, as it made them, are the outcome's `calls`."""
        model, held = scope.model(role), sampling
        if await self._native(scope, model, sampling):
            if scope.pool.models.takes_tokens(model) and self.choice not in (None, *_FREE):
                held = replace(sampling, schema=told_schema(self.definitions, self.choice))
            try:
                outcome = await call(scope, role, prompt, held, index=index)
            except Unsupported:
                if scope.pool.models.calls_tools(model):
                    raise
            else:
                return self._read(outcome, told=held is not sampling)
        retold, told = self._told(prompt, sampling)
        outcome = await call(scope, role, retold, told, index=index)
        return self._read(outcome, told=told.schema is not sampling.schema)

    async def sent(
        self, scope: Scope, role: str, prompt: Prompt, sampling: Sampling
    ) -> tuple[Prompt, Sampling]:
        """The conversation and the settings by which the model is told of its tools."""
        if await self._native(scope, scope.model(role), sampling):
            return prompt, sampling
        return self._told(prompt, sampling)

    def _told(self, prompt: Prompt, sampling: Sampling) -> tuple[Prompt, Sampling]:
        """The same where the model is told in words."""
        bare = replace(sampling, tools=(), tool_choice=None)
        if self.choice != "none":
            schema = told_schema(self.definitions, self.choice, bare.schema)
            return told_prompt(prompt, self.definitions, self.choice), replace(bare, schema=schema)
        if not any(piece.role == "tool" or piece.calls for piece in prompt.lineage()):
            return prompt, bare
        # What was called before is told as it was, so that the engine's cache has it.
        retold = told_prompt(prompt, self.definitions, None)
        return retold, bare if bare.schema is not None else replace(bare, schema=ANSWER_ALONE)

    async def _native(self, scope: Scope, model: str, sampling: Sampling) -> bool:
        """Whether the engines, or the model's chat template, tell the model of its tools."""
        pool = scope.pool
        if not pool.models.takes_tokens(model):
            return pool.models.calls_tools(model)
        # A model behind token ids is held to one form, which has to hold its calls too.
        formed = sampling.schema is not None and self.tools and self.choice != "none"
        if formed or not pool.models.calls_tools(model):
            return False
        turns, template = (Message("user", "a"),), {"tools": sampling.tools}
        try:
            with_tools = await pool.render(model, turns, open=False, template=template)
        except RequestRejected:
            return False
        return with_tools != await pool.render(model, turns, open=False, template=None)

    def _read(self, outcome: Outcome, *, told: bool) -> Outcome:
        """An outcome with the calls that its text holds, if no engine has told them apart."""
        text = outcome.thinking.text
        forbidden = self.choice == "none"
        if outcome.calls or (forbidden and not told):
            return outcome
        found = read_told(text) if told else None
        if found is None and not forbidden:
            found = read_calls(text, {name: one.schema for name, one in self.tools.items()})
        if found is None:
            return outcome
        said, calls = found[0], () if forbidden else found[1]
        return replace(outcome, calls=calls, spoken=said if calls or said != text else None)

    def calls(
        self, outcome: Outcome, prompt: Prompt, index: int
    ) -> tuple[tuple[ToolCall, ...], tuple[ToolCall, ...]]:
        """The calls of an outcome with their ids: as they were made, and ready to run."""
        if not outcome.calls:
            return (), ()
        made = numbered(outcome.calls, prompt.key + f"\0{index}".encode())
        last, cut = len(made) - 1, outcome.finish_reason not in ("stop", "tool_calls", "unknown")
        ready = [checked(one, self.tools, cut=cut and at == last) for at, one in enumerate(made)]
        return made, tuple(ready)


_FREE = ("auto", "none")
"""Choices that leave it to the model whether it calls."""
