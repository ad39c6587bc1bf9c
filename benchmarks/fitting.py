"""Fitting a line of hardware to a real engine, so that it can be simulated."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import anyio

from real_play import IDS
from weft.backends.engine import Engine
from weft.backends.simulated.hardware import Linear
from weft.concurrency import TaskGroup
from weft.errors import EngineError, UsageError
from weft.types import Delta, Request, Sampling

_CONTEXTS = (0, 512, 1024, 2048)  # tokens that are cached
_PROMPTS = (32, 128, 512, 1024)  # tokens that are computed behind them
_BATCHES = (1, 2, 4, 8, 16)
_LENGTHS = (64, 1024)  # of contexts that are decoded
_ANSWER = 33  # one comes with the prompt


@dataclass(frozen=True, slots=True)
class Observation:
    """A step of an engine, and how long it took.

    Attributes:
        seconds: it took.
        prefill: prompt tokens computed.
        prompts: prompts that they belong to.
        decodes: sequences that got a token.
        context: tokens of KV cache read: the lengths of all sequences in the step.
        attended: pairs of a token computed and one that it attends to, see `Hardware`.
    """

    seconds: float
    prefill: int = 0
    prompts: int = 0
    decodes: float = 0.0
    context: float = 0.0
    attended: float = 0.0

    def predicted(self, line: Linear) -> float:
        """What a line says of it."""
        seconds = line.fixed + line.decode * self.decodes + line.context_token * self.context
        seconds += line.prefill_token * self.prefill + line.prompt * self.prompts
        return seconds + line.pair * self.attended


def fit(observations: Sequence[Observation], name: str, kv_tokens: int) -> Linear:
    """The line with the least squares of relative errors whose parameters are not negative.

    Args:
        observations: what it is drawn through.
        name: of the line.
        kv_tokens: of the engine.

    Raises:
        UsageError: there are no observations, or one took no time.
    """
    if not observations or min(o.seconds for o in observations) <= 0:
        raise UsageError("a line is fitted to observations that took more than 0 s, at least one")
    rows = [
        [x / o.seconds for x in (1.0, o.prefill, o.prompts, o.decodes, o.context, o.attended)]
        for o in observations
    ]
    n = len(rows[0])
    best, least = [0.0] * n, float(len(rows))
    # Few enough to try all choices of those that are not 0.
    for count in range(1, n + 1):
        for chosen in itertools.combinations(range(n), count):
            found = _solve([[row[i] for i in chosen] for row in rows])
            if found is None or min(found) < 0:
                continue
            line = [0.0] * n
            for i, value in zip(chosen, found, strict=True):
                line[i] = value
            error = sum((_dot(row, line) - 1) ** 2 for row in rows)
            if error < least:
                best, least = line, error
    return Linear(name, kv_tokens, *best)


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def _solve(rows: Sequence[Sequence[float]]) -> list[float] | None:
    """Least squares of rows x = 1 by the normal equations; None if rows don't determine x."""
    columns = list(zip(*rows, strict=True))
    norms = [_dot(c, c) ** 0.5 for c in columns]
    if not all(norms):
        return None
    unit = [[x / norm for x in c] for c, norm in zip(columns, norms, strict=True)]
    system = [[*(_dot(a, b) for b in unit), sum(a)] for a in unit]
    n = len(system)
    for i in range(n):
        pivot = max(range(i, n), key=lambda r: abs(system[r][i]))
        if abs(system[pivot][i]) < 1e-9:
            return None
        system[i], system[pivot] = system[pivot], system[i]
        for r in range(n):
            if r != i:
                factor = system[r][i] / system[i][i]
                system[r] = [x - factor * y for x, y in zip(system[r], system[i], strict=True)]
    return [system[i][n] / system[i][i] / norms[i] for i in range(n)]


