from __future__ import annotations

from math import inf

import anyio

from waiting import until
from weft.backends.engine import EngineLoad
from weft.backends.scripted.engine import ScriptedEngine
from weft.errors import EngineUnavailable
from weft.orchestrator.policy_file import load_policy
from weft.orchestrator.scheduler import Scheduler
from weft.service.engines.loads import follow_loads


class Moody(ScriptedEngine):
    """An engine that answers well, not at all, or never."""

    mood = "well"
    asked = 0
    thrown_out = 7

    async def load(self) -> EngineLoad:
        self.asked += 1
        if self.mood == "silent":
            await anyio.sleep_forever()
        if self.mood == "gone":
            raise EngineUnavailable("gone")
        return EngineLoad(self.asked, 0, 0.5, self.thrown_out)


async def test_loads_are_kept_as_long_as_engines_give_them() -> None:
    one, other = (Moody("x", model="m", name=name) for name in ("one", "other"))
    scheduler = Scheduler([one, other], load_policy("weft"))
    loads: dict[str, EngineLoad] = {"before": EngineLoad()}

    async def rounds(count: int) -> None:
        target = one.asked + count
        await until(lambda: one.asked >= target)

    async with anyio.create_task_group() as group:
        group.start_soon(follow_loads, scheduler, loads, 0.02)
        await rounds(2)
        assert loads.keys() == {"one", "other"}
        assert loads["one"].kv_usage == 0.5
        for mood in ("gone", "silent"):
            other.mood = mood
            await rounds(3)
            assert loads.keys() == {"one"}
            other.mood = "well"
            await rounds(3)
            assert loads.keys() == {"one", "other"}
        assert scheduler.replicas[1].window == inf  # what was before tells nothing of now
        other.thrown_out += 1
        await rounds(3)
        assert [replica.window for replica in scheduler.replicas] == [inf, 1]
        scheduler.replicas[1].take_out(EngineUnavailable("gone"))
        await rounds(3)
        assert loads.keys() == {"one"}
        group.cancel_scope.cancel()
