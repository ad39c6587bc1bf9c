"""What the service keeps, on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import logging
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event, text

from waiting import PATIENCE, until
from weft.orchestrator.estimates.profiles import Profiles
from weft.orchestrator.restore import CachedChain, SchedulingState
from weft.service.programs.records import ProgramRecord
from weft.service.state.saved_program import SavedProgram
from weft.service.state.state import State
from weft.store.store import Store

LEASE = 600.0


def kept(id: str, blocks: int = 4, **known: Any) -> SavedProgram:
    now = time.time()
    saved = SchedulingState(
        id, "codex", "tenant", "e0", age=9.0, idle=2.0, room=5.0, calls=3, context=100
    )
    hashes = [hash((id, i)) % 2**64 for i in range(blocks)]
    known = {"began": now - 9, "seen": now, "count": 3, "prompt": 300, "at": now, **known}
    return SavedProgram(saved, "session-id", "parent", **known, chain=CachedChain(16, hashes))


def same(one: SavedProgram, other: SavedProgram) -> bool:
    """Whether two are the same but for the time that passed."""

    def plain(kept: SavedProgram) -> tuple[object, ...]:
        saved = replace(kept.saved, age=0, idle=0, room=0)
        chain = kept.chain
        return replace(kept, saved=saved, at=0, chain=None), chain and (
            chain.block_size,
            list(chain.hashes),
        )

    passed = other.at - one.at
    return plain(one) == plain(other) and other.saved.idle == pytest.approx(one.saved.idle + passed)


@contextmanager
def opened(place: str | Path, **options: int):
    with Store(place) as store:
        yield State(store, None, **options)


async def flush(state: State, describe: Callable[[str], SavedProgram | None]) -> None:
    """Write what is marked, by being cancelled."""
    async with anyio.create_task_group() as group:
        group.start_soon(state.run, describe)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()


async def test_programs_are_there_again(store_place, anyio_backend):
    programs = {id: kept(id, seen=100.0 + i) for i, id in enumerate("cab")}
    with opened(store_place) as state:
        assert state.restore(LEASE) == []
        for id in programs:
            state.mark(id)
        await flush(state, programs.get)
    with opened(store_place) as state:
        found = state.restore(LEASE)
        assert [one.saved.id for one in found] == ["c", "a", "b"]
        assert all(same(programs[one.saved.id], one) for one in found)
        del programs["a"]
        programs["b"] = replace(programs["b"], count=99, chain=None)
        for id in "ab":
            state.mark(id)
        await flush(state, programs.get)
    with opened(store_place) as state:
        assert [(one.saved.id, one.count, one.chain is None) for one in state.restore(LEASE)] == [
            ("c", 3, False),
            ("b", 99, True),
        ]


async def test_a_record_becomes_what_it_was(anyio_backend):
    record = ProgramRecord("t/1", "t", "aider", "conversation", "t/0", 1.5, 2.5)
    record.count, record.prompt, record.cached, record.generated = 1, 2, 3, 4
    record.waited, record.errors = 5.5, 6
    with opened("sqlite://") as state:
        state.mark("t/1")
        await flush(
            state,
            lambda id: SavedProgram.of(record, SchedulingState(id, record.name, record.tenant)),
        )
        [found] = state.restore(LEASE)
    again = found.record()
    for name in ("calls", "live"):
        assert not getattr(again, name)
    shown = [name for name in ProgramRecord.__slots__ if name not in ("calls", "live")]
    assert [getattr(again, n) for n in shown] == [getattr(record, n) for n in shown]


async def test_a_lease_that_is_over_is_forgotten(store_place, anyio_backend):
    programs = {"old": kept("old", at=time.time() - LEASE), "new": kept("new")}
    with opened(store_place) as state:
        for id in programs:
            state.mark(id)
        await flush(state, programs.get)
    with opened(store_place) as state:
        assert [one.saved.id for one in state.restore(LEASE)] == ["new"]
        await flush(state, lambda id: None)
    with opened(store_place) as state:
        assert [one.saved.id for one in state.restore(10 * LEASE)] == ["new"]


async def test_times_run_on_while_nobody_is_there_and_a_clock_set_back_does_no_harm(anyio_backend):
    now = time.time()
    programs = {"a": kept("a", at=now - 3), "b": kept("b", at=now + 1000)}
    with opened("sqlite://") as state:
        for id in programs:
            state.mark(id)
        await flush(state, programs.get)
        found = {one.saved.id: one.saved for one in state.restore(LEASE)}
    assert found["a"].idle == pytest.approx(5, abs=1)
    assert found["a"].age == pytest.approx(12, abs=1)
    assert found["a"].room == pytest.approx(2, abs=1)
    assert (found["b"].age, found["b"].idle, found["b"].room) == (9, 2, 5)


async def test_conversations_go_with_their_programs(store_place, anyio_backend):
    programs = {id: kept(id) for id in "ab"}
    with opened(store_place) as state:
        for id in programs:
            state.mark(id)
        state.mark_conversation(b"one", "a")
        state.mark_conversation(b"two\0", "b")
        await flush(state, programs.get)
        state.mark_conversation(b"one", "b")
        state.mark_conversation(b"three", "a")
        await flush(state, programs.get)
    with opened(store_place) as state:
        found = state.conversations("ab")
        assert [(d, p) for d, p, _ in found] == [(b"two\0", "b"), (b"one", "b"), (b"three", "a")]
        assert all(abs(seen - time.time()) < 60 for *_, seen in found)
        del programs["a"]
        state.mark("a")
        await flush(state, programs.get)
        assert [(d, p) for d, p, _ in state.conversations("ab")] == [(b"two\0", "b"), (b"one", "b")]
        assert state.conversations(["a"]) == []


async def test_notes_are_kept_and_the_last_one_counts(store_place, anyio_backend):
    with opened(store_place) as state:
        secret = state.secret()
        state.note("chunk of m", "60")
        state.note("\0", "\0\ud800")
        await flush(state, lambda id: None)
        state.note("chunk of m", "64")
        state.note("secret", "other")
        await flush(state, lambda id: None)
    with opened(store_place) as state:
        assert state.notes() == {"chunk of m": "64", "\0": "\0\ud800", "secret": "other"}
        assert state.secret() == secret


async def test_all_of_it_is_bounded(store_place, anyio_backend):
    programs = {str(i): kept(str(i), blocks=10, seen=float(i)) for i in range(100)}
    with opened(store_place, most_chains=30 * 80 + 79, most_conversations=80) as state:
        for i in range(100):  # each its turn, so that their order is known
            state.mark(str(i))
            state.mark_conversation(b"%d" % i, str(i))
            await flush(state, programs.get)
    with opened(store_place, most_chains=20 * 80) as state:
        found = state.restore(LEASE)
        assert len(found) == 100
        assert [one.saved.id for one in found if one.chain] == [str(i) for i in range(70, 100)]
        assert 80 <= len(state.conversations(programs)) <= 91
        assert state.conversations(programs)[-1][:2] == (b"99", "99")
        state.mark("5")
        await flush(state, programs.get)
        chained = [one.saved.id for one in state.restore(LEASE) if one.chain]
        assert chained == ["5", *(str(i) for i in range(81, 100))]


names = st.text(max_size=40) | st.just("\0\ud800'\"\\")
numbers = st.floats(allow_nan=False, allow_infinity=False)
many = st.lists(
    st.builds(
        SavedProgram,
        st.builds(
            SchedulingState,
            id=names,
            name=names,
            tenant=names,
            home=names,
            tool=names,
            calls=st.integers(0, 2**60),
            idle=st.floats(0, LEASE / 2),
            seconds=numbers,
        ),
        source=names,
        parent=names,
        began=numbers,
        seen=numbers,
        prompt=st.integers(0, 2**60),
        waited=numbers,
        chain=st.none()
        | st.builds(
            CachedChain,
            st.integers(1, 256),
            st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=9),
        ),
    ),
    max_size=9,
    unique_by=lambda kept: kept.saved.id,
)


@settings(max_examples=20)
@given(many)
def test_whatever_is_kept_comes_back(programs: list[SavedProgram]):
    round_trip(None, programs)


def test_whatever_is_kept_comes_back_from_postgresql(postgres):
    place = postgres.database()

    @settings(max_examples=8)
    @given(many)
    def check(programs: list[SavedProgram]) -> None:
        round_trip(place, programs)

    check()


def round_trip(place: str | None, programs: list[SavedProgram]) -> None:
    known = {one.saved.id: replace(one, at=time.time()) for one in programs}

    async def main() -> None:
        with Store(place) as store:
            state = State(store)
            earlier = [one.saved.id for one in state.restore(LEASE)]
            for id in [*known, *earlier]:
                state.mark(id)
            await flush(state, known.get)
            found = {one.saved.id: one for one in State(store).restore(LEASE)}
        assert found.keys() == known.keys()
        assert all(same(known[id], found[id]) for id in known)

    anyio.run(main)


async def test_what_cannot_be_read_is_forgotten(store_place, anyio_backend, caplog):
    programs = {id: kept(id) for id in "abcde"}
    with Store(store_place) as store:
        state = State(store)
        for id in programs:
            state.mark(id)
        await flush(state, programs.get)
        rows = state._tables.programs()
        keys = {json.loads(text)["saved"]["id"]: key for key, text, *_ in rows}
        with store.database.writing() as connection:
            for id, change in {
                "a": "kept = 'no JSON'",
                "b": """kept = '{"saved": {"id": 5}}'""",
                "c": "chain = substr(chain, 1, 7)",
                "d": """kept = '{"saved": {"id": "d", "later": 1}, "of a later version": 1}'""",
            }.items():
                key = keys[id]
                connection.execute(text(f"UPDATE programs SET {change} WHERE program = '{key}'"))
        found = {one.saved.id for one in State(store).restore(1e12)}
        assert found == {"d", "e"}
        assert "3 programs in the store can't be read" in caplog.text
        assert len(state._tables.programs()) == 2


async def test_what_is_marked_while_others_are_written_is_written_too(store_place, anyio_backend):
    """Many programs that change all the time; none is lost, and the last change wins."""
    programs = {str(i): kept(str(i), blocks=2) for i in range(300)}
    with opened(store_place) as state:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: state.run(programs.get, interval=0.001))
            for turn in range(1, 6):
                for id in programs:
                    programs[id] = replace(programs[id], count=turn * 1000 + int(id))
                    state.mark(id)
                    if int(id) % 30 == 0:
                        await anyio.sleep(0.001)
            group.cancel_scope.cancel()
        assert not state._dirty
        assert {one.saved.id: one.count for one in state.restore(LEASE)} == {
            id: 5000 + int(id) for id in programs
        }


async def test_the_loop_goes_on_while_the_database_does_not_answer(tmp_path, anyio_backend):
    path = tmp_path / "s.sqlite"
    programs = {id: kept(id) for id in "ab"}
    with opened(path) as state:
        other = sqlite3.connect(path, isolation_level=None)
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: state.run(programs.get, interval=0.01))
            other.execute("BEGIN IMMEDIATE")
            state.mark("a")
            await until(lambda: not state._dirty)  # it tries
            for _ in range(20):
                await anyio.sleep(0.001)
            state.mark("b")
            assert state._dirty == {"b"}
            assert state.restore(LEASE) == []
            other.execute("ROLLBACK")
            await until(lambda: len(state.restore(LEASE)) == 2)
            group.cancel_scope.cancel()
        other.close()


async def test_a_full_disk_is_one_warning_and_nothing_is_lost(tmp_path, anyio_backend, caplog):
    programs = {str(i): kept(str(i), blocks=500) for i in range(100)}
    with Store(tmp_path / "s.sqlite") as store:
        state = State(store)
        [pages] = [pragma(store, "page_count")]
        limit_pages(store, pages + 10)
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: state.run(programs.get, interval=0.005))
            for id in programs:
                state.mark(id)
            await until(lambda: "not saved for now" in caplog.text)
            await until(lambda: state._dirty == set(programs))
            limit_pages(store, 2**30)
            await until(lambda: len(state.restore(LEASE)) == 100)
            group.cancel_scope.cancel()
        warnings = [r for r in caplog.records if r.levelno >= logging.WARNING]
        assert len(warnings) == 1
        assert "disk is full" in caplog.text


def pragma(store: Store, name: str) -> int:
    with store.database.reading() as connection:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()


def limit_pages(store: Store, pages: int) -> None:
    """Let the database's file grow so far; each connection has its own limit."""

    def limit(connection, *_):
        connection.execute(f"PRAGMA max_page_count={pages}")

    event.listen(store.database._engine, "checkout", limit)


