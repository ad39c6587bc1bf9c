"""Service: what the requests of a service share."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AsyncExitStack, closing
from types import TracebackType

import anyio

from weft.errors import EngineUnavailable, Refused, UsageError, WeftError
from weft.orchestrator.estimates.profiles import Profiles
from weft.orchestrator.pool import Pool
from weft.orchestrator.programs.program import Program
from weft.orchestrator.restore import CachedChain
from weft.service.client.exchange import Exchange
from weft.service.client.open_exchanges import OpenExchanges
from weft.service.config.file import ServiceConfig, changed
from weft.service.door.hosts import Hosts
from weft.service.door.keys import Keys
from weft.service.door.load import LoadShedder
from weft.service.door.origins import Origins
from weft.service.door.places import Places
from weft.service.door.tenants import Tenant, Tenants
from weft.service.engines.membership import Engines
from weft.service.engines.public_names import EngineNames
from weft.service.engines.served_names import ServedNames
from weft.service.engines.upstreams import Upstreams
from weft.service.programs.holders import Holders
from weft.service.programs.records import CallRecord, ProgramRecord
from weft.service.programs.registry import Registry
from weft.service.programs.released import Released
from weft.service.protocols.unscheduled.passed import PassedPaths
from weft.service.recognition.conversations import Conversations
from weft.service.recognition.known_requests import ConversationPlace
from weft.service.state.memory import Memory
from weft.service.state.owner import Owner
from weft.service.state.saved_program import SavedProgram
from weft.service.strategies.offers import Base, configured
from weft.store.store import Store
from weft.types import Adapter

_log = logging.getLogger(__name__)
FORWARDED = ("anthropic-version", "anthropic-beta", "traceparent", "tracestate")
"""Headers of clients that engines always get."""

_MESSAGES = "/v1/messages"


class Service:
    """Engines, scheduler, tenants and records of a service that runs.

        async with Service(config) as service:
            ...

    Args:
        config: of the service.
        reread: reads the configuration anew, for a reload.

    Attributes:
        exchanges: requests under way.
        draining: whether nothing new is taken in, because the service stops.
    """

    def __init__(
        self, config: ServiceConfig, reread: Callable[[], ServiceConfig] | None = None
    ) -> None:
        self.config = config
        self._reread = reread
        self.registry = Registry()
        self.places = Places()
        self.released = Released()
        self.exchanges = OpenExchanges()
        self.memory: Memory | None = None
        self.names = EngineNames()
        self.holders = Holders()
        self._chunks: dict[str, int] = {}
        self.draining = False
        self.upstreams = Upstreams(config)
        self._stack = AsyncExitStack()
        self._reloading = anyio.Lock()
        self._owners: dict[str, Tenant] = {}

    async def __aenter__(self) -> Service:
        await self._stack.__aenter__()
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, trace)

    async def _open(self) -> None:
        config, stack = self.config, self._stack
        self.store = stack.enter_context(Store(config.store)) if config.store else None
        owner = None
        if self.store is not None:
            owner = stack.enter_context(closing(Owner(self.store.database)))
            await owner.take()
        self.tenants = Tenants(config)
        self.keys, self.hosts = Keys(config, self.tenants), Hosts(config)
        self._edges(config)
        stack.callback(self.upstreams.close)
        self.pool = await stack.enter_async_context(
            Pool(
                roles=config.roles,
                policy=config.policy,
                # Results of calls are not kept: they are the clients' own.
                profiles=Profiles(self.store),
                calibrations=self.store,
                missed=self.registry.note_misses if config.telemetry.misses else None,
                ended=self._let_go,
                lease=config.limits.lease_seconds,
                check=config.health.interval,
                outage=config.limits.outage_seconds,
                standstill=config.limits.standstill_seconds,
                patient=True,
            )
        )
        self.scheduler = self.pool.scheduler
        self.conversations = Conversations(lengths=self.pool.text_lengths)
        self.load = LoadShedder(lambda: self.scheduler.waiting)
        if self.store is not None and owner is not None:
            self.memory = Memory(
                self.store,
                self.scheduler,
                self.registry,
                self.conversations,
                self._chunks,
                config.limits.lease_seconds,
                self.holders,
                self.released,
                owner,
            )
            self.memory.load_texts()
            self.memory.load_responses()
            self.memory.load_released()
            self.memory.load_speeds()
        self.engines = await stack.enter_async_context(
            Engines(self.pool, self.upstreams, self.names)
        )
        self.named = ServedNames(self.scheduler, self.engines.groups, config)
        await self.engines.open(config)
        self.strategies = configured(self.pool, config, self._base)
        if problems := self._problems():
            raise UsageError(problems[0])
        for sentence in self._unserved():
            _log.warning("%s", sentence)
        if self.memory is not None:
            self.memory.load_programs(self._take_back)

    def _base(self, name: str) -> Base | None:
        """What a strategy runs on that names an alias, or a further name that engines list."""
        served = self.named.get(name)
        if served is None and (behind := self.named.alias(name)) is not None:
            served = self.named.get(behind)
        if served is None:
            return None
        adapter = Adapter(served.adapter, served.only) if served.adapter else None
        return Base(served.model, adapter)

    def _edges(self, config: ServiceConfig) -> None:
        """Take over what is looked at for each request."""
        self.origins = Origins(config.origins)
        self.paths = PassedPaths(config.passed)
        self.forwarded = tuple(dict.fromkeys((*FORWARDED, *config.forward_headers)))

    def _problems(self) -> list[str]:
        """What is wrong with roles and strategies, if all engines are there to tell."""
        return [] if self.pool.joining else self.strategies.problems()

    def _unserved(self) -> list[str]:
        """Names in the configuration that lead nowhere now, if all engines are there to tell."""
        return [] if self.pool.joining else self.named.unserved(self.strategies.known)

    async def reload(self) -> list[str]:
        """Read the configuration anew and apply what can be applied while running.

        Returns:
            a sentence for each thing that was done, or can't be done without a restart.

        Raises:
            WeftError: the new configuration is wrong, and nothing has changed.
        """
        if self._reread is None:
            raise UsageError("the service was started without a configuration file to read anew")
        async with self._reloading:
            new = self._reread()
            changes = changed(self.config, new)
            said = list(changes.restart)
            old, self.config = self.config, new
            self.tenants.reload(new)
            self.keys, self.hosts = Keys(new, self.tenants), Hosts(new)
            self.upstreams.reload(new)
            self.named.reload(new)
            self._edges(new)
            self.strategies = configured(self.pool, new, self._base)
            for engine in changes.removed:
                said.append(f"engine {engine.title} is let go")
                await self.engines.remove(engine)
            for engine in changes.added:
                try:
                    await self.engines.add(engine)
                    said.append(f"engine {engine.title} is taken in")
                except WeftError as error:
                    said.append(str(error))
            said += self._problems() + self._unserved()
            rest = [name for name in changes.applies if name != "engines"]
            if rest and old != new:
                said.append(f"{', '.join(rest)}: as the file says now")
            for sentence in said:
                _log.info("%s", sentence)
            return said

    def _let_go(self, program: Program, reason: str) -> None:
        """The scheduler let a program go."""
        tenant = self._owners.pop(program.id, None)
        if tenant is not None:
            tenant.end_program()
        self.registry.program_ended(program.id, reason)
        self.conversations.end_program(program.id)
        if self.memory is not None:
            self.memory.mark_ended(program.id)

    def begin(self, program: ProgramRecord, tenant: Tenant) -> None:
        """Have the scheduler know a program, if it does not yet.

        Raises:
            Refused: its tenant has too many.
        """
        if self.scheduler.knows(program.id):
            return
        if refusal := tenant.begin_program():
            self.registry.programs.pop(program.id, None)
            raise Refused(429, refusal.message, refusal.seconds)
        self._owners[program.id] = tenant
        if (idlest := self.registry.idlest()) is not None:
            self.scheduler.end(idlest)
        self.scheduler.begin(
            Program(program.id, program.name, program.tenant, tenant.weight, silent=True)
        )

    def block_size(self, model: str) -> int:
        """Tokens in a block of the engines of a model."""
        return self.scheduler.all_of(model)[0].block_size

    def chunk(self, model: str) -> int:
        """Bytes of text that stand for a block of a model's engines.

        What is learned of the model's tokens is taken up when it makes a large difference only,
        for prefixes that are cut otherwise are not found again. Texts by turns of prose and of
        code make less.
        """
        now = self.block_size(model) * self.conversations.lengths.token_bytes(model)
        chunk = self._chunks.get(model, 0)
        if not 0.8 * chunk < now < 1.25 * chunk:
            chunk = self._chunks[model] = max(1, round(now))
            if self.memory is not None:
                self.memory.keep_texts()
        return chunk

    def mark_changed(self, place: ConversationPlace, block_size: int) -> None:
        """A call of a program begins or has ended: what outlives a restart is to be written."""
        if self.memory is not None:
            chain = CachedChain(block_size, place.prefix.hashes)
            self.memory.mark(place.program, place.digest, chain)

    def note_holder(self, tenant: str, response: str, engine: str) -> None:
        """An engine has given a response that may be asked for later."""
        key = self.holders.note(tenant, response, engine)
        if self.memory is not None:
            self.memory.mark_response(key, engine)

    def words(self, error: WeftError) -> str:
        """What a client is told of an error: tenants need not know where engines are."""
        if not self.config.tenants:
            return str(error)
        if isinstance(error, EngineUnavailable):
            return "no engine could serve this request; try again"
        return self.names.shown(str(error))

    def _take_back(self, kept: SavedProgram) -> None:
        """A program of the last service is there again."""
        tenant = self.tenants.get(kept.saved.tenant)
        if tenant is not None:
            tenant.programs += 1
            self._owners[kept.saved.id] = tenant

    def release(self, program: str) -> None:
        """End a program, by id: what it still runs is cancelled, and its room is free.

        For a while nothing more is taken in for it, see `Released`.
        """
        self.released.add(program)
        if self.memory is not None:
            self.memory.keep_released()
        for exchange in list(self.exchanges):
            run = self.registry.programs.get(exchange.program)
            if exchange.program == program or (run is not None and run.is_run_of(program)):
                exchange.cancel(Refused(409, "the program was released while this was under way"))
        self.scheduler.end(program)

    def has(self, model: str, engine: str) -> bool:
        """Whether an engine of a model is there, be it well or not."""
        return any(r.name == engine for r in self.scheduler.all_of(model))

    def offered(self) -> set[str]:
        """All names that records may have, strategies that are not listed aside."""
        return {*self.named, *self.named.groups, *self.strategies.names()}

    @property
    def ready(self) -> bool:
        """Whether requests can be served."""
        return not self.draining and any(r.alive for r in self.scheduler.replicas)

    def name(self, exchange: Exchange, id: str) -> None:
        """Put a request's id into its answer's head: the client's own, or else this one."""
        asked = exchange.headers.get("x-request-id") or id
        exchange.add(b"x-request-id", asked)
        if exchange.path.startswith(_MESSAGES):
            exchange.add(b"request-id", asked)  # where Anthropic's libraries look for it

    def tell(self, exchange: Exchange, record: CallRecord) -> None:
        """Put into an answer's head where it belongs, and why it waited."""
        add = exchange.add
        shown = self.names.shown if record.program.tenant else str
        if record.program.id:
            add(b"x-weft-program", record.program.id)
        add(b"x-weft-call", record.id)
        self.name(exchange, record.id)
        if record.engine:
            waited = max(0.0, (record.sent or self.registry.clock()) - record.came)
            add(b"x-weft-engine", shown(record.engine))
            add(b"x-weft-waited", f"{waited:.3f}")
            if record.placement_reason:
                add(b"x-weft-where", shown(record.placement_reason))
            if record.wait_reason:
                add(b"x-weft-wait", shown(record.wait_reason))
