"""What is known of engines' speeds outlives a restart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from live_service import LiveService, serving
from waiting import until
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import ScriptedEngine
from weft.orchestrator.dispatch.replica import Replica
from weft.service.state.state import State
from weft.store.store import Store

pytestmark = pytest.mark.loops("asyncio")


def engine() -> ScriptedEngine:
    return ScriptedEngine("Hello", model="m", prompt_seconds=0.002, token_seconds=0.005)


def only(service: LiveService) -> Replica:
    (replica,) = service.inside.scheduler.replicas
    return replica


def speeds(replica: Replica) -> tuple[float, float]:
    """At lengths such as those that were learned from; what lies far off is less exact."""
    return replica.prefill_seconds(5), replica.decode_seconds(1)


async def test_speeds_are_known_after_a_restart_by_name_and_model(tmp_path: Path) -> None:
    store = str(tmp_path / "weft.db")
    with mock.running(engine()) as url, mock.running(ScriptedEngine("x", model="n")) as other:
        here = {"spec": url, "name": "here"}
        async with serving(here, store=store) as service:
            for number in range(6):
                said = [{"role": "user", "content": f"{number} of many"}]
                assert (await service.post(messages=said, stream=True)).is_success
            await until(service.idle)  # the last one is learned from when its end is read
            learned = speeds(only(service))
            assert all(learned)
        async with serving(here, store=store) as service:
            assert speeds(only(service)) == pytest.approx(learned, rel=0.01)
        async with serving({"spec": url, "name": "elsewhere"}, store=store) as service:
            assert speeds(only(service)) == (0, 0)
        async with serving({"spec": other, "name": "here"}, store=store) as service:
            assert speeds(only(service)) == (0, 0)
        # It was not there for two lives of the service.
        async with serving(here, store=store) as service:
            assert speeds(only(service)) == pytest.approx(learned, rel=0.01)


@pytest.mark.parametrize("junk", ["{", "[1]", '[["here", "m", [[[1, -1, 1]], []]]]', "7"])
async def test_speeds_that_cannot_be_read_are_learned_anew(tmp_path: Path, junk: str) -> None:
    store = str(tmp_path / "weft.db")
    with Store(store) as opened:
        State(opened)._tables.write_notes({'"speeds"': json.dumps(junk)})
    with mock.running(engine()) as url:
        async with serving({"spec": url, "name": "here"}, store=store) as service:
            assert speeds(only(service)) == (0, 0)
            assert (await service.post()).is_success


async def test_an_engine_that_comes_back_by_a_reload_is_as_quick_as_it_was() -> None:
    with mock.running(engine()) as url:
        async with serving({"spec": url, "name": "here"}) as service:
            for _ in range(4):
                assert (await service.post(stream=True)).is_success
            learned, inside = speeds(only(service)), service.inside
            (gone,) = inside.pool.engines
            await inside.pool.remove(gone.name)
            again = engine()
            again.name = "here"
            inside.scheduler.add(again)
            assert speeds(only(service)) == learned