async def test_a_database_that_goes_and_comes_back(postgres, anyio_backend, caplog):
    programs = {id: kept(id) for id in "abc"}
    with opened(postgres.database()) as state:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: state.run(programs.get, interval=0.01))
            state.mark("a")
            await until(lambda: len(state.restore(LEASE)) == 1)
            postgres.stop()
            try:
                state.mark("b")
                await until(lambda: "not saved for now" in caplog.text)
                state.mark("c")
                state.mark_conversation(b"digest", "c")
                state.note("name", "value")
            finally:
                await anyio.to_thread.run_sync(postgres.start)
            await until(lambda: bool(state.notes() and state.conversations("c")))
            group.cancel_scope.cancel()
        assert [one.saved.id for one in state.restore(LEASE)] == ["a", "b", "c"]
        assert len(state.conversations("c")) == 1
        assert caplog.text.count("not saved for now") == 1


async def test_the_end_does_not_wait_for_a_database_that_is_gone(
    tmp_path, anyio_backend, caplog, monkeypatch
):
    monkeypatch.setattr("weft.service.state.state._LAST", 0.2)
    path = tmp_path / "s.sqlite"
    with opened(path) as state:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        state.mark("a")
        await flush(state, lambda id: kept(id))  # though the database is still locked
        assert "does not answer" in caplog.text
        assert state._dirty == {"a"}
        other.execute("ROLLBACK")
        other.close()
        # The write that nobody waits for any more ends by itself.
        await until(lambda: len(state.restore(LEASE)) == 1)


