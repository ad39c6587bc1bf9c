"""A strategy that answers a request as one model would."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import anyio

from weft.concurrency import TaskGroup
from weft.errors import BudgetExceeded, WeftError
from weft.orchestrator.pool import Pool
from weft.orchestrator.programs.program import Program
from weft.parsers.thinking import visible
from weft.programs import Event, Limits, Run, budget, run
from weft.programs.nodes import stands_for
from weft.programs.scope import Live
from weft.search import Answer, Strategy
from weft.search.readers import Reader
from weft.service.strategies.calls import StrategyCalls
from weft.service.strategies.events import Events, Item
from weft.service.strategies.forms import NoWholeAnswer, StrategyResult, form_of
from weft.service.strategies.question import cut, question_of
from weft.service.strategies.request import StrategyRequest, read
from weft.types import Adapter

_SHOWN = 200  # letters of an answer in the list of votes


class StrategyModel:
    """A strategy on a model, under the name that a request gave it.

    `max_tokens`, `top_p`, `stop`, `seed` and a JSON format of a request hold for each of the
    strategy's samples; `temperature` does if the strategy has one that its spec does not set.
    Usage counts all calls, cancelled ones too; the `weft` member of an answer tells what the
    strategy did. When the limits are reached, the best so far is the answer, and it ends as
    one that was cut off.

    Args:
        reader: of its samples' answers.
        fixed: whether the spec sets the temperature.
        keep_alive: seconds of silence after which a stream gets a comment.
        adapters: of its model, by the roles that they play.

    Attributes:
        name: the model as the client named it.
        strategy: what runs.
        roles: which model plays a role.
        limits: what one request may spend.
    """

    def __init__(
        self,
        pool: Pool,
        name: str,
        strategy: Strategy,
        roles: Mapping[str, str],
        limits: Limits,
        *,
        reader: Reader,
        fixed: bool,
        keep_alive: float,
        adapters: Mapping[str, Adapter],
    ) -> None:
        self.name, self.strategy, self.roles, self.limits = name, strategy, roles, limits
        self._pool, self._reader, self._adapters = pool, reader, adapters
        self._fixed, self._keep_alive = fixed, keep_alive

    async def whole(
        self,
        body: Mapping[str, Any],
        path: str,
        program: str,
        tenant: str = "",
        cache_salt: str = "",
        calls: StrategyCalls | None = None,
    ) -> dict[str, Any]:
        """Answer at once. Cancelling the surrounding scope ends all calls in their engines.

        Args:
            body: the request.
            path: its endpoint, `/v1/chat/completions` or `/v1/responses`.
            program: id of the scheduler's program that asks.
            tenant: on whose behalf.
            cache_salt: keeps the tenant's prefixes apart in the engines' caches.
            calls: keeps records of the strategy's calls.

        Raises:
            UsageError: the body asks for what the strategy can't do.
            NoWholeAnswer: engines broke off all that they answered.
            EngineError: an engine failed.
        """
        request = read(body, path)
        result = await self._solve(request, program, tenant, cache_salt, None, calls)
        return form_of(path, self.name, request).whole(result)

    @asynccontextmanager
    async def answer(
        self,
        body: Mapping[str, Any],
        path: str,
        program: str,
        tenant: str = "",
        cache_salt: str = "",
        calls: StrategyCalls | None = None,
    ) -> AsyncGenerator[Events]:
        """Answer in server-sent events; leaving the block ends all calls in their engines.

            async with model.answer(body, path, program) as events:
                async for event in events:
                    await send(event)

        Entering waits for the first text, the end or an error, but not beyond `keep_alive`
        seconds. So what is wrong from the beginning is raised there, before a status is sent;
        later errors are raised where the events are read. Arguments are those of `whole`.

        Raises:
            UsageError: the body asks for what the strategy can't do.
            EngineError: an engine failed.
        """
        request = read(body, path)
        put, get = anyio.create_memory_object_stream[Item](math.inf)

        async def work() -> None:
            try:
                first = _first_call(put.send_nowait)
                last = await self._solve(request, program, tenant, cache_salt, first, calls)
            except WeftError as error:
                put.send_nowait(error)
            else:
                put.send_nowait(last)

        events = Events(form_of(path, self.name, request), request.stop, get, self._keep_alive)
        async with put, get, TaskGroup() as tasks:
            tasks.start_soon(work)
            await events.begin()
            yield events
            tasks.cancel_scope.cancel()

    async def _solve(
        self,
        request: StrategyRequest,
        program: str,
        tenant: str,
        cache_salt: str,
        live: Live | None,
        calls: StrategyCalls | None,
    ) -> StrategyResult:
        strategy, question = self._at(request.temperature), question_of(request, self._reader)
        told = [live] if live is not None and strategy.texts == 1 else []
        told += [calls.live] if calls is not None else []

        def tell(id: str, text: str | None) -> None:
            for one in told:
                one(id, text)

        @stands_for(strategy.solve)
        async def attempt() -> Answer | WeftError:
            # Errors are values here, so that what was spent before them is known.
            try:
                with budget(self.limits):
                    return await strategy(question)
            except WeftError as error:
                return error

        done = await run(
            attempt,
            pool=self._pool,
            identity=Program(program, strategy.name, tenant),
            roles=self.roles,
            adapters=self._adapters,
            live=tell if told else None,
            cache_salt=cache_salt,
            journal=calls.journal if calls is not None else None,
        )
        match done.value:
            case Answer() as answer:
                pass
            case BudgetExceeded() as over:
                answer = Answer(None, None, details={"budget": over.resource})
            case error:
                raise error
        about = {"program": program, "strategy": strategy.spec}
        result = _result(done, answer, request.stop, about)
        if answer.details.get("broken_off") and "budget" not in answer.details:
            raise NoWholeAnswer(result)
        return result

    def _at(self, temperature: float | None) -> Strategy:
        """The strategy at the request's temperature, if it leaves that open."""
        names = {parameter.name for parameter in self.strategy.parameters()}
        if temperature is None or self._fixed or "temperature" not in names:
            return self.strategy
        changed: Any = {"temperature": temperature}
        return replace(cast(Any, self.strategy), **changed)


