"""What a gateway costs: weft's beside others, in front of a dummy upstream.

    python benchmarks/gateway.py [--peers DIR] [--soak 1000000] [--quick] [--json FILE]

`benchmarks/peers.sh DIR` installs the others. Each gateway has a core for itself; two upstreams
and the load generator share another. CPU is user and system time of all of a gateway's
processes over the requests that it served on 16 connections. Unrelated requests differ from
their first word; conversations grow over 8 turns from half of the given size to one and a half.
A streamed chunk is a fiftieth of what a stream of 50 costs more than a whole answer, with 64
streams at once and 2 ms between chunks, so that each is read and written by itself. Latencies
added are those of one connection through the gateway less those of one directly to an upstream.
Of several rounds, in which the gateways take turns, the median is shown.

Then a new process of each serves 10,000 programs of one request, `--soak` further requests
of growing conversations, and three times 2,048 streams at once, for its memory and sockets. A
client that is refused with 503 then comes again when it is told to.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import resource
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

import gateways
from gateways import Gateway, Running, running
from load import Load, Source, connected, growing, load, right, unrelated
from upstream import CHUNKS, MODEL
from weft.backends.local.ports import free_ports

CONNECTIONS = 16
STREAMS = 64
SIZES = {"2 KB": 2048, "64 KB": 65536}
PROGRAMS = 10_000
AT_ONCE = 2048
WAVES = 3
PACE = 100  # ms a chunk of the streams at once: they last 5 s
PATIENCE = 120.0  # s for all streams of a wave
SETTLE = 5.0  # s for a gateway to close what its clients have closed
SLOW = 300.0  # requests/s below which a gateway's memory is not measured, as it takes too long

RETRY = re.compile(rb"\r\nretry-after: *(\d+)", re.IGNORECASE)

Figures = dict[str, float]

UNITS = {
    "CPU, 2 KB, unrelated": ("us/request", "lower"),
    "CPU, 2 KB, growing": ("us/request", "lower"),
    "CPU, 64 KB, unrelated": ("us/request", "lower"),
    "CPU, 64 KB, growing": ("us/request", "lower"),
    "CPU, streamed chunk": ("us/chunk", "lower"),
    "CPU, stream of 50 chunks": ("us/request", "lower"),
    "p50 added": ("ms", "lower"),
    "p99 added": ("ms", "lower"),
    "best throughput, 2 KB": ("requests/s", "higher"),
    "RSS at first": ("MB", "lower"),
    "RSS, 10,000 programs": ("MB", "lower"),
    "RSS growth while soaked": ("MB", "lower"),
    "RSS growth, 2nd to last wave": ("MB", "lower"),
    "client sockets left": ("sockets", "lower"),
}
"""The figures, in the order of the table: unit, and which is better."""


def say(text: str) -> None:
    """Tell how it goes."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def upstreams(core: int) -> Iterator[list[int]]:
    """Two dummy upstreams on a core; their ports."""
    ports = free_ports(2)
    script = str(Path(__file__).with_name("upstream.py"))
    started = [subprocess.Popen([sys.executable, script, str(port), str(core)]) for port in ports]
    try:
        yield ports
    finally:
        for process in started:
            process.kill()
            process.wait()


async def listening(port: int) -> None:
    """Wait until something accepts connections."""
    for _ in range(100):
        with suppress(OSError):
            (await connected(port)).transport.abort()
            return
        await asyncio.sleep(0.1)
    raise SystemExit(f"the upstream on port {port} did not start")