async def test_profiles_are_saved_at_the_end(anyio_backend):
    with Store() as store:
        profiles = Profiles(store)
        profiles.learn_calls("codex", 5)
        async with anyio.create_task_group() as group:
            group.start_soon(State(store).run, lambda id: None, profiles)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        assert len(store.profiles()) == 2


async def test_profiles_are_saved_now_and_then(anyio_backend, monkeypatch):
    monkeypatch.setattr("weft.service.state.state._PROFILES", 0.01)
    with Store() as store:
        profiles = Profiles(store)
        async with anyio.create_task_group() as group:
            state = State(store)
            group.start_soon(lambda: state.run(lambda id: None, profiles, interval=0.01))
            for calls in (5, 6):
                profiles.learn_calls("codex", calls)
                await until(
                    lambda calls=calls: (
                        f'"count": {calls - 4}' in "".join(store.profiles().values())
                    )
                )
            group.cancel_scope.cancel()


def test_a_secret_is_made_once(store_place):
    with opened(store_place) as state:
        secret = state.secret()
        assert len(secret) == 32
        assert state.secret() == secret
    with opened(store_place) as state:
        assert state.secret() == secret
    if isinstance(store_place, Path):
        assert stat.S_IMODE(store_place.stat().st_mode) == 0o600
    with opened(None) as state:  # type: ignore[arg-type]
        assert state.secret() != secret


