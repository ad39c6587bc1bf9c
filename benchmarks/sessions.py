"""Coding agents through weft's gateway and others, in front of two real vLLM replicas.

    python benchmarks/sessions.py SESSIONS.jsonl.gz [--peers DIR] [--quick] [--json FILE]

`benchmarks/peers.sh DIR` installs the others. Recorded sessions are replayed over HTTP as
coding agents would: streamed chat completions under `x-session-id` (`--unnamed`: through weft
also without an id), each with the whole
conversation as text, which holds the answers that were really given, and after a tool's or
person's time the next. Answers have the recorded lengths. The replicas serve a Llama of 34M
random weights on a CPU, with blocks of 32 tokens and 8288 tokens of KV each; how lengths and
waits are scaled is printed above the figures.

Beside the gateways there is a client that needs none: it sends a session's calls to one
replica, and has at most k sessions at once; the best k counts. `alone` is a session that has a
replica for itself; goodput counts the sessions that end within `--slo` times that after they
came. Two loads: all sessions at once, when their contexts are larger than the KV, and a few at
once. In each round every gateway, newly started, plays the same sessions with content of its
own, and the order moves on by one. `--kept` adds a weft that goes on through all rounds,
`--restarted` one whose replicas are restarted before each round but the first. With `--fan-outs`
best-of-n programs come meanwhile, one after the other; a client's cap does not hold for these.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, nullcontext
from pathlib import Path
from statistics import mean
from typing import Any

import aiohttp

import fan_outs
import gateways
from gateways import running
from live import BLOCK, CONTEXT, GAP, KV, arguments_of_sessions, described, say, sessions
from passes import Passes, Way, best, promising, rows, table
from real_play import random_llama
from replayed import Outcome, Route, play, scripts
from weft.backends.local.launch import launch
from weft.backends.local.ports import free_ports
from weft.errors import WeftError
from weft.simulation.workload import Job
from words import model_folder, text

MODEL = "llama-34m"
CACHED = re.compile(r"^vllm:prefix_cache_(queries|hits)_total\S* (\S+)", re.MULTILINE)


class Replicas:
    """Two servers of random weights that run for the time of the block, or those given.

    Attributes:
        urls: their addresses; those of servers that are started again stay.
    """

    def __init__(self, urls: Sequence[str], stock: bool) -> None:
        self.urls = [url.rstrip("/") for url in urls]
        self._own, self._stock, self._stack = not urls, stock, AsyncExitStack()
        self._folder = tempfile.TemporaryDirectory()
        self._port: int | None = None

    async def __aenter__(self) -> Replicas:
        if self._own:
            await self._start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        self._folder.cleanup()

    async def restart(self) -> None:
        """Stop the servers, and start them again on the same ports, with nothing cached."""
        await self._stack.aclose()
        await self._start()

    async def _start(self) -> None:
        args = [*random_llama(KV, BLOCK, CONTEXT), "--seed", "0"]
        if self._stock:
            args.append("--no-enable-prompt-tokens-details")
        model = model_folder(Path(self._folder.name), CONTEXT)
        if self._port is None:
            self._port = next(p for p in free_ports(8) if p < 65_000)
        started = await self._stack.enter_async_context(
            launch(model, 2, MODEL, extra_args=args, on_progress=say, port=self._port)
        )
        self.urls = [replica.url for replica in started]


async def checked(http: aiohttp.ClientSession, url: str, model: str) -> None:
    """Refuse a server to which a word is not a token."""
    body = {"model": model, "messages": [{"role": "user", "content": text("check", 100)}]}
    async with http.post(f"{url}/tokenize", json=body) as got:
        count = (await got.json()).get("count")
    if count != 102:
        raise SystemExit(
            f"{url} makes {count} tokens of 100 words and two roles; serve the model that "
            "words.model_folder writes"
        )


async def prefix_tokens(http: aiohttp.ClientSession, urls: Sequence[str]) -> tuple[float, float]:
    """Tokens that were looked up in all prefix caches, and those found there."""
    sums = {"queries": 0.0, "hits": 0.0}
    for url in urls:
        async with http.get(f"{url}/metrics") as got:
            for what, value in CACHED.findall(await got.text()):
                sums[what] += float(value)
    return sums["queries"], sums["hits"]


class Stage:
    """The replicas, and what is played on them."""

    def __init__(
        self,
        replicas: Replicas,
        jobs: Sequence[Job],
        model: str,
        kept: AsyncExitStack,
        fan_outs: int = 0,
    ) -> None:
        self.replicas, self.urls = replicas, replicas.urls
        self.jobs, self.model, self.fan_outs = jobs, model, fan_outs
        self._kept = kept
        self._running: dict[str, str] = {}  # URLs of gateways that go on

    async def play(self, way: Way, jobs: Sequence[Job], at_once: int, into: Passes) -> None:
        """Play sessions once: all of them, or `at_once` at a time."""
        async with AsyncExitStack() as stack:
            urls = self.urls
            if way.restarted and way.name in self._running:
                await self.replicas.restart()
            if way.gateway is not None:
                url = self._running.get(way.name)
                if url is None:
                    started = running(way.gateway, self.urls, self.model)
                    kept = self._kept if way.kept else stack
                    url = (await kept.enter_async_context(started)).url
                if way.kept:
                    self._running[way.name] = url
                urls = [url]
            route = Route(urls, self.model, way.turns, way.named)
            await self._play(way, route, jobs, at_once, into)

    async def _play(
        self, way: Way, route: Route, jobs: Sequence[Job], at_once: int, into: Passes
    ) -> None:
        salt = f"{random.getrandbits(64):016x}"
        played = scripts(jobs, BLOCK, salt)
        outcomes = [Outcome(index) for index in range(len(jobs))]
        fans = [Outcome(index) for index in range(self.fan_outs)]
        come = asyncio.Semaphore(at_once) if at_once else nullcontext()
        allowed = asyncio.Semaphore(way.cap) if way.cap else nullcontext()
        limits = aiohttp.TCPConnector(limit=0)
        patience = aiohttp.ClientTimeout(total=None, sock_read=600)
        async with aiohttp.ClientSession(connector=limits, timeout=patience) as http:

            async def one(outcome: Outcome) -> None:
                await asyncio.sleep(GAP * outcome.index)
                async with come:
                    outcome.arrived = time.monotonic()
                    async with allowed:
                        outcome.started = time.monotonic()
                        await play(http, route, played[outcome.index], outcome, CONTEXT)

            async def fan(outcome: Outcome) -> None:
                await asyncio.sleep(fan_outs.GAP * outcome.index)
                outcome.arrived = time.monotonic()
                await fan_outs.play_fan_out(http, route, f"{salt}:fan:{outcome.index}", outcome)

            queries, hits = await prefix_tokens(http, self.urls)
            begun = time.monotonic()
            async with asyncio.TaskGroup() as group:
                for outcome in outcomes:
                    group.create_task(one(outcome))
                for outcome in fans:
                    group.create_task(fan(outcome))
            seconds = time.monotonic() - begun
            after = await prefix_tokens(http, self.urls)
        into.outcomes += outcomes
        into.fans += fans
        into.seconds += seconds
        into.cached.append((after[1] - hits) / max(1.0, after[0] - queries))
        into.means.append(mean(o.completion for o in outcomes))
        for outcome in outcomes + fans:
            if outcome.wrong:
                say(f"{way.name}: {outcome.errors} errors of a session: {outcome.wrong}")
                break

    async def alone(self) -> dict[int, float]:
        """Seconds of each session that has a replica for itself."""
        outcomes = [Outcome(index) for index in range(len(self.jobs))]
        played = scripts(self.jobs, BLOCK, f"{random.getrandbits(64):016x}")
        async with aiohttp.ClientSession() as http:

            async def some(first: int) -> None:
                route = Route([self.urls[first]], self.model)
                for outcome in outcomes[first :: len(self.urls)]:
                    outcome.arrived = time.monotonic()
                    await play(http, route, played[outcome.index], outcome, CONTEXT)

            async with asyncio.TaskGroup() as group:
                for first in range(len(self.urls)):
                    group.create_task(some(first))
        if wrong := next((o.wrong for o in outcomes if o.wrong), ""):
            raise SystemExit(f"a session went wrong on a replica for itself: {wrong}")
        return {o.index: o.completion for o in outcomes}

    async def compare(
        self, ways: Sequence[Way], count: int, at_once: int, rounds: int, load: str
    ) -> list[Passes]:
        """Play the first sessions in all ways, in turn."""
        passes = [Passes(way) for way in ways]
        for turn in range(rounds):
            going_on = passes if turn == 0 else promising(passes)
            first = turn % len(going_on)
            for one in going_on[first:] + going_on[:first]:
                await self.play(one.way, self.jobs[:count], at_once, one)
                say(
                    f"round {turn + 1}, {load}, {one.way.name}: mean {one.means[-1]:.1f} s, "
                    f"{one.cached[-1]:.1%} cached"
                )
        return passes


def ways(options: argparse.Namespace) -> tuple[list[Way], list[str]]:
    """What is compared, and what can't be, as it is not installed."""
    peers = options.peers.resolve()
    nginx = gateways.nginx()
    first = Way(nginx.name, nginx) if nginx else Way("round robin (in the client)", turns=True)
    behind = [
        gateways.weft(options.weft),
        gateways.router(peers, "consistent_hash"),
        gateways.router(peers, "cache_aware"),
        gateways.program_mode(peers, KV),
        gateways.smg(peers),
    ]
    found, missing = gateways.installed(behind, peers)
    known = [Way(gateway.name, gateway) for gateway in found]
    if options.unnamed:
        known.append(Way("weft, no session ids", behind[0], named=False))
    if options.unleased:
        without = gateways.weft(options.weft, "weft, no leases", leases=False)
        known.append(Way(without.name, without))
    if options.kept:
        known.append(Way("weft, kept", behind[0], kept=True))
    if options.restarted:
        known.append(Way("weft, replicas restarted", behind[0], kept=True, restarted=True))
    known += [first, Way("sticky client")]
    known += [Way(f"sticky client, at most {k}", cap=k) for k in options.caps]
    if options.only:
        known = [way for way in known if way.name.startswith(tuple(options.only))]
    if not known:
        raise SystemExit("nothing to compare; see --peers and --only")
    return known, missing


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments_of_sessions(parser)
    add = parser.add_argument
    add("--peers", type=Path, default=Path("peers"), metavar="DIR", help="where peers.sh put them")
    add("--only", nargs="+", metavar="NAME", help="those whose names begin so (default: all)")
    add("--weft", default=gateways.WEFT, metavar="COMMAND", help="ours, without engines and port")
    add("--model", default=MODEL, help="the name of what --engine serves (%(default)s)")
    add("--caps", type=int, nargs="*", default=[4, 6, 8, 10], help="of the client (%(default)s)")
    add("--slo", type=float, nargs="+", default=[2.0, 4.0], help="times alone (%(default)s)")
    add("--rounds", type=int, default=2, help="rounds (%(default)s)")
    add("--at-once", type=int, default=4, help="sessions at once when KV is ample (%(default)s)")
    add("--load", choices=["both", "all", "few"], default="both", help="%(default)s")
    add("--stock", action="store_true", help="replicas do not tell of cached tokens")
    add("--unnamed", action="store_true", help="weft also without ids of sessions")
    add("--unleased", action="store_true", help="weft also without leases in the replicas")
    add("--kept", action="store_true", help="also a weft that goes on through all rounds")
    add("--restarted", action="store_true", help="the same, its replicas restarted between rounds")
    add("--fan-outs", type=int, default=0, metavar="N", help="best-of-n programs beside (0)")
    add("--quick", action="store_true", help="6 sessions of 3 calls, one load and round")
    add("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    if options.quick:
        options.sessions, options.calls, options.rounds = 6, 3, 1
        options.load, options.caps = "all", options.caps[:1]
    if options.restarted and options.engine:
        parser.error("--restarted restarts servers of its own; leave --engine away")
    return options


async def main(options: argparse.Namespace) -> None:
    gateways.heed_sigterm()
    jobs = sessions(options)
    compared, missing = ways(options)
    found: list[dict[str, Any]] = []
    async with Replicas(options.engine, options.stock) as replicas, AsyncExitStack() as kept:
        async with aiohttp.ClientSession() as http:
            for url in replicas.urls:
                await checked(http, url, options.model)
        print(described(options, jobs, KV * len(replicas.urls)))
        used = [way.gateway for way in compared if way.gateway]
        print(gateways.versions(used, options.peers.resolve()))
        if missing:
            print(f"not installed in {options.peers}, so left out: {', '.join(missing)}")
        stage = Stage(replicas, jobs, options.model, kept, options.fan_outs)
        alone = await stage.alone()
        print(f"alone a session takes {mean(alone.values()):.1f} s (mean)", flush=True)
        loads = {
            "all": ("oversubscribed", f"all {len(jobs)} sessions at once", len(jobs), 0),
            "few": (
                "ample",
                f"sessions {options.at_once} at once",
                max(options.at_once, len(jobs) // 2),
                options.at_once,
            ),
        }
        for load, (name, title, count, at_once) in loads.items():
            if options.load not in ("both", load):
                continue
            passes = await stage.compare(compared, count, at_once, options.rounds, name)
            print(f"\n{title}\n{table(passes, alone, options.slo)}", flush=True)
            found += rows(name, passes, alone, options.slo[0])
            compared = [one.way for one in best(passes)]
            if options.json:
                options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    try:
        asyncio.run(main(arguments()))
    except WeftError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    except asyncio.CancelledError:
        raise SystemExit("stopped") from None
