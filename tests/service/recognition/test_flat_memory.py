"""What is over goes at once: nothing waits for all memory to be looked through for cycles."""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable, Generator

import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from live_service import answered, raw_engine, serving
from weft.cache.prefix import PrefixIndex
from weft.service.programs import registry as programs
from weft.service.programs.registry import Registry
from weft.service.recognition.conversations import Conversations

pytestmark = pytest.mark.loops("asyncio")

Work = Callable[[int], None]


@pytest.fixture(autouse=True)
def no_collections() -> Generator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def records() -> Work:
    registry = Registry()

    def work(number: int) -> None:
        program = registry.begin(str(number), "", "", "")
        for _ in range(3):
            registry.call_ended(registry.call(program, "/v1/messages", "m"))
        registry.program_ended(program.id, "over")
        assert len(registry.ended) <= programs.ENDED

    return work


def conversations() -> Work:
    known = Conversations(most=50)

    def work(number: int) -> None:
        for said in (b"", b"assistant\nYes."):
            turn = known.find("", "m", [b"user\n%d" % number, said], 16)
            known.end(turn)
        assert len(known) <= 50

    return work


def cached_prefixes() -> Work:
    index = PrefixIndex(64)

    def work(number: int) -> None:
        chain = [hash((number, block)) for block in range(8)]
        hold = index.open(chain)
        index.grow(hold, chain, len(chain))
        index.close(hold, number)

    return work


@pytest.mark.parametrize("kind", [records, conversations, cached_prefixes])
def test_what_is_let_go_leaves_no_cycles(kind: Callable[[], Work]) -> None:
    work = kind()
    for number in range(1000):
        work(number)
    gc.collect()  # what begins may leave some
    for number in range(1000, 2000):
        work(number)
    assert gc.collect() < 10


async def test_a_request_is_gone_when_it_is_answered() -> None:
    async with raw_engine(answered(200, b'{"id":"x"}')) as engine, serving(engine.url) as service:
        for _ in range(20):
            assert (await service.post()).status_code == 200
        left = sum(isinstance(one, RequestResponseCycle) for one in gc.get_objects())
        assert 0 < left < 5  # the last of each connection


def test_kinds_of_agents_whose_programs_are_over_are_forgotten() -> None:
    known = Conversations(most=50)

    def kept() -> int:
        tracked = {id(known)}
        waiting, count = [known], 0
        while waiting:
            for one in gc.get_referents(waiting.pop()):
                if id(one) not in tracked and not isinstance(one, type) and gc.is_tracked(one):
                    tracked.add(id(one))
                    waiting.append(one)
                    count += isinstance(one, OrderedDict)
        return count

    counts: list[int] = []
    for number in range(30):
        lead, task = b"system\nYou are number %d." % number, b"user\n" + b"word " * 1000
        place = known.find("", "m", [lead, task], 64)
        known.end(place, generated=9)
        known.end_program(place.program)
        counts.append(kept())
    assert counts[-1] == counts[0]