CHILD = """
import sys, time, anyio
from array import array
from weft.store.store import Store
from weft.orchestrator.estimates.profiles import Profiles
from weft.orchestrator.restore import CachedChain, SchedulingState
from weft.service.state.saved_program import SavedProgram
from weft.service.state.state import State

store = Store(sys.argv[1])
state, profiles = State(store), Profiles(store)
programs = {}

def describe(id):
    count = programs[id]
    now = time.time()
    chain = CachedChain(16, [int(id) * 1000 + i for i in range(count)])
    state = SchedulingState(id, calls=count)
    return SavedProgram(state, began=now, seen=now, count=count, at=now, chain=chain)

async def main():
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: state.run(describe, interval=0.01))
        turn = 0
        while True:
            turn += 1
            for i in range(200):
                programs[str(i)] = turn
                state.mark(str(i))
                state.mark_conversation(b"%d" % i, str(i))
            await anyio.sleep(0.002)

anyio.run(main)
"""


def test_what_a_killed_process_wrote_is_there(store_place, tmp_path):
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    child = subprocess.Popen([sys.executable, script, str(store_place)], stderr=subprocess.PIPE)
    try:
        ready = time.monotonic() + PATIENCE
        with opened(store_place) as state:

            def written() -> list[SavedProgram]:
                found = state.restore(LEASE)
                said = state.conversations(one.saved.id for one in found)
                all = len(said) == 200 and min(one.count for one in found) > 1
                return found if all else []

            while not (found := written()):
                assert child.poll() is None, child.stderr and child.stderr.read()
                assert time.monotonic() < ready
                time.sleep(0.02)
        child.send_signal(signal.SIGKILL)
        assert child.wait(PATIENCE) == -signal.SIGKILL
    finally:
        child.kill()
        child.wait()
        assert child.stderr is not None
        child.stderr.close()
    with opened(store_place) as state:
        after = {one.saved.id: one for one in state.restore(LEASE)}
        assert after.keys() == {str(i) for i in range(200)}
        for before in found:
            one = after[before.saved.id]
            assert one.count >= before.count
            assert one.chain is not None
            first = int(one.saved.id) * 1000
            assert list(one.chain.hashes) == list(range(first, first + one.count))
        assert len(state.conversations(after)) == 200
