"""Pool: the engines that programs run on, by model and role."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TypeVar

import anyio

from weft.backends.engine import Engine
from weft.backends.specs import open_engines
from weft.cache.store import Store
from weft.errors import EngineUnavailable, UnknownName, UsageError
from weft.orchestrator.dispatcher import Observe
from weft.orchestrator.policy import Policy
from weft.orchestrator.policy_file import load_policy
from weft.orchestrator.profiles import Profiles
from weft.orchestrator.scheduler import Scheduler
from weft.types import Message, Price

T = TypeVar("T")
ROLES = ("solver", "verifier", "draft")

current_pool: ContextVar[Pool | None] = ContextVar("weft_pool", default=None)


class Pool:
    """Engines and the scheduler above them.

        async with Pool("http://127.0.0.1:8000", "http://127.0.0.1:8001") as pool:
            result = await run(program, pool=pool)

    Inside the block, calls outside any run belong to a default run.

    Args:
        *engines: Engine objects, or specs: `http://host:port` for a vLLM server,
            `openai:MODEL` for a hosted model, `local:MODEL` for replicas on this machine.
        roles: which model plays a role, by name: `{"verifier": "small-judge"}`. Roles that are
            not named are played by the solver's model, which is the first engine's unless
            `roles` says otherwise.
        policy: the scheduler's decisions: a spec such as `cap(k=8)`, a file that `weft tune`
            wrote, or a Policy.
        store: results of calls, kept for the next time.
        observe: told of every decision of the scheduler.

    Raises:
        UsageError: no engine, two of one name, or a role for a model that none serves.
        EngineUnavailable, NotAnEngine, WrongModel: an engine is not what it should be.
    """

    def __init__(
        self,
        *engines: Engine | str,
        roles: Mapping[str, str] | None = None,
        policy: Policy | str = "weft",
        store: Store | None = None,
        observe: Observe | None = None,
    ) -> None:
        if not engines:
            raise UsageError("a pool needs at least one engine, such as Pool('http://host:port')")
        self._given = engines
        self._roles = dict(roles or {})
        self._policy, self._observe = load_policy(policy), observe
        self._stack = AsyncExitStack()
        self.store = store
        self.default_run: object | None = None
        """The run of calls outside any run; belongs to `weft.programs`."""
        self.engines: list[Engine] = []
        self._token: Token[Pool | None] | None = None
        self._scheduler: Scheduler | None = None
        self._texts: dict[tuple[str, str], tuple[int, ...]] = {}

    async def __aenter__(self) -> Pool:
        await self._stack.__aenter__()
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        self._token = current_pool.set(self)
        return self

    async def _open(self) -> None:
        specs = [e for e in self._given if isinstance(e, str)]
        opened = await self._stack.enter_async_context(open_engines(specs)) if specs else []
        engines = [*opened, *(e for e in self._given if isinstance(e, Engine))]
        names = [engine.name for engine in engines]
        if twice := {name for name in names if names.count(name) > 1}:
            raise UsageError(f"engines need different names; {min(twice)!r} is there twice")
        for engine in engines:
            self._stack.push_async_callback(engine.aclose)
        try:
            async with anyio.create_task_group() as group:
                for engine in engines:
                    group.start_soon(engine.connect)
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        self.engines = engines
        models = {engine.model for engine in self.engines}
        for role, model in self._roles.items():
            if model not in models:
                raise UnknownName(f"model for role {role!r}", model, models)
        profiles = Profiles(self.store)
        self._stack.callback(profiles.save)
        self._scheduler = Scheduler(
            self.engines, self._policy, profiles=profiles, observe=self._observe
        )
        group = anyio.create_task_group()
        await self._stack.enter_async_context(group)
        self._stack.callback(group.cancel_scope.cancel)
        group.start_soon(self._scheduler.watch)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        if self._token is not None:
            current_pool.reset(self._token)
            self._token = None
        try:
            return await self._stack.__aexit__(kind, error, trace)
        except BaseExceptionGroup as errors:
            # The task group that watches engines wraps what the block raises.
            if error is not None and len(errors.exceptions) == 1:
                raise error from None
            raise

    @property
    def scheduler(self) -> Scheduler:
        """The scheduler, while the pool is open."""
        if self._scheduler is None:
            raise UsageError("the pool is not open; use `async with pool:` around the call")
        return self._scheduler

    def model(self, role: str) -> str:
        """The name of the model that plays a role.

        Raises:
            UnknownName: no such role.
        """
        if not self.engines:
            raise UsageError("the pool is not open; use `async with pool:` around the call")
        if role in self._roles:
            return self._roles[role]
        if role not in ROLES:
            raise UnknownName("role", role, {*ROLES, *self._roles})
        return self._roles.get("solver", self.engines[0].model)

    def takes_tokens(self, model: str) -> bool:
        """Whether all engines of a model take token ids."""
        return all(e.takes_tokens for e in self.engines if e.model == model)

    def price(self, engine: str) -> Price | None:
        """What tokens cost on an engine, by its name."""
        return next((e.price for e in self.engines if e.name == engine), None)

    def without_price(self) -> str | None:
        """The name of an engine without a price, if there is one."""
        return next((e.name for e in self.engines if e.price is None), None)

    async def render(
        self, model: str, messages: tuple[Message, ...], *, open: bool
    ) -> tuple[int, ...]:
        """The token ids of a conversation, by any engine that serves the model."""
        return await self._any(model, lambda e: e.render(messages, open=open))

    async def tokenize(self, model: str, text: str) -> tuple[int, ...]:
        """The token ids of a text, by any engine that serves the model."""
        known = self._texts.get((model, text))
        if known is None:
            known = self._texts[model, text] = await self._any(model, lambda e: e.tokenize(text))
        return known

    async def _any(self, model: str, ask: Callable[[Engine], Awaitable[T]]) -> T:
        """Ask the least busy engine that serves the model; the next one if that one dies."""
        replicas = [r for r in self.scheduler.replicas if r.engine.model == model]
        replicas.sort(key=lambda r: (not r.alive, r.in_flight))
        for replica in replicas[:-1]:
            try:
                return await ask(replica.engine)
            except EngineUnavailable:
                continue
        return await ask(replicas[-1].engine)
