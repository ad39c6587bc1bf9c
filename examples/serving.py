"""What the scheduler is told: stages, sub-agents, tools that take time; and a policy that uses it.

Two coders work on an issue, each a program of its own: they think, run tests and think again.
While tests run, the policy decides for how long a coder's prefix is worth keeping.

    weft run examples/serving.py:solve -e ENGINE --policy saga --out out
    weft explain out                            # why each call went where it went, and when
    weft simulate out -p saga -p continuum      # the same program on engines that you don't have
"""

import anyio

from weft import Prompt, fan_out, generate, node, program, waiting


@node(calls=1)
async def plan(issue: str) -> str:
    """Which parts the work has."""
    return (await generate(Prompt.user(f"Plan in two lines: {issue}"), max_tokens=100)).text


@node(calls=1)
async def review(patches: list[str]) -> str:
    """Which patch is taken."""
    prompt = Prompt.user("Which patch is better?\n\n" + "\n---\n".join(patches))
    return (await generate(prompt, max_tokens=100)).text


@program(calls=2)
async def coder(part: str) -> str:
    """A sub-agent: writes a patch, has it tested, and writes it anew."""
    prompt = Prompt.system("You write patches.").user(part)
    said = await generate(prompt, max_tokens=200)
    async with waiting("pytest", expects=0.05):
        await anyio.sleep(0.05)  # here the tests would run
    return (await generate(said.prompt.user("One test fails. Mend it."), max_tokens=200)).text


@program(stages=[plan, review], calls=2)  # and the sub-agents say what they will do
async def solve(issue: str = "The parser drops the last line.") -> str:
    """A patch for an issue."""
    parts = (await plan(issue)).splitlines()[:2]
    async with fan_out(coder, parts, programs=True) as done:
        patches = [patch async for patch in done]
    return await review(patches)
