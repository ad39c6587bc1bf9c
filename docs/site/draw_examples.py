"""Runs the examples on scripted answers, and draws their runs for docs/examples.md.

make examples
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import anyio

from weft import Pool, Store, run
from weft.parts.importing import load
from weft.testing import in_virtual_time, people

ROOT = Path(__file__).parents[2]
DRAWN = ROOT / "docs/images/examples"
EXAMPLES: dict[str, tuple[str, dict[str, Any]]] = {
    "text_to_sql": ("text_to_sql", {}),
    "coding_agent": ("repair", {}),
    "parallel_threads": ("threads", {"way": "threadweaver"}),
    "rag_loop": ("rag", {}),
    "tool_search": ("tool_search", {}),
    "panel": ("panel", {}),
    "research": ("research", {"topic": "bees", "folder": "/tmp"}),
    "deep_search": ("deep_search", {}),
    "crawler": ("crawl", {}),
    "methods": ("method", {"method": "rebase(n=6)", "number": 1}),
    "own_question": ("walk", {}),
    "subtasks": ("subtasks", {}),
    "looking_up": ("looking_up", {}),
    "concepts": ("concepts", {}),
    "effort": ("effort", {}),
    "serving": ("solve", {}),
}
"""Each example's program, and the arguments with which its run is drawn."""
REAL = {"coding_agent"}
"""Those that start processes: the others are drawn in virtual time, the same on each machine."""


async def draw(example: str) -> str:
    """Run an example; gives the picture of the run."""
    program, arguments = EXAMPLES[example]
    module = load(str(ROOT / "examples" / f"{example}.py"))
    model = load(str(ROOT / "examples" / "scripted.py")).Model(example, seconds=0.02)
    with Store() as store, people({"Publish this?": "yes"}):
        async with Pool(model, store=store) as pool:
            done = await run(getattr(module, program), pool=pool, id="drawn", **arguments)
    # Marked for searches, and of one size in every browser.
    return re.sub(r"<svg ", f'<svg aria-label="a run of {example}.py" ', done.svg(), count=1)


def main() -> None:
    """Draw those that are named, or all."""
    DRAWN.mkdir(parents=True, exist_ok=True)
    for example in sys.argv[1:] or EXAMPLES:
        picture = (anyio.run if example in REAL else in_virtual_time)(draw, example)
        (DRAWN / f"{example}.svg").write_text(f"{picture}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
