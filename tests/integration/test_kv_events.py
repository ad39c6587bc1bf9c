"""What weft believes an engine's prefix cache holds, against what vLLM reports as cached."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import anyio
import pytest

from weft.backends.vllm import VLLMEngine
from weft.backends.vllm.kv_events import find_sources, follow
from weft.cache.kv_events import ReportedIndex
from weft.cache.prefix import PrefixIndex
from weft.cache.vllm_hashes import event_hashes, vllm_block_hashes
from weft.leases.directive import Directive
from weft.types import Delta, Message, Request, Sampling

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

BLOCK, BLOCKS = 32, 64
ANSWER = 16


async def answer_of(engine: VLLMEngine, prompt: list[int]) -> tuple[list[int], int]:
    """The tokens of an answer that have KV, and how many tokens of the prompt were cached."""
    deltas: list[Delta] = []
    message, sampling = (Message("user", "tokens"),), Sampling(max_tokens=ANSWER)
    request = Request("test", "countdown", message, tokens=tuple(prompt), sampling=sampling)
    await engine.complete(request, deltas.append)
    answer = [token for delta in deltas for token in delta.tokens]
    cached = deltas[-1].cached_tokens
    assert cached is not None
    # The last token that is sampled, which is no EOS if the answer was cut, has none.
    return answer if deltas[-1].ended else answer[:-1], cached


async def let_go(engine: VLLMEngine) -> None:
    """Have the engine forget by age alone: what programs of other tests left is held no more."""
    keep = Directive(release=("*",)).json()
    message, sampling = (Message("user", "tokens"),), Sampling(max_tokens=1)
    request = Request("let go", "countdown", message, tokens=(7,) * 8, sampling=sampling, keep=keep)
    await engine.complete(request, lambda _: None)


@dataclass
class Compared:
    """Predictions beside the engine's own count, in tokens.

    Prompts that are sent at once are one row: the network decides which of them comes first
    and computes what the others hit, and their sum doesn't depend on it.
    """

    engine: VLLMEngine
    reported: ReportedIndex
    estimated: PrefixIndex
    news: anyio.Event = field(default_factory=anyio.Event)
    rows: list[tuple[int, int, int]] = field(default_factory=list)

    def changed(self) -> None:
        """The events have told something."""
        self.news.set()
        self.news = anyio.Event()

    async def stranger(self, prompt: list[int]) -> None:
        """Send a prompt of which weft learns by events only, and wait for these."""
        answer, _ = await answer_of(self.engine, prompt)
        left = event_hashes(vllm_block_hashes([*prompt, *answer], BLOCK))
        while self.reported.match(left) < len(left):
            await self.news.wait()

    async def ask(self, prompt: list[int]) -> list[int]:
        """Send a prompt; gives prompt and answer."""
        row, whole = await self._ask(prompt)
        self.rows.append(row)
        return whole

    async def fan_out(self, prompts: list[list[int]]) -> None:
        """Send prompts at once."""
        rows: list[tuple[int, int, int]] = []

        async def one(prompt: list[int]) -> None:
            row, _ = await self._ask(prompt)
            rows.append(row)

        async with anyio.create_task_group() as tasks:
            for prompt in prompts:
                tasks.start_soon(one, prompt)
        cached, by_events, without = (sum(column) for column in zip(*rows, strict=True))
        self.rows.append((cached, by_events, without))

    async def _ask(self, prompt: list[int]) -> tuple[tuple[int, int, int], list[int]]:
        hashes = event_hashes(vllm_block_hashes(prompt, BLOCK))
        most = (len(prompt) - 1) // BLOCK  # the last token is always computed
        # What runs can be hit before the engine tells of it.
        known = max(self.reported.match(hashes), self.estimated.pinned_match(hashes))
        by_events = min(known, most) * BLOCK
        without = min(self.estimated.match(hashes), most) * BLOCK
        hold = self.estimated.open(hashes)
        assert self.estimated.grow(hold, hashes, len(hashes))
        assert self.estimated.private(hold, 1 + ANSWER // BLOCK)

        answer, cached = await answer_of(self.engine, prompt)

        whole = [*prompt, *answer]
        grown = event_hashes(vllm_block_hashes(whole, BLOCK))
        self.estimated.private(hold, 0)
        assert self.estimated.grow(hold, grown, len(grown))
        assert self.estimated.private(hold, -(-len(whole) // BLOCK) - len(grown))
        self.estimated.close(hold)
        self.reported.expect(grown)
        return (cached, by_events, without), whole

    def agreement(self, column: int) -> float:
        """1 - sum |predicted - reported| / sum reported."""
        wrong = sum(abs(row[0] - row[column]) for row in self.rows)
        return 1 - wrong / sum(row[0] for row in self.rows)


async def traffic(compared: Compared, rng: random.Random, strangers: float) -> None:
    """132 prompts that share prefixes, the last 60 in fan-outs of three: 92 rows.

    `strangers` is the probability that somebody else sends one before, of which weft learns
    by events only.
    """

    def some(least: int, most: int) -> list[int]:
        return [rng.randrange(10, 790) for _ in range(rng.randrange(least, most))]

    async def stranger() -> None:
        if rng.random() < strangers:
            await compared.stranger([*rng.choice(prefixes), *some(1, 200)])

    prefixes = [some(150, 320) for _ in range(7)]
    grown = list(prefixes)
    for _ in range(72):
        await stranger()
        which = rng.randrange(len(prefixes))
        # Half of them go on from an answer, the others begin anew.
        begin = grown[which] if len(grown[which]) < 400 else prefixes[which]
        begin = rng.choice((begin, prefixes[which]))
        grown[which] = await compared.ask([*begin, *some(1, 90)])
    for _ in range(20):
        await stranger()
        # Some of one prompt, or some that share a prefix only.
        begin = rng.choice(prefixes)
        same = rng.random() < 0.5
        one = [*begin, *some(1, 90)]
        await compared.fan_out([one if same else [*begin, *some(1, 90)] for _ in range(3)])


@pytest.mark.loops("asyncio")  # the subscriber has tests of its own, on trio too
@pytest.mark.parametrize(("strangers", "least"), [(0.0, 0.97), (0.3, 0.5)])
async def test_predicted_cached_tokens_are_those_that_the_engine_reports(
    small_replica: str, anyio_backend_name: str, strangers: float, least: float
) -> None:
    engine = VLLMEngine(small_replica)
    await engine.connect()
    try:
        assert (engine.block_size, engine.kv_tokens) == (BLOCK, BLOCKS * BLOCK)
        await let_go(engine)
        (source,) = await find_sources(small_replica)
        compared = Compared(engine, ReportedIndex(), PrefixIndex(BLOCKS))
        followed = compared.news
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow, source, compared.reported, compared.changed)
            await followed.wait()
            # Other tokens each time: nothing hits what earlier tests left.
            await traffic(compared, random.Random(f"{anyio_backend_name} {strangers}"), strangers)
            tasks.cancel_scope.cancel()
    finally:
        await engine.aclose()

    reported = sum(row[0] for row in compared.rows)
    with_events, without = compared.agreement(1), compared.agreement(2)
    print(
        f"{len(compared.rows)} rows, {strangers:.0%} strangers, {reported} cached tokens "
        f"reported; predicted right with events {with_events:.4f}, without {without:.4f}"
    )
    assert len(compared.rows) == 92
    # What is done is told a moment after; how long that is, the machine decides.
    assert with_events >= (0.9 if strangers else 0.95)
    assert without >= least
