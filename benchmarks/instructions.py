"""What a request through the service costs, and a call, in instructions of the processor.

    python benchmarks/instructions.py [requests|calls] [--tree DIR] [--profiles DIR]

Instructions are far less noise than CPU time where other work shares the machine. Work runs once to
warm up and is then counted by valgrind's callgrind: requests of `benchmarks/gateway.py` on 16
connections (with so long between streamed chunks that each is read by itself), less what the idle
service does in as long a time after them, and calls of `benchmarks/calls.py`. The kernel's part is
not counted.
`--tree` measures another working tree's package; `--profiles` keeps callgrind's files.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import gateways
from gateway import CONNECTIONS, listening, upstreams
from load import Source, connected, growing, right, unrelated
from upstream import CHUNKS, MODEL

PACE = 200  # ms between chunks
CALLS = 1000
CASES: dict[str, tuple[Callable[[], Source], int]] = {  # and requests of each connection
    "2 KB, unrelated": (lambda: unrelated(2048), 16),
    "2 KB, growing": (lambda: growing(2048), 16),
    "64 KB, unrelated": (lambda: unrelated(65536), 4),
    "64 KB, growing": (lambda: growing(65536), 8),
    "stream of 50 chunks": (lambda: unrelated(2048, stream=True, pace=PACE), 1),
}
WAYS = ("floor", "call", "call with a Store", "call from the Store", "call, a program each")
PROGRAM = str(Path(sys.executable).with_name("weft"))
SCRIPT = str(Path(__file__).with_name("calls.py"))


def valgrind(folder: Path, *command: str) -> list[str]:
    """A command that is counted from when counting is switched on."""
    start = ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no"]
    return [*start, f"--callgrind-out-file={folder}/counts", sys.executable, *command]


class Counter:
    """Counts the instructions of a process under callgrind."""

    def __init__(self, pid: int, folder: Path) -> None:
        self._pid, self._folder, self._dumps = pid, folder, 0
        self.tell("instrumentation", "on")

    def tell(self, *words: str) -> None:
        """Tell callgrind something, such as `zero`: to count anew."""
        subprocess.run(["vgdb", f"--pid={self._pid}", *words], check=True, capture_output=True)

    def read(self, name: str) -> int:
        """Instructions since the last zero or read; the profile is kept under this name."""
        self.tell("dump")
        self._dumps += 1
        dump = self._folder / f"counts.{self._dumps}"
        dump = dump.rename(self._folder / name.replace(",", "").replace(" ", "-"))
        return int(dump.read_text().rpartition("totals: ")[2].split()[0])


async def requests(folder: Path) -> dict[str, float]:
    """Instructions of a request, by its kind."""
    weft = gateways.weft(shlex.join(valgrind(folder, PROGRAM, "serve")))
    found: dict[str, float] = {}
    with upstreams(0) as ports:
        for port in ports:
            await listening(port)
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        async with gateways.running(weft, urls, MODEL) as up:
            counter = Counter(up.pid, folder)
            await served(up.port, *CASES["2 KB, unrelated"])
            for name, (make, each) in CASES.items():
                await served(up.port, make, each)
                counter.tell("zero")
                begun = time.perf_counter()
                await served(up.port, make, each)
                busy, took = counter.read(name), time.perf_counter() - begun
                counter.tell("zero")
                await asyncio.sleep(took)
                found[name] = (busy - counter.read(f"{name}, idle")) / each / CONNECTIONS
    found["streamed chunk"] = (found["stream of 50 chunks"] - found["2 KB, unrelated"]) / CHUNKS
    return found


async def served(port: int, make: Callable[[], Source], each: int) -> None:
    """So many requests on each of the connections."""

    async def work() -> None:
        connection = await connected(port)
        for data in islice(make(), each):
            if not right(answer := await connection.ask(data)):
                raise SystemExit(f"a wrong answer: {answer[:400]!r}")
        connection.transport.abort()

    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(work())


def calls(folder: Path) -> dict[str, float]:
    """Instructions of a call, by its way, and of the floor."""
    command, pipe = valgrind(folder, SCRIPT, "--driven", str(CALLS)), subprocess.PIPE
    found: dict[str, float] = {}
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        to, back = process.stdin, process.stdout

        def work(name: str) -> None:
            print(name, file=to, flush=True)
            if back is None or not back.readline():
                raise SystemExit(f"{SCRIPT} ended")

        work("collect")
        counter = Counter(process.pid, folder)
        for name in WAYS:
            work(name)
            work("collect")
            counter.tell("zero")
            work(name)
            found[name] = counter.read(name) / CALLS
        assert to is not None
        to.close()
    return found


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("what", nargs="?", choices=["requests", "calls"], help="default: both")
    parser.add_argument("--tree", type=Path, metavar="DIR", help="another working tree")
    parser.add_argument("--profiles", type=Path, metavar="DIR", help="keep profiles there")
    options = parser.parse_args()
    if not shutil.which("valgrind"):
        raise SystemExit("valgrind is not installed: install your system's package `valgrind`")
    os.environ["PYTHONHASHSEED"] = "0"
    gateways.START = 900.0  # under valgrind nothing starts quickly
    # Large copies by vectors: of `rep movsb` each byte would count.
    os.environ["GLIBC_TUNABLES"] = f"glibc.cpu.x86_rep_movsb_threshold={1 << 40}"
    if options.tree is not None:
        os.environ["PYTHONPATH"] = str(options.tree.resolve())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = asyncio.run(requests(folder)) if options.what != "calls" else {}
        found |= calls(folder) if options.what != "requests" else {}
        if options.profiles is not None:
            shutil.copytree(folder, options.profiles, dirs_exist_ok=True)
    for name, instructions in found.items():
        ratio = f"{instructions / found['floor']:6.2f} floors" if name in WAYS else ""
        print(f"{name:24} {instructions / 1e3:10,.1f} thousand instructions {ratio}")


if __name__ == "__main__":
    main()
