"""A program of weft on a gateway of weft: one program there too."""

import pytest

from hosted_endpoint import Endpoint
from hosted_endpoint import serving as serving_endpoint
from live_service import serving
from weft import Pool, Prompt, fan_out, generate, node, program, run
from weft.backends.mock import server as mock
from weft.backends.openai import OpenAIEngine
from weft.backends.scripted.engine import ScriptedEngine
from weft.types import Sender

pytestmark = pytest.mark.loops("asyncio")


@node
async def plan(text: str) -> str:
    return (await generate(Prompt.user(text))).text


@program
async def sub_agent(text: str) -> str:
    return await plan(text)


@program
async def agent() -> None:
    for text in ("one", "another", "a third"):
        await plan(text)
    async with fan_out(plan, ["a", "b"]) as results:
        assert len([one async for one in results]) == 2
    await sub_agent("below")


async def test_a_run_is_one_program_and_its_sub_agent_another():
    engine = ScriptedEngine("x", model="m")
    with mock.running(engine) as address:
        async with serving(address) as live:
            gateway = OpenAIEngine("m", f"http://127.0.0.1:{live.port}/v1", api_key="k")
            async with Pool(gateway) as pool:
                done = await run(agent, pool=pool)
            programs = list(live.inside.registry.programs.values())
    assert done.usage.calls == 6
    own, below = sorted(programs, key=lambda one: len(one.calls), reverse=True)
    assert (len(own.calls), own.name, own.parent) == (5, "agent", "")
    assert (len(below.calls), below.name, below.parent) == (1, "sub_agent", own.id)
    assert below.id.startswith(own.id)


async def test_other_endpoints_are_not_told_who_asks():
    """Names of functions are no business of a hosted endpoint."""
    endpoint = Endpoint()
    with serving_endpoint(endpoint) as hosted:
        async with Pool(OpenAIEngine("m", hosted.url, api_key="k")) as pool:
            assert (await run(plan, "one", pool=pool)).value == "hi"
    assert endpoint.headers
    for headers in endpoint.headers:
        assert not [name for name in headers if "weft" in name or "session" in name]


def test_who_asks_as_headers():
    assert Sender().headers == {}
    assert Sender("7/a-1", "", "Lösung\n1", "plan").headers == {
        "x-weft-program": "7/a-1",
        "x-weft-name": "L%C3%B6sung%0A1",
        "x-weft-stage": "plan",
        "x-session-id": "7/a-1",
    }
