"""Memory: what outlives a restart of the service, taken from its parts and given back to them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable

from weft.orchestrator.estimates.speed import Speed
from weft.orchestrator.restore import CachedChain
from weft.orchestrator.scheduler import Scheduler
from weft.service.programs.holders import Holders
from weft.service.programs.registry import Registry
from weft.service.programs.released import Released
from weft.service.recognition.conversations import Conversations
from weft.service.state.owner import Owner
from weft.service.state.saved_program import SavedProgram
from weft.service.state.state import State
from weft.store.store import Store

_log = logging.getLogger(__name__)
_TEXTS, _SPEEDS, _RELEASED = "texts", "speeds", "released"


class Memory:
    """Programs with their leases and prefixes, conversations, texts' cuts and engines' speeds.

    Args:
        store: where all this is kept.
        scheduler: of the service.
        registry: of programs.
        conversations: of clients that name no program.
        chunks: bytes of text that stand for a block, by model.
        lease: seconds that a program which does nothing is remembered.
        holders: of responses.
        released: programs, which must not come back.
        owner: the service's hold on the store.
    """

    def __init__(
        self,
        store: Store,
        scheduler: Scheduler,
        registry: Registry,
        conversations: Conversations,
        chunks: dict[str, int],
        lease: float,
        holders: Holders,
        released: Released,
        owner: Owner,
    ) -> None:
        self._holders, self._released = holders, released
        self._state = State(store, owner)
        self._scheduler, self._registry = scheduler, registry
        self._conversations, self._chunks, self._lease = conversations, chunks, lease
        self._chains: dict[str, CachedChain] = {}

    def load_texts(self) -> None:
        """Take up how texts were cut, before the first prompt comes."""
        kept = self._state.notes().get(_TEXTS)
        if kept is not None:
            found = json.loads(kept)
            self._chunks.update(found["chunks"])
            self._conversations.lengths.load(found.get("lengths", {}))

    def load_responses(self) -> None:
        """Take up which engine holds which response."""
        self._holders.load(self._state.responses())

    def mark_response(self, key: bytes, engine: str) -> None:
        """An engine holds a response; the key is from `Holders.note`."""
        self._state.mark_response(key, engine)

    def load_released(self) -> None:
        """Take up which programs were released."""
        kept = self._state.notes().get(_RELEASED, "[]")
        try:
            self._released.load(json.loads(kept))
        except (TypeError, ValueError):
            _log.warning("what the store knows of released programs can't be read")

    def keep_released(self) -> None:
        """A program was released."""
        self._state.note(_RELEASED, json.dumps(self._released.dump()))

    def load_speeds(self) -> None:
        """Take up how fast engines were, before the first is there."""
        kept = self._state.notes().get(_SPEEDS, "[]")
        try:
            known = {(name, model): Speed.load(speed) for name, model, speed in json.loads(kept)}
        except (TypeError, ValueError):  # UsageError is one
            _log.warning(
                "what the store knows of engines' speeds can't be read; it is learned anew"
            )
        else:
            self._scheduler.speeds |= known

    def load_programs(self, owned: Callable[[SavedProgram], None]) -> None:
        """Take up the programs, once engines are there.

        Args:
            owned: told of each, before the scheduler is.

        Raises:
            StoreError: the store can't be read.
        """
        kept = self._state.restore(self._lease)
        for one in kept:
            self._registry.keep(one.record())
            if one.chain is not None:
                self._chains[one.saved.id] = one.chain
            owned(one)
        self._scheduler.restore([(one.saved, one.chain) for one in kept])
        talks = self._state.conversations([one.saved.id for one in kept])
        self._conversations.load([(digest, program) for digest, program, _ in talks])
        self._load_lines(kept)

    def _load_lines(self, kept: Iterable[SavedProgram]) -> None:
        for one in kept:
            if one.line is not None:
                try:
                    self._conversations.load_line(one.saved.id, dict(one.line))
                except (LookupError, TypeError, ValueError, AttributeError):
                    _log.warning("what the store knows of conversations can't be read")
                    return

    def mark(
        self, program: str, digest: bytes | None = None, chain: CachedChain | None = None
    ) -> None:
        """A program has changed.

        Args:
            program: its id.
            digest: of its conversation up to here.
            chain: its last prompt's blocks.
        """
        self._state.mark(program)
        if digest is not None:
            self._state.mark_conversation(digest, program)
        if chain is not None:
            self._chains[program] = chain

    def mark_ended(self, program: str) -> None:
        """A program is over."""
        self._chains.pop(program, None)
        self._state.mark(program)

    def keep_texts(self) -> None:
        """Texts are cut otherwise from now on."""
        lengths = self._conversations.lengths.dump()
        found = {"chunks": self._chunks, "lengths": lengths}
        self._state.note(_TEXTS, json.dumps(found))

    async def run(self) -> None:
        """Write what changes, until cancelled."""
        await self._state.run(self._describe, self._scheduler.profiles, self._notes)

    def _notes(self) -> dict[str, str]:
        speeds = self._scheduler.speeds.items()
        return {_SPEEDS: json.dumps([(*key, speed.dump()) for key, speed in speeds])}

    def _describe(self, id: str) -> SavedProgram | None:
        record = self._registry.programs.get(id)
        saved = self._scheduler.save(id, self._lease)
        if record is None or saved is None:
            return None
        line = self._conversations.keep_line(id)
        return SavedProgram.of(record, saved, self._chains.get(id), line)
