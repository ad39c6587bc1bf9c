"""Programs that a scheduler hands over to the next one; virtual time."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterable

import anyio
import pytest
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.backends.scripted.engine import ScriptedEngine
from weft.orchestrator.call import Call
from weft.orchestrator.dispatch.ticket import Ticket
from weft.orchestrator.policy import parse_policy
from weft.orchestrator.programs.program import Program
from weft.orchestrator.restore import CachedChain, SchedulingState, restore, save
from weft.orchestrator.scheduler import Scheduler
from weft.types import Delta, Message, Request, Sampling

pytestmark = pytest.mark.loops("virtual")

LEASE = 60.0


class Ignore:
    def on_refused(self) -> None: ...

    def on_sent(self, ticket: Ticket) -> None: ...

    def on_delta(self, delta: Delta) -> None: ...


def scheduler(policy: str = "sticky", kv_tokens: int = 1600, **options) -> Scheduler:
    engines = [
        ScriptedEngine("answer", model="m", name=f"e{i}", kv_tokens=kv_tokens) for i in range(2)
    ]
    return Scheduler(engines, parse_policy(policy), lease=LEASE, **options)


def call(program: str, tokens: int = 160, more: int = 0) -> Call:
    """What a program asks: `tokens` tokens that are its own; `more` differ each time."""
    own = random.Random(program)
    prompt = [own.randrange(1000) for _ in range(tokens)]
    prompt += [random.randrange(1000) for _ in range(more)]
    return Call(
        Request(
            f"{program}.{random.random()}",
            "m",
            (Message("user", ""),),
            tokens=tuple(prompt),
            sampling=Sampling(max_tokens=16),
        ),
        program,
    )


def chain(of: Call, size: int = 16) -> CachedChain:
    return CachedChain(size, array("Q", of.hashes(size)))


def hand_over(
    old: Scheduler, new: Scheduler, chains: dict[str, CachedChain], after: float = 0.0
) -> list[SchedulingState]:
    """What `new` is told of the programs of `old`."""
    found = [save(old.dispatcher, id, LEASE) for id in old.dispatcher.programs]
    kept = [saved.later(after) for saved in found if saved is not None]
    restore(new.dispatcher, [(saved, chains.get(saved.id)) for saved in kept])
    return kept


async def test_programs_go_on_where_they_were(anyio_backend):
    old, new = scheduler(), scheduler()
    chains: dict[str, CachedChain] = {}
    for name in "abcd":
        asked = call(name)
        chains[name] = chain(asked)
        old.begin(Program(name, f"name of {name}", "tenant"))
        ticket = await old.run(asked, Ignore())
        await anyio.sleep(1)
        assert ticket.replica is not None
    hand_over(old, new, chains, after=5.0)
    now = anyio.current_time()
    attached = [replica.attached for replica in new.replicas]
    assert sum(attached) == sum(p.context for p in new.dispatcher.programs.values()) > 0
    for name in "abcd":
        before, after = old.dispatcher.programs[name], new.dispatcher.programs[name]
        assert before.acting is not None
        assert before.home is not None
        assert after.home is not None
        assert after.acting == pytest.approx(before.acting - 5)
        assert now - after.arrived == pytest.approx(now - before.arrived + 5)
        assert after.home.name == before.home.name
        assert after.home is not before.home
        for same in ("name", "tenant", "calls", "context", "tool", "seconds", "computed"):
            assert getattr(after, same) == getattr(before, same), same
        again = call(name, more=50)
        asked = Ticket(again, after, 0, now, 16, lambda: None)
        assert after.home.cached(asked) == 160
        ticket = await new.run(again, Ignore())
        assert ticket.engine == before.home.name
        assert ticket.cached == 160


async def test_a_lease_runs_on(anyio_backend):
    ended: list[tuple[str, str]] = []
    old, new = scheduler(), scheduler(ended=lambda program, why: ended.append((program.id, why)))
    await old.run(call("a"), Ignore())
    await anyio.sleep(20)
    await old.run(call("b"), Ignore())
    async with anyio.create_task_group() as group:
        group.start_soon(new.watch)
        hand_over(old, new, {}, after=LEASE - 30.0)  # 10 s of a's are left, 30 of b's
        await anyio.sleep(9.9)
        assert set(new.dispatcher.programs) == {"a", "b"}
        assert all(replica.attached for replica in new.replicas)
        assert not any(replica.claimed for replica in new.replicas)  # both have likely ended
        await anyio.sleep(0.2)
        assert ended == [("a", "its lease is over")]
        await new.run(call("b"), Ignore())
        await anyio.sleep(LEASE - 0.1)
        assert set(new.dispatcher.programs) == {"b"}
        await anyio.sleep(0.2)
        assert not new.dispatcher.programs
        assert not any(replica.claimed or replica.attached for replica in new.replicas)
        group.cancel_scope.cancel()


async def test_a_lease_that_ran_out_meanwhile_is_over_at_once(anyio_backend):
    old, new = scheduler(), scheduler()
    await old.run(call("a"), Ignore())
    async with anyio.create_task_group() as group:
        group.start_soon(new.watch)
        hand_over(old, new, {}, after=LEASE)
        await anyio.sleep(0.001)
        assert not new.dispatcher.programs
        assert new.profiles.calls("") is None  # too few
        # But learned from, under its name and over all: its calls, and that it had only one.
        assert len(new.profiles) == 4
        group.cancel_scope.cancel()


async def test_room_is_kept_as_long_as_the_policy_would(anyio_backend):
    """`continuum` keeps room for 6 s at most here."""
    old, new = scheduler("continuum(ttl_max=6)"), scheduler("continuum(ttl_max=6)")
    for one in (old, new):
        for _ in range(20):
            one.profiles.learn_tool("", "", 6.0)
        for replica in one.replicas:
            for tokens in (1000, 2000, 3000):
                replica.speed.learn_prefill(tokens, float(tokens))
    await old.run(call("a"), Ignore())
    [before] = old.dispatcher.programs.values()
    assert before.claim
    left = before.expires - anyio.current_time()
    assert 5 < left <= 6
    async with anyio.create_task_group() as group:
        group.start_soon(new.watch)
        hand_over(old, new, {}, after=2.0)
        [after] = new.dispatcher.programs.values()
        assert after.claim == before.claim
        assert after.expires - anyio.current_time() == pytest.approx(left - 2)
        await anyio.sleep(left - 2 - 0.1)
        assert after.claim
        await anyio.sleep(0.2)
        assert not after.claim
        assert not after.ended
        group.cancel_scope.cancel()


async def test_room_that_was_not_kept_is_not_kept_now(anyio_backend):
    old, new = scheduler("sticky"), scheduler("sticky")
    await old.run(call("a"), Ignore())
    await old.run(call("b"), Ignore())
    old.dispatcher.claims.release(old.dispatcher.programs["a"], "made room")
    hand_over(old, new, {})
    programs = new.dispatcher.programs
    assert (programs["a"].claim, programs["b"].claim > 0) == (0, True)


async def test_a_program_that_ran_is_treated_as_if_its_call_had_just_ended(anyio_backend):
    old, new = scheduler("sticky"), scheduler("sticky")
    await old.run(call("a"), Ignore())
    await anyio.sleep(5)
    assert old.dispatcher.submit(call("a"), lambda: None).replica is not None
    [saved] = hand_over(old, new, {}, after=1.0)
    assert (saved.idle, saved.room) == (1.0, LEASE - 1)
    assert new.dispatcher.programs["a"].claim > 0


async def test_engines_that_are_not_there_are_not_claimed(anyio_backend):
    old, new = scheduler("sticky"), scheduler("sticky")
    chains = {}
    for name in "ab":
        asked = call(name)
        chains[name] = chain(asked)
        await old.run(asked, Ignore())
    new.replicas[0].alive = False
    homes = {id: p.home.name for id, p in old.dispatcher.programs.items() if p.home is not None}
    hand_over(old, new, chains)
    for id, program in new.dispatcher.programs.items():
        assert (program.home is None) == (homes[id] == "e0")
    assert [replica.index.cached for replica in new.replicas] == [0, 10]


async def test_blocks_of_another_size_are_no_hint(anyio_backend):
    [old, new] = scheduler(), scheduler()
    asked = call("a")
    await old.run(asked, Ignore())
    hand_over(old, new, {"a": chain(asked, size=8)})
    assert [replica.index.cached for replica in new.replicas] == [0, 0]
    assert new.dispatcher.programs["a"].home is not None


async def test_a_program_that_is_known_is_left_alone(anyio_backend):
    old, new = scheduler(), scheduler()
    await old.run(call("a"), Ignore())
    begun = new.begin(Program("a"))
    hand_over(old, new, {})
    assert new.dispatcher.programs == {"a": begun}
    assert begun.calls == 0


async def test_of_what_is_over_nothing_is_saved(anyio_backend):
    old = scheduler()
    await old.run(call("a"), Ignore())
    old.end("a")
    assert save(old.dispatcher, "a", LEASE) is None


programs = st.lists(
    st.builds(
        SchedulingState,
        id=st.integers(0, 9).map(str),
        home=st.sampled_from(["e0", "e1", "gone", ""]),
        age=st.floats(0, 1e6),
        idle=st.floats(0, 100),
        room=st.floats(0, 100),
        calls=st.integers(0, 50),
        context=st.integers(0, 3000),
    ),
    max_size=12,
)


@settings(max_examples=60)
@given(programs, st.sampled_from(["sticky", "weft", "thunderagent", "saga", "prefix"]))
def test_no_more_is_kept_than_fits(saved: list[SchedulingState], policy: str):
    async def main() -> None:
        new = scheduler(policy)

        def chained(all: Iterable[SchedulingState]):
            for one in all:
                yield one, chain(call(one.id, one.context))

        restore(new.dispatcher, chained(saved))
        assert set(new.dispatcher.programs) == {one.id for one in saved}
        for replica in new.replicas:
            assert replica.claimed <= replica.capacity
            assert replica.index.cached <= replica.index.capacity
            assert replica.index.pinned == 0
            here = [p for p in new.dispatcher.programs.values() if p.home is replica]
            assert replica.attached == sum(p.context for p in here)
            if here:  # the last one used is there as far as it fits
                last = max(here, key=lambda p: p.acting if p.acting is not None else -1e9)
                ties = [p for p in here if p.acting == last.acting]
                room = replica.capacity // 16
                held = [replica.index.match(call(p.id, p.context).hashes(16)) for p in ties]
                wanted = [min(p.context // 16, room) for p in ties]
                assert any(h == w for h, w in zip(held, wanted, strict=True))
            for program in list(here):
                new.end(program.id)
            assert replica.claimed == replica.attached == 0

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
