"""A store belongs to one service at a time: refusals, deaths, and databases that come back."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import anyio
import pytest

import weft.service.state.owner
from live_service import serving
from waiting import PATIENCE, block_until, until
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import ScriptedEngine
from weft.errors import StoreError
from weft.service.state.owner import Owner
from weft.service.state.state import State
from weft.store.store import Store

HOLDS = """
import sys, anyio
from weft.service.state.owner import Owner
from weft.store.store import Store

async def main():
    with Store(sys.argv[1]) as store:
        await Owner(store.database).take()
        print("taken", flush=True)
        sys.stdin.read()

anyio.run(main)
"""


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weft.service.state.owner, "_PATIENCE", 0.0)


def owner(stack: ExitStack, place: str | Path) -> Owner:
    store = stack.enter_context(Store(place))
    return stack.enter_context(closing(Owner(store.database)))


def free(owner: Owner) -> bool:
    try:
        owner.check()
    except StoreError:
        return False
    return True


async def test_a_second_is_refused_until_the_first_lets_go(store_place, anyio_backend):
    with ExitStack() as stack:
        first, second = owner(stack, store_place), owner(stack, store_place)
        await first.take()
        await first.take()
        with pytest.raises(StoreError, match=r"belongs to another weft serve that runs.*; stop"):
            await second.take()
        first.check()
        first.close()
        await second.take()
        with pytest.raises(StoreError, match="belongs to another"):
            first.check()


async def test_one_that_comes_in_between_waits(store_place, anyio_backend, monkeypatch):
    monkeypatch.setattr(weft.service.state.owner, "_PATIENCE", PATIENCE)
    with ExitStack() as stack:
        first, second = owner(stack, store_place), owner(stack, store_place)
        await first.take()
        async with anyio.create_task_group() as group:
            group.start_soon(second.take)
            await anyio.wait_all_tasks_blocked()
            first.close()
        second.check()


def test_one_that_was_killed_is_followed(store_place, tmp_path):
    script = tmp_path / "holds.py"
    script.write_text(HOLDS)
    with subprocess.Popen(
        [sys.executable, script, str(store_place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"taken\n"
            with ExitStack() as stack:
                second = owner(stack, store_place)
                with pytest.raises(StoreError, match="belongs to another") as refused:
                    anyio.run(second.take)
                on_a_server = "postgresql" in str(store_place)
                assert (f"process {child.pid}" in str(refused.value)) is on_a_server
                child.send_signal(signal.SIGKILL)
                child.wait(PATIENCE)
                # A server sees it a moment later.
                block_until(lambda: free(second))
        finally:
            child.kill()


async def test_a_store_in_memory_is_nobody_elses(anyio_backend):
    with Store() as one, Store() as other:
        for store in (one, other):
            await Owner(store.database).take()


async def test_what_the_owner_shares_a_store_with_goes_on(store_place, anyio_backend):
    with ExitStack() as stack:
        await owner(stack, store_place).take()
        with Store(store_place) as run:
            run.put("key", "outcome", done=True)
            assert run.get("key") is not None


async def test_a_server_that_comes_back_is_taken_again(postgres, anyio_backend):
    place = postgres.database()
    with ExitStack() as stack:
        first, second = owner(stack, place), owner(stack, place)
        await first.take()
        postgres.stop()
        try:
            with pytest.raises(StoreError, match="can't be read"):
                first.check()
        finally:
            postgres.start()
        first.check()
        with pytest.raises(StoreError, match="belongs to another"):
            second.check()


async def test_one_whose_store_was_taken_writes_nothing_until_it_is_free(
    postgres, anyio_backend, caplog
):
    place = postgres.database()
    with ExitStack() as stack:
        first, second = owner(stack, place), owner(stack, place)
        await first.take()
        state = State(stack.enter_context(Store(place)), first)
        postgres.stop()
        postgres.start()
        second.check()  # it was there sooner
        state.note("name", "value")
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: state.run(lambda _: None, interval=0.01))
            await until(lambda: "belongs to another weft serve" in caplog.text)
            assert state.notes() == {}
            second.close()
            await until(lambda: state.notes() == {"name": "value"})
            group.cancel_scope.cancel()


@pytest.mark.loops("asyncio")
async def test_a_second_service_does_not_start(store_place, anyio_backend):
    with mock.running(ScriptedEngine("x", model="m")) as url:
        async with serving(url, store=str(store_place)):
            with pytest.raises(StoreError, match="give this one a store of its own"):
                async with serving(url, store=str(store_place)):
                    pass
        async with serving(url, store=str(store_place)) as third:
            assert (await third.post()).status_code == 200
