"""Policies on the real dispatcher, in a world where every call takes a known time."""

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher_world import World
from weft.orchestrator.call import Call
from weft.orchestrator.dispatch.replica import Replica
from weft.orchestrator.dispatch.ticket import Ticket
from weft.orchestrator.policy import policies
from weft.orchestrator.programs.program import Program
from weft.types import Message, Request, Sampling

ANSWER = 16
NAMES = sorted(set(policies()) - {"weft"})


@dataclass
class Agent:
    """A program: calls with a tool after each, over a prompt that grows."""

    id: str
    arrival: float = 0.0
    calls: int = 3
    prompt: int = 32
    grows: int = 32
    tool: float = 1.0
    seconds: float = 1.0
    tenant: str = ""
    goodbye: bool = True
    asked: list[float] = field(default_factory=list)
    started: list[float] = field(default_factory=list)
    homes: list[str] = field(default_factory=list)
    cached: int = 0
    ended: float | None = None


class Town(World):
    """Programs that run on the engines of a dispatcher."""

    def __init__(
        self, spec: str, *, engines: int = 2, kv: int = 512, slots: int = 4, lease: float = 60.0
    ) -> None:
        super().__init__(spec, engines, lease=lease, kv_tokens=kv, concurrency=slots)
        self.each: Callable[[Replica], None] = lambda replica: None

    def play(self, agents: Sequence[Agent]) -> None:
        """Run all agents until nothing happens any more."""
        for number, agent in enumerate(agents):
            self.at(agent.arrival, lambda a=agent, n=number: self._begin(a, n))
        while self.timers:
            self.now, _, callback = heapq.heappop(self.timers)
            assert self.now < 10_000, "someone waits for ever"
            callback()
            for replica in self.replicas:
                self.each(replica)

    def _begin(self, agent: Agent, number: int) -> None:
        self.dispatcher.begin(Program(agent.id, "agent", agent.tenant))
        self._ask(agent, number)

    def _ask(self, agent: Agent, number: int) -> None:
        length = agent.prompt + len(agent.asked) * (agent.grows + ANSWER)
        first = number * 1_000_000  # prompts of two agents share nothing
        request = Request(
            f"{agent.id}/{len(agent.asked)}",
            "m",
            (Message("user", ""),),
            tokens=tuple(range(first, first + length)),
            sampling=Sampling(max_tokens=ANSWER),
        )
        agent.asked.append(self.now)

        def start() -> None:
            assert ticket.replica is not None
            agent.started.append(self.now)
            agent.homes.append(ticket.engine)
            agent.cached += ticket.cached
            self.at(self.now + agent.seconds, lambda: self._done(agent, number, ticket))

        # Called within `submit`, perhaps, so it takes effect afterwards.
        ticket = self.dispatcher.submit(Call(request, agent.id), lambda: self.at(self.now, start))

    def _done(self, agent: Agent, number: int, ticket: Ticket) -> None:
        first = number * 1_000_000 + ticket.prompt_tokens
        answer = range(first, first + ANSWER)
        self.dispatcher.finish(ticket, tuple(answer), ANSWER, ticket.cached, done=True)
        if len(agent.asked) < agent.calls:
            self.at(self.now + agent.tool, lambda: self._ask(agent, number))
            return
        agent.ended = self.now
        if agent.goodbye:
            self.dispatcher.end(agent.id)


@st.composite
def crowds(draw: st.DrawFn) -> list[Agent]:
    return [
        Agent(
            f"p{i}",
            arrival=draw(st.sampled_from([0.0, 0.5, 3.0])),
            calls=draw(st.integers(1, 4)),
            prompt=draw(st.integers(1, 300)),
            grows=draw(st.integers(0, 40)),
            tool=draw(st.sampled_from([0.0, 0.5, 5.0])),
            seconds=draw(st.sampled_from([0.5, 1.0, 4.0])),
            tenant=draw(st.sampled_from(["red", "blue"])),
            goodbye=draw(st.booleans()),
        )
        for i in range(draw(st.integers(1, 12)))
    ]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25)
@given(agents=crowds())
def test_every_call_runs_once_and_every_program_ends(name: str, agents: list[Agent]) -> None:
    world = Town(name)

    def fits(replica: Replica) -> None:
        assert replica.in_flight <= replica.concurrency
        assert replica.reserved <= replica.capacity

    world.each = fits
    world.play(agents)
    for agent in agents:
        assert agent.ended is not None
        assert len(agent.started) == len(agent.asked) == agent.calls
    for replica in world.replicas:
        assert (replica.in_flight, replica.reserved, replica.claimed) == (0, 0, 0)
        assert replica.programs == 0
    assert not world.dispatcher.programs


@pytest.mark.parametrize("name", NAMES)
def test_nothing_waits_while_there_is_room(name: str) -> None:
    agents = [Agent(f"p{i}", arrival=0.1 * i) for i in range(6)]
    Town(name, kv=100_000, slots=6).play(agents)
    assert all(agent.started == agent.asked for agent in agents)


@pytest.mark.parametrize("name", sorted({*NAMES, "weft", "thunderagent(decay=true)"} - {"cap"}))
def test_no_tool_keeps_others_from_an_engine_that_runs_nothing(name: str) -> None:
    """`cap` alone does: its k is what somebody wants."""
    world = Town(name, engines=1)

    def runs(replica: Replica) -> None:
        assert replica.in_flight or not replica.fleet.waiting

    world.each = runs
    lengths = (200, 300, 100, 350, 250, 150)
    world.play(
        [Agent(f"p{i}", 0.5 * i, prompt=n, grows=24, tool=7.0 * i) for i, n in enumerate(lengths)]
    )


