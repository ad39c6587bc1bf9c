"""State: what the service needs to go on where it was, after whatever end it had."""

from __future__ import annotations

import json
import logging
import math
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import anyio
import anyio.to_thread
import msgspec

from weft.errors import StoreError
from weft.orchestrator.estimates.profiles import Profiles
from weft.orchestrator.restore import CachedChain
from weft.service.state.owner import Owner
from weft.service.state.saved_program import SavedProgram, key_of
from weft.service.state.tables import Tables
from weft.store.store import Store

T = TypeVar("T")
_log = logging.getLogger(__name__)
# Programs of one transaction. The worker thread has the interpreter for 0.4 ms at most then,
# and the event loop is not kept waiting; more would save 10% of the time.
_BATCH = 16
_LONGEST_PAUSE = 10.0  # seconds between attempts while the database is away
_PROFILES = 30.0  # seconds between savings of the profiles, and of notes that change often
_LAST = 10.0  # seconds that the last flush may take
_WARN = 60.0  # seconds between warnings


Describe = Callable[[str], SavedProgram | None]


class State:
    """Programs and conversations of the service, in its Store.

    What changes is marked, which costs next to nothing, and written by `run` a little later.
    Nothing waits for the database: while it is away the service goes on.

    Args:
        store: where they are kept.
        owner: the service's hold on the store, asked before each writing.
        most_chains: bytes of all programs' block hashes together; those of the programs that
            changed longest ago are dropped.
        most_conversations: conversations that are kept; those not seen for longest go.

    Raises:
        StoreError: the store can't be read or written.
    """

    def __init__(
        self,
        store: Store,
        owner: Owner | None = None,
        *,
        most_chains: int = 64 << 20,
        most_conversations: int = 50_000,
    ) -> None:
        self._tables = Tables(store.database, most_chains, most_conversations)
        self._owner = owner
        self._dirty: set[str] = set()
        self._spoken: dict[bytes, tuple[str, float]] = {}
        self._noted: dict[str, str] = {}
        self._held: dict[bytes, tuple[str, float]] = {}
        self._warned = -math.inf

    def secret(self) -> bytes:
        """32 random bytes, always the same for one store, for what is to be hard to guess.

        Nobody but its owner can read the store's file from now on.
        """
        return self._tables.secret()

    def notes(self) -> dict[str, str]:
        """What was noted, by name.

        Raises:
            StoreError: the store can't be read.
        """
        return {json.loads(name): json.loads(text) for name, text in self._tables.notes().items()}

    def restore(self, lease: float) -> list[SavedProgram]:
        """The programs of the last service, those seen last at the end.

        Their `saved` are as of now. Programs whose lease is over are left out, and forgotten.

        Args:
            lease: seconds that a program which does nothing is remembered.

        Raises:
            StoreError: the store can't be read.
        """
        now, found, broken = time.time(), list[SavedProgram](), list[str]()
        for key, text, size, chain in self._tables.programs():
            try:
                kept = msgspec.convert(json.loads(text), SavedProgram)
                hashes = array("Q", chain)
            except (ValueError, msgspec.ValidationError):
                broken.append(key)
                continue
            saved = kept.saved.later(max(0.0, now - kept.at))
            if saved.idle >= lease:
                self._dirty.add(saved.id)
                continue
            left = CachedChain(size, hashes) if size and hashes else None
            found.append(replace(kept, saved=saved, at=now, chain=left))
        if broken:
            _log.warning("%d programs in the store can't be read and are forgotten", len(broken))
            for keys in _batches(broken):
                self._tables.write_programs([], keys)
        return found

    def conversations(self, programs: Iterable[str]) -> list[tuple[bytes, str, float]]:
        """Digest, program and Unix time of these programs' conversations, the latest at the end.

        Raises:
            StoreError: the store can't be read.
        """
        ids = {key_of(id): id for id in programs}
        return [
            (digest, ids[key], seen)
            for digest, key, seen in self._tables.conversations()
            if key in ids
        ]

    def mark(self, program: str) -> None:
        """A program has changed, or is over."""
        self._dirty.add(program)

    def mark_conversation(self, digest: bytes, program: str) -> None:
        """A conversation belongs to a program."""
        self._spoken[digest] = program, time.time()

    def responses(self) -> list[tuple[bytes, str]]:
        """Key and engine of the responses that engines hold, the oldest first.

        Raises:
            StoreError: the store can't be read.
        """
        return self._tables.responses()

    def mark_response(self, key: bytes, engine: str) -> None:
        """An engine holds a response."""
        self._held[key] = engine, time.time()

    def note(self, name: str, value: str) -> None:
        """Keep a small thing by name, such as what was learned of a model. Nothing goes away."""
        self._noted[name] = value

    async def run(
        self,
        describe: Describe,
        profiles: Profiles | None = None,
        notes: Callable[[], Mapping[str, str]] = dict[str, str],
        *,
        interval: float = 1.0,
    ) -> None:
        """Write what was marked, until cancelled, and then once more.

        Args:
            describe: gives a program as it is now, by its id; None if it is over.
            profiles: are saved now and then too.
            notes: gives what is to be noted as often as that, by name.
            interval: seconds between writings.
        """
        pause, profiles_due = interval, anyio.current_time() + _PROFILES
        try:
            while True:
                await anyio.sleep(pause)
                try:
                    due = anyio.current_time() >= profiles_due
                    if due:
                        profiles_due = anyio.current_time() + _PROFILES
                        self._noted |= notes()
                    await self._flush(describe)
                    if due and profiles is not None:
                        await profiles.save_aside()
                    pause = interval
                except StoreError as error:
                    pause = min(2 * pause, max(interval, _LONGEST_PAUSE))
                    self._warn(error)
        finally:
            with anyio.move_on_after(_LAST, shield=True) as scope:
                try:
                    self._noted |= notes()
                    await self._flush(describe)
                    if profiles is not None:
                        await profiles.save_aside()
                except StoreError as error:
                    _log.warning("the last changes of programs are lost: %s", error)
            if scope.cancelled_caught:
                _log.warning("the last changes of programs are lost: the store does not answer")

    def _warn(self, error: StoreError) -> None:
        now = anyio.current_time()
        if now >= self._warned + _WARN:
            self._warned = now
            _log.warning("programs are not saved for now, all else goes on: %s", error)

    async def _flush(self, describe: Describe) -> None:
        """Write all that is marked now; what is not written stays marked."""
        if self._owner is not None:
            await anyio.to_thread.run_sync(self._owner.check, abandon_on_cancel=True)
        dirty, self._dirty = self._dirty, set()
        spoken, self._spoken = self._spoken, {}
        noted, self._noted = self._noted, {}
        held, self._held = self._held, {}
        try:
            if noted:
                texts = {json.dumps(name): json.dumps(value) for name, value in noted.items()}
                await _aside(self._tables.write_notes, texts)
                noted = {}
            for ids in _batches(list(dirty)):
                described = [(id, describe(id)) for id in ids]
                await _aside(self._write, described)
                dirty.difference_update(ids)
            for some in _batches(list(spoken.items())):
                rows = [(digest, key_of(program), at) for digest, (program, at) in some]
                await _aside(self._tables.write_conversations, rows)
                for digest, _ in some:
                    del spoken[digest]
            for some in _batches(list(held.items())):
                rows = [(key, engine, at) for key, (engine, at) in some]
                await _aside(self._tables.write_responses, rows)
                for key, _ in some:
                    del held[key]
        except BaseException:
            self._dirty |= dirty
            self._spoken = spoken | self._spoken
            self._noted = noted | self._noted
            self._held = held | self._held
            raise

    def _write(self, described: list[tuple[str, SavedProgram | None]]) -> None:
        gone = [key_of(id) for id, kept in described if kept is None]
        rows = [kept.row() for _, kept in described if kept is not None]
        self._tables.write_programs(rows, gone)


async def _aside(write: Callable[[T], None], what: T) -> None:
    """Have a worker thread write; whoever is cancelled meanwhile does not wait for its end."""
    await anyio.to_thread.run_sync(write, what, abandon_on_cancel=True)


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for begin in range(0, len(items), _BATCH):
        yield items[begin : begin + _BATCH]
