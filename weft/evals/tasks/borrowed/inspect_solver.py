"""What an Inspect task does before and after its model answers: its solver, and its scorers.

Inspect runs a solver with a function `generate`. Here the solver is run twice. The first time
`generate` keeps what is asked, and the run ends there. The second time `generate` gives the answer
that a strategy found, the solver goes on from it, and the scorers score what it leaves.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast

from weft.errors import UsageError
from weft.evals.tasks.borrowed.own_loop import in_own_loop
from weft.evals.tasks.judging import asked
from weft.programs import Prompt, generate

_SERVED = "run the task by `inspect eval` instead, with a model of weft serve"
_SETTINGS = ("max_tokens", "top_p", "stop_seqs", "top_k", "frequency_penalty", "presence_penalty")

Turn = dict[str, str]


class _AskedHere(BaseException):
    """Ends a solver at its model; no Exception, for solvers may catch these."""


@dataclass(frozen=True, slots=True)
class InspectAsks:
    """What a solver asks its model.

    Attributes:
        turns: role and text of each.
        settings: of sampling, as Inspect calls them.
    """

    turns: list[Turn]
    settings: dict[str, Any]


class InspectSolver:
    """Runs the solver and the scorers of an Inspect task.

    Args:
        name: of the task, for messages.
        task: the object of Inspect.
    """

    def __init__(self, name: str, task: Any) -> None:
        self._name, self._task = name, task
        self._model: Any = import_module("inspect_ai.model")
        self._models: Any = import_module("inspect_ai.model._model")
        self._state: Any = import_module("inspect_ai.solver._task_state")
        self._store: Any = import_module("inspect_ai.util._store")
        self._scoring: Any = import_module("inspect_ai.scorer")
        scorer: Any = import_module("inspect_ai.scorer._scorer")
        used: list[str] = []
        own: list[Any] = list(task.scorer or ())
        for one in own:
            used.append(scorer.unique_scorer_name(one, used))
        self.scorers: list[str] = used

    def asks(self, samples: Sequence[Any]) -> list[InspectAsks]:
        """What the solver asks for each sample.

        Raises:
            UsageError: it asks nothing, or more than turns of text.
        """

        async def all_of_them() -> list[InspectAsks]:
            return [await self._asks(sample) for sample in samples]

        return in_own_loop(all_of_them)

    def check(self, sample: Any, asks: InspectAsks) -> None:
        """See that the solver asks its model once, as far as an empty answer shows.

        Raises:
            UsageError: it asks again.
        """
        try:
            in_own_loop(lambda: self._answered(sample, "", asks))
        except UsageError:
            raise
        except Exception:  # a solver need not know what to do with an empty answer
            return

    def scores(self, sample: Any, text: str, asks: InspectAsks) -> dict[str, Any]:
        """The scores of an answer, by the scorers' names, in the task's order.

        Raises:
            UsageError: the solver asks its model otherwise, or again.
        """

        async def scored() -> dict[str, Any]:
            state = await self._answered(sample, text, asks)
            self._answer_by(self._judge)
            target = self._scoring.Target(sample.target)
            found: dict[str, Any] = {}
            for name, scorer in zip(self.scorers, self._task.scorer, strict=True):
                score = await scorer(state, target)
                if score is not None:
                    found[name] = score
            return found

        return in_own_loop(scored)

    async def _asks(self, sample: Any) -> InspectAsks:
        found: list[InspectAsks] = []

        async def answer(state: Any, tool_calls: str = "loop", **config: Any) -> Any:
            if state.tools:
                raise UsageError(f"{self._name} gives its model tools; {_SERVED}")
            found.append(InspectAsks(self._turns(sample, state), self._settings(config)))
            raise _AskedHere

        with suppress(_AskedHere):
            await self._solved(sample, answer)
        if not found:
            raise UsageError(f"the solver of {self._name} asks no model; there is nothing to run")
        return found[0]

    async def _answered(self, sample: Any, text: str, asks: InspectAsks) -> Any:
        given = False

        async def answer(state: Any, tool_calls: str = "loop", **config: Any) -> Any:
            nonlocal given
            if given:
                raise UsageError(f"the solver of {self._name} asks its model twice; {_SERVED}")
            if self._turns(sample, state) != asks.turns:
                raise UsageError(
                    f"the solver of {self._name} asks otherwise each time; shuffle by a seed"
                )
            given = True
            state.output = self._model.ModelOutput.from_content("weft/strategy", text)
            state.messages.append(state.output.message)
            return state

        return await self._solved(sample, answer)

    async def _solved(self, sample: Any, answer: Any) -> Any:
        """The state that the solver leaves."""
        sample = deepcopy(sample)
        messages: list[Any] = (
            [self._model.ChatMessageUser(content=sample.input, source="input")]
            if isinstance(sample.input, str)
            else sample.input
        )
        state = self._state.TaskState(
            model=self._model.ModelName("weft/strategy"),
            sample_id=sample.id,
            epoch=1,
            input=sample.input,
            messages=messages,
            target=self._scoring.Target(sample.target),
            choices=sample.choices,
            metadata=sample.metadata or {},
        )
        self._answer_by(self._no_model)
        self._state.set_sample_state(state)
        self._store.init_subtask_store(state.store)
        setup: Any = self._task.setup
        several = isinstance(setup, Sequence) and not callable(cast(object, setup))
        steps: list[Any] = [*setup] if several else [setup]
        for step in [*(one for one in steps if one is not None), self._task.solver]:
            state = await step(state, answer)
            self._state.set_sample_state(state)
            if state.completed:
                break
        return state

    def _answer_by(self, answer: Callable[..., Any]) -> None:
        """Let a function answer whatever asks for the model from here on."""
        model = self._model.get_model("mockllm/weft", memoize=False, custom_outputs=answer)
        self._models.init_active_model(model, self._task.config)
        self._models.init_model_roles({})

    def _turns(self, sample: Any, state: Any) -> list[Turn]:
        """The messages that a model would get, as turns."""
        first = self._task.config.system_message
        turns: list[Turn] = [{"role": "system", "content": first}] if first else []
        for message in state.messages:
            content = message.content
            parts: list[Any] = [] if isinstance(content, str) else list(content)
            if message.role == "tool" or any(p.type not in ("text", "reasoning") for p in parts):
                raise UsageError(
                    f"sample {sample.id!r} of {self._name} has more than turns of text; {_SERVED}"
                )
            turns.append({"role": message.role, "content": message.text})
        if turns[-1]["role"] != "user":
            raise UsageError(
                f"sample {sample.id!r} of {self._name} does not end with a user's turn; {_SERVED}"
            )
        return turns

    def _settings(self, more: dict[str, Any]) -> dict[str, Any]:
        """The settings of the task, and over them those of the solver."""
        config: dict[str, Any] = self._task.config.model_dump(exclude_none=True)
        both = config | {k: v for k, v in more.items() if v is not None}
        return {name: both[name] for name in _SETTINGS if name in both}

    def _no_model(self, *_: Any) -> Any:
        raise UsageError(f"the solver of {self._name} asks models by itself; {_SERVED}")

    def _judge(self, messages: list[Any], *_: Any) -> Any:
        """What a scorer gets that asks for a model: the answer of weft's verifier."""
        prompt = prompt_of([{"role": m.role, "content": m.text} for m in messages])

        async def ask() -> str:
            done = await generate(prompt, role="verifier", temperature=0.0)
            return done.text

        call = cast("Callable[[], Awaitable[str]]", ask)
        text = asked(f"a scorer of {self._name}", call)
        output = self._model.ModelOutput.from_content("weft/verifier", text)
        output.usage = self._model.ModelUsage()  # else Inspect counts, by a tokenizer of OpenAI
        return output


def prompt_of(turns: Sequence[Turn]) -> Prompt:
    """Turns as a prompt."""
    prompt = Prompt()
    for turn in turns:
        match turn["role"]:
            case "system":
                prompt = prompt.system(turn["content"])
            case "assistant":
                prompt = prompt.assistant(turn["content"])
            case _:
                prompt = prompt.user(turn["content"])
    return prompt
