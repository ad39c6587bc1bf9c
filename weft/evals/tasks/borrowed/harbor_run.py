"""A script does a task of Harbor in one sandbox, and the task's tests look at it in another.

So the script never sees the tests, leaves no process behind, and can't write the reward.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import secrets
import shlex
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from weft.errors import PartFailed
from weft.evals.tasks.borrowed.harbor_folder import LOGS, TESTS, HarborFolder
from weft.sandbox.blocking import run_shell_blocking

_MORE = 30.0
"""Seconds for all that is done before and after a script."""
_HOW = "--no-same-owner --no-overwrite-dir -m -C /"
_MOST_STATE = 64 << 20
"""Bytes of files that a script may leave, as base64 writes them."""


def reward(task: HarborFolder, script: str) -> float:
    """What the task's tests give for what a script leaves.

    Raises:
        PartFailed: the tests gave no reward, or the script left too much.
        UsageError: there is no sandbox here.
    """
    return _tested(task, _solved(task, script))


def _solved(task: HarborFolder, script: str) -> bytes:
    """A tar file of the folders as a script leaves them."""
    roots = _roots(task)
    lines = [
        f"tar -xf /tmp/start.tar {_HOW} 2>/dev/null",
        *_begin(task, task.variables),
        f"timeout -k 1 {task.solve_seconds} bash /tmp/answer.sh >/tmp/said 2>&1 </dev/null",
        f"cd /; tar -cf - {roots} 2>/dev/null | base64 -w 0",
    ]
    done = run_shell_blocking(
        "\n".join(lines),
        files={"start.tar": task.start, "answer.sh": script},
        limits=replace(
            task.limits, seconds=task.solve_seconds + _MORE, output=_MOST_STATE * 4 // 3
        ),
        folders=task.folders,
    )
    try:
        return base64.b64decode(done.stdout, validate=True)
    except (binascii.Error, ValueError):
        raise PartFailed(
            f"what a script left of {task.name} can't be kept: it ended at its limit of "
            f"{done.ended}"
        ) from None


def _tested(task: HarborFolder, state: bytes) -> float:
    mark = secrets.token_hex(8)
    lines = [
        f"tar -xf /tmp/state.tar {_HOW} {_roots(task)} 2>/dev/null",  # no tests of its own
        f"tar -xf /tmp/tests.tar {_HOW} 2>/dev/null",
        *_begin(task, task.variables | task.test_variables),
        f"mkdir -p {LOGS}/verifier",
        f"timeout -k 1 {task.test_seconds} bash {TESTS}/test.sh >/tmp/said 2>&1 </dev/null",
        f"cat {LOGS}/verifier/reward.json 2>/dev/null; echo; echo {mark}",
        f"cat {LOGS}/verifier/reward.txt 2>/dev/null; echo; echo {mark}",
        "tail -c 2000 /tmp/said",
    ]
    done = run_shell_blocking(
        "\n".join(lines),
        files={"state.tar": state, "tests.tar": task.tests},
        limits=replace(task.limits, seconds=task.test_seconds + _MORE),
        folders=task.folders,
    )
    written, plain, said = [*done.stdout.split(mark), "", "", ""][:3]
    for text in (written, plain):
        if (found := _number(text)) is not None:
            return found
    last = [line for line in said.splitlines() if line.strip()][-1:]
    why = last[0].strip()[:300] if last else f"they ended by {done.ended}"
    raise PartFailed(f"the tests of {task.name} gave no reward: {why}")


def _roots(task: HarborFolder) -> str:
    """The folders that a script may change, as tar names them."""
    return " ".join(shlex.quote(one[1:]) for one in task.folders if one not in (TESTS, LOGS))


def _begin(task: HarborFolder, variables: Mapping[str, str]) -> list[str]:
    """Go where the task is done, with its variables."""
    own = shlex.quote(str(Path(sys.executable).parent))
    return [
        f"export PATH=$PATH:{own}",
        *(f"export {name}={shlex.quote(value)}" for name, value in variables.items()),
        f"mkdir -p {shlex.quote(task.workdir)}; cd {shlex.quote(task.workdir)}",
    ]


def _number(text: str) -> float | None:
    """A reward, or of several by name the one called `reward`, else their mean."""
    try:
        value: Any = json.loads(text.strip())
    except ValueError:
        return None
    if isinstance(value, dict):
        several = cast("dict[str, Any]", value)
        numbers = [v for v in several.values() if isinstance(v, int | float)]
        mean = math.fsum(numbers) / len(numbers) if numbers else None
        value = several.get("reward", mean)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
