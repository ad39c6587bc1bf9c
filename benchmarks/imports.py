"""What importing weft costs, beside importing httpx.

    python benchmarks/imports.py [--rounds 10] [--json FILE]

Each import has an interpreter of its own, and the two take turns. Seconds are CPU time of the
import alone, the least of all rounds. Calls are those of Python functions outside of the import
machinery, and modules those that were not there before: both are the same in each round.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

PEER = "httpx"
WEFT = ("weft", "weft.backends.engine", "weft.cli.main", "weft.service.server")

_CODE = """
import json, sys, time
calls = 0
def count(frame, event, _):
    global calls
    calls += event == "call" and not frame.f_code.co_filename.startswith("<frozen")
before, begun = set(sys.modules), time.process_time()
if {counted}: sys.setprofile(count)
import {module}
sys.setprofile(None)
spent = time.process_time() - begun
print(json.dumps([spent, calls, sorted(set(sys.modules) - before)]))
"""


def imported(module: str, *, counted: bool) -> tuple[float, int, set[str]]:
    """CPU seconds, calls where they are counted, and modules of an import by itself."""
    code = _CODE.format(module=module, counted=counted)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    spent, calls, modules = json.loads(done.stdout)
    return spent, calls, set(modules)


def main() -> None:
    """Print a table, and write it where asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    names = (PEER, *WEFT)
    rounds = [[imported(name, counted=False)[0] for name in names] for _ in range(chosen.rounds)]
    found: dict[str, dict[str, float]] = {}
    for i, name in enumerate(names):
        _, calls, modules = imported(name, counted=True)
        least = min(spent[i] for spent in rounds)
        found[name] = {"seconds": least, "calls": calls, "modules": len(modules)}
    heads = "".join(f"{unit:>9}{'ratio':>7}" for unit in ("CPU ms", "calls", "modules"))
    print(f"{'import':24}{heads}")
    for name, one in found.items():
        ratios = {unit: one[unit] / found[PEER][unit] for unit in one}
        print(
            f"{name:24}{one['seconds'] * 1e3:9.0f}{ratios['seconds']:7.2f}{one['calls']:9.0f}"
            f"{ratios['calls']:7.2f}{one['modules']:9.0f}{ratios['modules']:7.2f}"
        )
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