def _first_call(tell: Callable[[str | None], None]) -> Live:
    """Hands on the text of the call that is the first to have any."""
    first: list[str] = []

    def live(call: str, text: str | None) -> None:
        if not first:
            first.append(call)
        if call == first[0]:
            tell(text)

    return live


def _result(
    done: Run[Any], answer: Answer, stops: tuple[str, ...], about: dict[str, Any]
) -> StrategyResult:
    """What the client gets; without an answer, the longest text that was broken off or cut."""
    text, usage, details = answer.text, done.usage, dict(answer.details)
    over = text is None or "budget" in details
    if text is None:
        texts = [
            [o.thinking.text for _, o in _outcomes(done.events, kind)]
            for kind in ("cancelled", "done")
        ]
        text = max(texts[0] or texts[1], key=len, default="")
    votes: dict[str, float] = details.pop("votes", {})
    about |= {"calls": usage.calls, "cancelled_tokens": usage.cancelled}
    about |= {"score": answer.score, "value": answer.value and answer.value[:_SHOWN]}
    if votes:
        about["votes"] = [{"value": v[:_SHOWN], "weight": weight} for v, weight in votes.items()]
    about |= details | {"seconds": round(done.seconds, 3)}
    return StrategyResult(cut(text, stops), over or _cut_off(done.events, text), usage, about)


def _outcomes(events: Sequence[Event], kind: str) -> list[tuple[str, Any]]:
    """The outcomes of the calls that ended in a way, by the calls' ids."""
    return [(e.id, e.data["outcome"]) for e in events if e.kind == kind and "outcome" in e.data]


def _cut_off(events: Sequence[Event], text: str) -> bool:
    """Whether the call that ended a text ran into its limit of tokens."""
    prompts = {e.id: e.data["prompt"] for e in events if e.kind == "call"}
    for id, outcome in _outcomes(events, "done"):
        said = outcome.thinking.text
        if said and text.endswith(said):
            prompt = prompts[id]
            begun = (visible(prompt.answer) or "") if prompt.open else ""
            if begun + said == text:
                return outcome.finish_reason == "length"
    return False