class Errors:
    """Counts answers that were wrong, and shows the first of a gateway."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = defaultdict(int)

    def note(self, name: str, done: Load) -> None:
        if done.errors:
            if not self.counts[name]:
                say(f"{name}: a wrong answer: {done.wrong!r}")
            self.counts[name] += done.errors


async def costs(up: Running, direct: Load, seconds: float, errors: Errors) -> Figures:
    """CPU, latency and throughput of a gateway."""
    found: Figures = {}
    best = 0.0

    async def spent(make: Callable[[], Source], connections: int) -> tuple[float, float]:
        """CPU, us a request; requests a second."""
        before = up.cpu()
        done = await load(up.port, make, connections=connections, seconds=seconds)
        used = up.cpu() - before
        errors.note(up.name, done)
        return 1e6 * used / done.requests, done.requests / done.seconds

    await load(up.port, lambda: unrelated(2048), connections=CONNECTIONS, seconds=1.0)
    for name, size in SIZES.items():
        for kind, make in (("unrelated", unrelated), ("growing", growing)):
            cpu, rate = await spent(lambda make=make, size=size: make(size), CONNECTIONS)
            found[f"CPU, {name}, {kind}"] = cpu
            best = max(best, rate) if size == 2048 else best
    stream, _ = await spent(lambda: unrelated(2048, stream=True), STREAMS)
    found["CPU, stream of 50 chunks"] = stream
    found["CPU, streamed chunk"] = (stream - found["CPU, 2 KB, unrelated"]) / CHUNKS
    alone = await load(up.port, lambda: unrelated(2048), connections=1, seconds=seconds / 2)
    errors.note(up.name, alone)
    for name, share in (("p50 added", 0.5), ("p99 added", 0.99)):
        found[name] = alone.quantile(share) - direct.quantile(share)
    found["best throughput, 2 KB"] = best
    return found


async def memory(up: Running, soak: int, quick: bool, errors: Errors) -> Figures:
    """Memory and sockets of a gateway that has just started."""
    found = {"RSS at first": up.rss()}
    programs = PROGRAMS // 10 if quick else PROGRAMS
    done = await load(up.port, lambda: unrelated(2048), connections=CONNECTIONS, requests=programs)
    errors.note(up.name, done)
    if not quick:
        found["RSS, 10,000 programs"] = up.rss()
    if soak:
        seen: list[float] = []
        for _ in range(10):
            done = await load(
                up.port, lambda: growing(2048), connections=CONNECTIONS, requests=soak // 10
            )
            errors.note(up.name, done)
            seen.append(up.rss())
        found["RSS growth while soaked"] = seen[-1] - seen[0]
        say(f"{up.name}: RSS by tenths of {soak:,} requests: {', '.join(f'{s:.0f}' for s in seen)}")
    seen = []
    for _ in range(WAVES):
        done, clients = await wave(up, AT_ONCE // 8 if quick else AT_ONCE)
        errors.note(up.name, done)
        await asyncio.sleep(SETTLE)
        seen.append(up.rss())
        left, idle = up.sockets()
        say(
            f"{up.name}: {clients} clients at once, {done.seconds:.1f} s, {done.errors} errors, "
            f"{done.refused} times refused for now; "
            f"then {left} client sockets and {idle} others open, {seen[-1]:.0f} MB"
        )
        found["client sockets left"] = left
    if not quick:
        found["RSS growth, 2nd to last wave"] = seen[-1] - seen[1]
    return found


async def wave(up: Running, streams: int) -> tuple[Load, int]:
    """So many streams at once, each of a program of its own; and the clients seen midway."""
    done = Load()
    source = unrelated(2048, stream=True, pace=PACE)
    clients = 0
    loop = asyncio.get_running_loop()
    begun = loop.time()

    async def one() -> None:
        data = next(source)
        try:
            connection = await connected(up.port)
            try:
                async with asyncio.timeout_at(begun + PATIENCE):
                    while (answer := await connection.ask(data))[9:12] == b"503":
                        done.refused += 1
                        after = RETRY.search(answer)
                        await asyncio.sleep(float(after[1]) if after else 1.0)
            finally:
                connection.transport.abort()
        except OSError as error:  # a timeout is one
            answer = f"{type(error).__name__} {error}".encode()
        if not right(answer):
            done.errors += 1
            done.wrong = done.wrong or answer[:400].decode(errors="replace")

    async def look() -> None:
        nonlocal clients
        await asyncio.sleep(0.6 * CHUNKS * PACE / 1e3)
        clients, _ = up.sockets()

    async with asyncio.TaskGroup() as group:
        group.create_task(look())
        for _ in range(streams):
            group.create_task(one())
    done.seconds = loop.time() - begun
    return done, clients


async def measured(
    found: Sequence[Gateway], ports: Sequence[int], options: argparse.Namespace
) -> tuple[dict[str, Figures], Errors]:
    """The figures of each gateway."""
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    rounds: dict[str, list[Figures]] = {gateway.name: [] for gateway in found}
    errors = Errors()
    for turn in range(options.rounds):
        for gateway in (*found[turn % len(found) :], *found[: turn % len(found)]):
            direct = await load(
                ports[0], lambda: unrelated(2048), connections=1, seconds=options.seconds / 2
            )
            async with running(gateway, urls, MODEL, options.core) as up:
                figures = await costs(up, direct, options.seconds, errors)
            rounds[gateway.name].append(figures)
            told = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
            say(f"round {turn + 1}, {gateway.name}: {told}")
    merged = {
        name: {figure: median(f[figure] for f in figures) for figure in figures[0]}
        for name, figures in rounds.items()
    }
    for gateway in found:
        if merged[gateway.name]["best throughput, 2 KB"] < SLOW:
            say(f"{gateway.name}: too slow for the figures of memory")
            continue
        async with running(gateway, urls, MODEL, options.core) as up:
            merged[gateway.name] |= await memory(up, options.soak, options.quick, errors)
    return merged, errors


def table(merged: dict[str, Figures], errors: Errors) -> str:
    """The figures for people, a gateway a column."""
    width = max(len(name) for name in UNITS) + 14
    lines: list[str] = []
    names = list(merged)
    for first in range(0, len(names), 4):
        some = names[first : first + 4]
        lines.append(f"{'':{width}}" + "".join(f"{name:>26}" for name in some))
        for figure, (unit, _) in UNITS.items():
            if any(figure in merged[name] for name in names):
                cells = [plain(merged[n][figure]) if figure in merged[n] else "-" for n in some]
                lines.append(f"{figure + ', ' + unit:{width}}" + "".join(f"{c:>26}" for c in cells))
        counts = "".join(f"{errors.counts[name]:>26,}" for name in some)
        lines += [f"{'wrong answers':{width}}{counts}", ""]
    return "\n".join(lines)


def plain(value: float) -> str:
    """A figure with three digits or so."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def rows(merged: dict[str, Figures]) -> list[dict[str, Any]]:
    """The figures as rows, of those that were measured on weft."""
    ours = merged.get("weft", {})
    others = [name for name in merged if name != "weft"]
    return [
        {
            "name": figure,
            "unit": unit,
            "better": better,
            "weft": round(ours[figure], 4),
            "peers": {n: round(merged[n][figure], 4) for n in others if figure in merged[n]},
        }
        for figure, (unit, better) in UNITS.items()
        if figure in ours
    ]


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--peers", type=Path, default=Path("peers"), metavar="DIR", help="where peers.sh put them")
    add("--only", nargs="+", metavar="NAME", help="gateways whose names begin so (default: all)")
    add("--weft", default=gateways.WEFT, metavar="COMMAND", help="ours, without engines and port")
    add("--seconds", type=float, default=4.0, help="of each measure (%(default)s)")
    add("--rounds", type=int, default=3, help="rounds (%(default)s)")
    add("--core", type=int, default=1, help="of the gateways (%(default)s)")
    add("--load-core", type=int, default=0, help="of upstreams and load (%(default)s)")
    add("--soak", type=int, default=0, metavar="N", help="requests of a long run (default: none)")
    add("--quick", action="store_true", help="one round of half a second each, fewer programs")
    add("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.rounds = 0.5, 1
    return options


async def main(options: argparse.Namespace) -> None:
    gateways.heed_sigterm()
    peers = options.peers.resolve()
    known = [
        gateways.weft(options.weft),
        gateways.router(peers, "round_robin"),
        gateways.router(peers, "cache_aware"),
        gateways.smg(peers),
        gateways.sglang(peers),
        gateways.litellm(peers, MODEL),
    ]
    if options.only:
        known = [g for g in known if g.name.startswith(tuple(options.only))]
    found, missing = gateways.installed(known, peers)
    if not found:
        raise SystemExit("no gateway to measure; see --peers and --only")
    with upstreams(options.load_core) as ports:
        for port in ports:
            await listening(port)
        most = await load(
            ports[0],
            lambda: unrelated(2048),
            connections=CONNECTIONS,
            seconds=options.seconds,
        )
        merged, errors = await measured(found, ports, options)
    print(f"{options.rounds} rounds of {options.seconds:g} s a figure, {CONNECTIONS} connections")
    print(f"directly an upstream answers {most.requests / most.seconds:,.0f} requests/s of 2 KB")
    print(gateways.versions(found, peers))
    if missing:
        print(f"not installed in {peers}, so left out: {', '.join(missing)}")
    print(f"\n{table(merged, errors)}")
    if options.json:
        options.json.write_text(json.dumps(rows(merged), indent=2) + "\n")


if __name__ == "__main__":
    given = arguments()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.sched_setaffinity(0, {given.load_core})
    try:
        from uvloop import run
    except ImportError:
        from asyncio import run
    try:
        run(main(given))
    except asyncio.CancelledError:
        raise SystemExit("stopped") from None