def waits(agents: Sequence[Agent]) -> list[float]:
    return [s - a for agent in agents for s, a in zip(agent.started, agent.asked, strict=True)]


@pytest.mark.parametrize("k", [1, 2, 3])
def test_no_more_than_k_programs_live_on_an_engine(k: int) -> None:
    world = Town(f"cap(k={k})")
    most = 0

    def count(replica: Replica) -> None:
        nonlocal most
        most = max(most, replica.programs)

    world.each = count
    agents = [Agent(f"p{i}", arrival=0.1 * i) for i in range(10)]
    world.play(agents)
    assert most == k
    begun = [agent.started[0] for agent in agents]
    assert begun == sorted(begun), "programs enter in order of arrival"


@pytest.mark.parametrize("name", ["sticky", "cap"])
def test_programs_stay_on_their_engine(name: str) -> None:
    agents = [Agent(f"p{i}", arrival=0.3 * i, calls=5) for i in range(12)]
    Town(name, slots=2).play(agents)
    assert all(len(set(agent.homes)) == 1 for agent in agents)


def test_a_large_cap_runs_as_sticky() -> None:
    runs: list[list[Agent]] = []
    for spec in ("sticky", "cap(k=1000)"):
        agents = [Agent(f"p{i}", arrival=0.3 * i, prompt=40 * (i % 5 + 1)) for i in range(20)]
        Town(spec, slots=2).play(agents)
        runs.append(agents)
    assert runs[0] == runs[1]


def test_programs_that_never_say_goodbye_hold_their_place_for_a_lease() -> None:
    silent, next_one = Agent("silent", calls=1, goodbye=False), Agent("next", arrival=2.0)
    Town("cap(k=1)", engines=1, lease=30.0).play([silent, next_one])
    assert silent.ended == 1.0
    assert next_one.started[0] == 31.0


def overflowing() -> list[Agent]:
    """Programs that together need some three times the KV of two engines of 512 tokens."""
    return [Agent(f"p{i}", arrival=0.2 * i, calls=4, prompt=64, tool=3.0) for i in range(16)]


@pytest.mark.parametrize("name", ["thunderagent", "saga", "continuum"])
def test_claims_and_running_calls_fit_the_engine(name: str) -> None:
    world = Town(name)
    over = 0

    def fits(replica: Replica) -> None:
        nonlocal over
        over = max(over, replica.claimed - replica.capacity)

    world.each = fits
    agents = overflowing()
    world.play(agents)
    # A call may end a block further than expected, since its answer becomes context.
    assert over <= 2 * 16
    assert world.dispatcher.counters.forced == 0
    assert max(waits(agents)) > 0


def test_claims_save_caches_that_are_lost_without() -> None:
    kept: dict[str, int] = {}
    for spec in ("fcfs", "sticky", "cap(k=3)", "thunderagent"):
        agents = overflowing()
        Town(spec).play(agents)
        kept[spec] = sum(agent.cached for agent in agents)
    for spec in ("cap(k=3)", "thunderagent"):
        assert kept[spec] > 10 * max(kept["fcfs"], kept["sticky"])


def test_a_paused_program_is_forced_in_after_its_patience() -> None:
    # `large` holds all but a little; the others are too large to be let in beside it.
    busy = Agent("busy", calls=1, prompt=16, seconds=200.0)
    large = Agent("large", calls=2, prompt=300, tool=100.0)
    small = Agent("small", arrival=5.0, calls=1, prompt=200)
    world = Town("thunderagent(patience=20)", engines=1, kv=640, lease=1000.0)
    world.play([busy, large, small])
    assert small.started == [25.0]
    assert world.dispatcher.counters.forced == 1


def test_agentix_bounds_waiting_by_beta_times_service() -> None:
    """A long program against an endless stream of short ones, on one slot."""
    bound: dict[float, float] = {}
    for beta in (2.0, 1000.0):
        long = Agent("long", calls=8, tool=0.5, seconds=4.0)
        short = [Agent(f"s{i}", arrival=0.9 * i, calls=1) for i in range(200)]
        Town(f"agentix(beta={beta})", engines=1, slots=1, kv=4096).play([long, *short])
        served, waited, ratio = 0.0, 0.0, 0.0
        for asked, started in zip(long.asked, long.started, strict=True):
            waited += started - asked
            if served >= 2.0:  # beyond the first queue
                ratio = max(ratio, waited / served)
            served += long.seconds
        bound[beta] = ratio
    # One call that runs already may be waited for, a quarter of the first service of 4 s.
    assert bound[2.0] <= 2.0 + 0.25
    assert bound[1000.0] > 10


@pytest.mark.parametrize("slots", [1, 3])
def test_tenants_share_alike_though_one_floods(slots: int) -> None:
    flood = [Agent(f"f{i}", calls=1, tenant="flood") for i in range(60)]
    few = [Agent(f"g{i}", arrival=5.5, calls=1, tenant="few") for i in range(10)]
    Town("fair", engines=1, slots=slots, kv=100_000).play([*flood, *few])
    # While both wait, each gets half: of any n starts, n / 2 and at most a call more or less.
    last = max(agent.started[0] for agent in few)
    begun = sorted(
        (agent.started[0], agent.tenant)
        for agent in [*flood, *few]
        if 6 <= agent.started[0] <= last
    )
    for n in range(1, len(begun)):
        share = sum(tenant == "few" for _, tenant in begun[:n])
        assert abs(share - n / 2) <= slots
    assert math.isclose(last, 6 + math.ceil(20 / slots) - 1, abs_tol=1)
