"""Pool: the engines that programs run on, by model and role."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import Token
from types import TracebackType
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import TaskStatus

from weft.backends.checks import check_given, check_name
from weft.backends.engine import Engine
from weft.backends.forbidden import check_allowed
from weft.backends.kinds.specs import open_engines
from weft.concurrency import TaskGroup
from weft.errors import EngineUnavailable, UnknownName, UsageError
from weft.orchestrator.causes.cause import Missed
from weft.orchestrator.decisions.decision import Observe
from weft.orchestrator.dispatch.guards.standstill_guard import STANDSTILL
from weft.orchestrator.dispatch.residents import Ended
from weft.orchestrator.engines.joining import Joining, close, connect, same_name
from weft.orchestrator.engines.models import Models
from weft.orchestrator.engines.rendering import Rendering
from weft.orchestrator.estimates.profiles import Profiles
from weft.orchestrator.estimates.text_lengths import TextLengths
from weft.orchestrator.hosted import Hosted
from weft.orchestrator.open_pools import set_closed, set_open
from weft.orchestrator.policy import DEFAULT, Policy
from weft.orchestrator.policy_file import load_policy
from weft.orchestrator.scheduler import LEASE, OUTAGE, Scheduler
from weft.orchestrator.tokens.token_path import PathMemo
from weft.types import Message

if TYPE_CHECKING:
    from weft.store.store import Store

ROLES = ("solver", "verifier", "draft")


class Pool:
    """Engines, and the scheduler above the engines.

        async with Pool("http://127.0.0.1:8000", "http://127.0.0.1:8001") as pool:
            result = await run(program, pool=pool)

    Inside the block, a call outside any run belongs to a default run. Without a block, as in a
    notebook, `await pool.open()` opens the pool and `await pool.aclose()` closes the pool.
    Different tasks may await the two.

    Args:
        *engines: Engine objects, or specs: `http://host:port` for a vLLM server,
            `openai:MODEL` for a hosted model, `local:MODEL` for replicas on this machine.
        roles: which model plays a role, by name: `{"verifier": "small-judge"}`. The solver's
            model plays all roles that are not named. Without `roles` the solver's model is the
            first engine's.
        policy: what makes the scheduler's decisions: a spec such as `cap(k=8)`, a file that
            `weft tune` wrote, or a Policy.
        store: keeps results of calls for the next time, and what is learned of programs.
        profiles: what is known of programs; the store's by default.
        calibrations: where calibrations of strategies are kept, if not in the store.
        observe: a function that is told every decision of the scheduler.
        missed: a function that is told of each call why its prompt was not cached, where `observe`
            is not wanted.
        ended: a function that is told which program has ended, and why.
        lease: for how many seconds a program that makes no calls is remembered.
        check: seconds between two health checks of an engine; None checks an engine only when
            a call has failed there.
        outage: when no engine is left, for how many seconds calls wait for one to come back.
        standstill: after how many seconds calls start all the same that a policy keeps waiting
            though no engine runs a call and nothing else is to come; None for never.
        patient: whether the pool opens although engines can't be reached. These engines join as
            soon as they answer. Such a pool may also begin without engines; `add` gives engines.

    Raises:
        UsageError: no engine, two of one name, or a role for a model that none serves.
        EngineUnavailable, NotAnEngine, WrongModel: an engine is not what it should be.
    """

    def __init__(
        self,
        *engines: Engine | str,
        roles: Mapping[str, str] | None = None,
        policy: Policy | str = DEFAULT,
        store: Store | None = None,
        profiles: Profiles | None = None,
        calibrations: Store | None = None,
        observe: Observe | None = None,
        missed: Missed | None = None,
        ended: Ended | None = None,
        lease: float = LEASE,
        check: float | None = None,
        outage: float = OUTAGE,
        standstill: float | None = STANDSTILL,
        patient: bool = False,
    ) -> None:
        if not engines and not patient:
            raise UsageError("a pool needs at least one engine, such as Pool('http://host:port')")
        check_given(engines, roles)
        self._given = engines
        self._roles = dict(roles or {})
        self._policy, self._observe, self._ended = load_policy(policy), observe, ended
        self._missed = missed
        self._lease, self._check, self._outage, self._patient = lease, check, outage, patient
        self._standstill = standstill
        self._joining: Joining | None = None
        self._hosted: Hosted | None = None
        self.store, self._profiles = store, profiles
        self.calibrations = store if calibrations is None else calibrations
        self.default_run: object | None = None
        """The run of calls outside any run; belongs to `weft.programs`."""
        self.engines: list[Engine] = []
        self.models = Models(self.engines)
        """What the engines say of their models."""
        self._token: Token[Pool | None] | None = None
        self._scheduler: Scheduler | None = None
        self._rendering = Rendering(lambda: self.scheduler)
        self.text_lengths = TextLengths()
        """What is known of the lengths of prompts that are sent as text."""
        self.paths = PathMemo()
        """Token ids of the conversations used last."""

    async def __aenter__(self) -> Pool:
        if self._hosted is not None:
            raise UsageError("the pool is open already; open it once, and close it once")
        self._hosted = Hosted(self._live())
        try:
            await self._hosted.open()
        except BaseException:
            self._hosted = None
            raise
        self._token = set_open(self)
        return self

    async def open(self) -> Pool:
        """Open the pool without a block; `aclose` closes it.

        Raises:
            WeftError: as entering the block does.
        """
        return await self.__aenter__()

    async def aclose(self) -> None:
        """Close the pool, by any task of its event loop. A closed pool may be opened again."""
        await self.__aexit__(None, None, None)

    @asynccontextmanager
    async def _live(self) -> AsyncGenerator[None]:
        """All that lives as long as the pool is open, in a task of its own."""
        async with AsyncExitStack() as self._stack:
            try:
                await self._open()
                yield
            finally:
                self._scheduler, self._joining = None, None

    async def _open(self) -> None:
        check_allowed(self._given)
        specs = [e for e in self._given if isinstance(e, str)]
        opened = await self._stack.enter_async_context(open_engines(specs)) if specs else []
        engines = [*opened, *(e for e in self._given if isinstance(e, Engine))]
        for engine in engines:
            check_name(engine)
        names = [engine.name for engine in engines]
        if twice := {name for name in names if names.count(name) > 1}:
            raise same_name(min(twice))
        self._stack.push_async_callback(self._close_engines)
        if not self._patient:
            await self._connect(engines)
        profiles = self._profiles if self._profiles is not None else Profiles(self.store)
        self._stack.callback(profiles.save)
        self._scheduler = Scheduler(
            self.engines,
            self._policy,
            profiles=profiles,
            lease=self._lease,
            observe=self._observe,
            missed=self._missed,
            ended=self._ended,
            check=self._check,
            outage=self._outage,
            standstill=self._standstill,
        )
        group = await self._stack.enter_async_context(TaskGroup())
        self._stack.callback(group.cancel_scope.cancel)
        self._scheduler.dispatcher.roster.patience = self._outage  # before `watch` gets to run
        group.start_soon(self._scheduler.watch)
        self._joining = Joining(group, self._take_in)
        if self._patient:
            await self._join_all(engines)

    async def _connect(self, engines: Sequence[Engine]) -> None:
        self.engines[:] = engines
        async with TaskGroup() as group:
            for engine in engines:
                group.start_soon(connect, engine)
        models = {engine.model for engine in self.engines}
        for role, model in self._roles.items():
            if model not in models:
                raise UnknownName(f"model for role {role!r}", model, models)

    async def _close_engines(self) -> None:
        for engine in self.engines:
            await close(engine)

    async def _join_all(self, engines: Sequence[Engine]) -> None:
        """Take in the engines that can be reached; the others when they can."""
        async with TaskGroup() as group:
            for engine in engines:
                group.start_soon(self.add, engine)

    async def add(self, engine: Engine) -> bool:
        """Take in an engine while the pool is open; one that can't be reached joins later.

        Returns:
            whether it is there now.

        Raises:
            UsageError: there is one of its name.
            NotAnEngine, WrongModel, PartFailed: it is not what it should be.
        """
        check_name(engine)
        if any(e.name == engine.name for e in self.engines):
            raise same_name(engine.name)
        assert self._joining is not None, "the pool is open"
        return await self._joining.add(engine)

    def _take_in(self, engine: Engine) -> None:
        self.engines.append(engine)
        self.scheduler.add(engine)

    async def remove(
        self, name: str, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Let an engine go while the pool is open. Calls that run there end first; none begins.

        Args:
            name: the engine's.
            task_status: told, by a task group's `start`, when no call begins there any more.

        Raises:
            UnknownName: there is no engine of this name.
        """
        if self._joining is not None and self._joining.give_up(name):
            task_status.started()
            return
        found = next((r for r in self.scheduler.replicas if r.name == name), None)
        if found is None:
            raise UnknownName("engine", name, [e.name for e in self.engines])
        self.scheduler.remove(found)
        self.engines.remove(found.engine)
        task_status.started()
        if found.in_flight:
            empty = anyio.Event()
            found.on_empty = empty.set
            await empty.wait()
        await close(found.engine)

    @property
    def is_open(self) -> bool:
        """Whether calls can be made."""
        return self._scheduler is not None

    @property
    def joining(self) -> list[str]:
        """Names of engines that could not be reached yet."""
        return self._joining.names if self._joining is not None else []

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        set_closed(self, self._token)
        self._token = None
        hosted, self._hosted = self._hosted, None
        if hosted is not None:
            await hosted.close()

    @property
    def scheduler(self) -> Scheduler:
        """The scheduler, while the pool is open."""
        if self._hosted is not None and self._hosted.error is not None:
            raise self._hosted.error
        if self._scheduler is None:
            raise UsageError("the pool is not open; use `async with pool:` around the call")
        return self._scheduler

    def model(self, role: str) -> str:
        """The name of the model that plays a role.

        Raises:
            UnknownName: no such role.
        """
        if not self.engines:
            if self._scheduler is not None:
                raise EngineUnavailable("no engine can be reached yet; try again")
            raise UsageError("the pool is not open; use `async with pool:` around the call")
        if role in self._roles:
            return self._roles[role]
        if role not in ROLES:
            makes = f"Pool(..., roles={{{role!r}: model}}) makes a role"
            raise UnknownName("role", role, {*ROLES, *self._roles}, makes)
        return self._roles.get("solver", self.engines[0].model)

    async def render(
        self,
        model: str,
        messages: tuple[Message, ...],
        *,
        open: bool,
        template: Mapping[str, Any] | None = None,
    ) -> tuple[int, ...]:
        """The token ids of a conversation, by any engine that serves the model.

        However many ask for the same at once, an engine is asked once.

        Raises:
            RequestRejected: the model's chat template refuses the conversation.
        """
        return await self._rendering.render(model, messages, open=open, template=template)

    async def tokenize(self, model: str, text: str) -> tuple[int, ...]:
        """The token ids of a text, by any engine that serves the model."""
        return await self._rendering.tokenize(model, text)