async def observe(
    engine: Engine, *, rounds: int = 3, ids: range = IDS, seed: int = 0
) -> list[Observation]:
    """Measure an engine that does nothing else; on a CPU that takes some seconds a round.

    Measured are times to the first token, by how much of the prompt is cached and how much is
    computed, and times between tokens, by how many sequences run and how long they are. What a
    request costs outside the engine's steps is measured with the prompts.

    Args:
        engine: a connected engine that takes token ids and computes 1024 tokens in one step.
        rounds: measurements of each; their median counts.
        ids: token ids that prompts are made of.
        seed: of the content; caches must not know it yet.

    Raises:
        UsageError: the engine holds less than 1024 tokens.
        EngineError: it failed, or does not report cached tokens.
    """
    limit = min(engine.context or 1 << 20, engine.kv_tokens or 1 << 20)
    if limit < _PROMPTS[-1]:
        raise UsageError(
            f"{engine.name} holds {limit} tokens; measure one that holds {_PROMPTS[-1]} or more"
        )
    gauge = _Gauge(engine, ids, random.Random(f"{engine.name}:{seed}"))
    await gauge.first_token(gauge.prompt(64))  # an engine's first request costs more
    seen: dict[tuple[int, int, int], list[Observation]] = defaultdict(list)
    for _ in range(rounds):
        base = gauge.prompt(min(_CONTEXTS[-1], limit // 2))
        for end in range(_PROMPTS[-1], len(base) + 1, _PROMPTS[-1]):
            await gauge.first_token(base[:end])
        for context, new in itertools.product(_CONTEXTS, _PROMPTS):
            if context <= len(base) and context + new < limit:
                found = await gauge.first_token([*base[:context], *gauge.prompt(new)])
                seen[0, context, new].append(found)
        for length in _LENGTHS:
            prompt = gauge.prompt(length)
            for batch in _BATCHES:
                seen[batch, length, 0].append(await gauge.decoding(prompt, batch))
    return [
        sorted(group, key=lambda o: o.seconds)[(len(group) - 1) // 2] for group in seen.values()
    ]


class _Gauge:
    """Times requests to an engine."""

    def __init__(self, engine: Engine, ids: range, rng: random.Random) -> None:
        self._engine, self._ids, self._rng = engine, ids, rng
        self._numbers = itertools.count()

    def prompt(self, tokens: int) -> list[int]:
        """A prompt that the engine has not seen."""
        return self._rng.choices(self._ids, k=tokens)

    async def first_token(self, prompt: Sequence[int]) -> Observation:
        """Time a prompt."""
        begun = anyio.current_time()
        timed = await self._time(prompt, 1)
        new = len(prompt) - timed.cached
        pairs = new * timed.cached + new * (new + 1) // 2
        return Observation(timed.first - begun, new, 1, context=len(prompt), attended=pairs)

    async def decoding(self, prompt: Sequence[int], batch: int) -> Observation:
        """Time the steps in which so many sequences get a token each.

        By when all have ended, with and without those steps: a server may hold tokens back
        and then send many at once.
        """
        await self._time(prompt, 1)  # now it is cached
        short, long = (
            await self._together(prompt, batch, 1),
            await self._together(prompt, batch, _ANSWER),
        )
        steps = _ANSWER - 1
        read = batch * (len(prompt) + _ANSWER / 2)
        seconds = max(long - short, 1e-6 * steps) / steps
        return Observation(seconds, decodes=batch, context=read, attended=read)

    async def _together(self, prompt: Sequence[int], batch: int, answer: int) -> float:
        """Seconds that so many requests of one prompt take together."""
        begun = anyio.current_time()
        async with TaskGroup() as group:
            for _ in range(batch):
                group.start_soon(self._time, prompt, answer)
        return anyio.current_time() - begun

    async def _time(self, prompt: Sequence[int], answer: int) -> _Timed:
        name = self._engine.name
        how = Sampling(answer, temperature=0.0, ignore_eos=True)
        id = f"gauge-{next(self._numbers)}"
        timed = _Timed()
        await self._engine.complete(
            Request(id, self._engine.model, (), tokens=tuple(prompt), sampling=how), timed.on_delta
        )
        if timed.cached < 0:
            raise EngineError(
                f"{name} does not report cached tokens, without which nothing can be fitted; "
                "start vLLM with --enable-prompt-tokens-details"
            )
        return timed


class _Timed:
    """When a request's first and last token came, and what was cached of its prompt."""

    def __init__(self) -> None:
        self.first = self.last = 0.0
        self.cached = -1

    def on_delta(self, delta: Delta) -> None:
        self.last = anyio.current_time()
        self.first = self.first or self.last
        if delta.finish_reason is not None and delta.cached_tokens is not None:
            self.cached = delta.cached_tokens
