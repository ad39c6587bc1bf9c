"""A model proposes policies as code, with sight of what its earlier ones came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from weft.errors import EngineError
from weft.programs import Prompt, fan_out, generate
from weft.search.readers.writing.fences import fenced
from weft.search.strategy import stable_seed

_ASK = '''A scheduler sends the calls of agents' programs to inference engines. A policy makes its \
decisions. Write a policy for which the {sought} is {better}.

A policy is a Python class. Only `place` must be written:

```python
from weft.orchestrator import Admission, Order, Placement, Policy, Retention, param, policy
from weft.orchestrator.policies.parts import beside_claims, best, home_of


@policy("brisk")
class Brisk(Policy):
    """Short prompts first; programs with quick tools keep their room."""

    most: float = param(5.0, "seconds of a tool that are worth waiting for", least=0)

    def admit(self, call, engine, view):  # may the call enter the engine, which has room, now?
        return beside_claims(call, engine)

    def order(self, call, view):  # the smallest key goes first; overdue: when it goes before all
        return Order((call.prompt_tokens,), "the shortest first", call.since + 60.0)

    def place(self, call, view):  # on which engine; firm: it waits for this one alone
        home = home_of(call, view)
        if home is not None and call.program.resident:
            return Placement(home, "its room is kept there", firm=True)
        return Placement(best(call, view, lambda engine: engine.claimed), "the least is taken")

    def retain(self, program, engine, view):  # how long the program keeps its room
        away = view.profiles.away(program).quantile(0.9)
        return Retention(away if away <= self.most else 0.0, "by its tool", rank=-away)
```

A call has: program, stage, since, prompt_tokens, answer_tokens, group, siblings. A program has: \
arrived, calls, seconds, critical, waited, computed, context, home, running, claim, resident, \
active, acting, tool. An engine has: capacity, concurrency, in_flight, reserved, claimed, \
programs, weakest, queued, cached(call), need(call), has_room(call), prefill_seconds, \
decode_seconds. A view has: now, engines, waiting, profiles. \
`Admission(enter, reason, displace=None, again=None)` refuses a call if `enter` is False.

Import nothing but `weft.orchestrator`, its `policies.parts`, `math`, `heapq`, `collections`, \
`dataclasses`. Decisions are pure functions, and return a reason in words.

{history}
Answer with one Python code block that has the whole file, with one policy.'''


@dataclass(frozen=True)
class EarlierProposal:
    """What a proposal came to, as the next ones are told."""

    code: str
    came: str


async def propose(
    earlier: Sequence[EarlierProposal],
    sought: str,
    *,
    larger: bool,
    each: int,
    round: int,
    seed: int = 0,
    max_tokens: int = 4096,
    temperature: float = 0.8,
) -> list[str]:
    """The code of new policies, side by side; those that no model could be asked for are left out.

    Args:
        earlier: what is shown of earlier ones, the best first.
        sought: the objective, in words.
        larger: whether more of it is better.
        each: how many.
        round: a number that chance derives from.
        seed: another one.
        max_tokens: most of an answer.
        temperature: of sampling.

    Raises:
        EngineError: there is none for engines' failures.
    """
    history = "".join(
        f"An earlier policy came to: {one.came}\n\n```python\n{one.code.strip()}\n```\n\n"
        for one in earlier
    )
    better = "as large as can be" if larger else "as small as can be"
    prompt = Prompt.user(_ASK.format(sought=sought, better=better, history=history))
    said: dict[int, str] = {}
    errors: list[EngineError] = []

    async def ask(index: int) -> None:
        try:
            completion = await generate(
                prompt,
                max_tokens=max_tokens,
                temperature=temperature,
                seed=stable_seed(seed, "proposal", round, index),
                index=round * each + index,
            )
        except EngineError as error:
            errors.append(error)
            return
        said[index] = completion.text

    async with fan_out(ask, range(each)) as asked:
        async for _ in asked:
            pass
    if not said and errors:
        raise errors[0]
    return [code for index in sorted(said) if (code := code_of(said[index]))]


def code_of(text: str) -> str:
    """The last block of Python in a text; all of it if it has no block."""
    blocks = [one.code for one in fenced(text) if one.language in ("", "py", "python", "python3")]
    return (blocks[-1] if blocks else text).strip()
