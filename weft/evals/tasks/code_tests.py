"""Programs judged by tests, which run in the sandbox."""

from __future__ import annotations

import secrets
from functools import lru_cache

from weft.sandbox import SandboxLimits, SandboxResult
from weft.sandbox.blocking import run_python_blocking

_DRIVER = """
import os, sys
word = sys.stdin.readline()
import answer
exec(compile(open("tests.py").read(), "tests.py", "exec"), vars(answer))
sys.stdout.flush()
os.write(1, word.encode())
"""
"""A program may end the process before the tests have run. So only a word that the program has not
seen says that the tests came to their end."""


@lru_cache(maxsize=4096)
def failure(program: str, tests: str, limits: SandboxLimits) -> str:
    """Why a program fails its tests, in a line; empty if the program passes.

    Args:
        program: Python code, imported as a module.
        tests: Python code that is run with the program's names, and raises if the program is wrong.
        limits: what the program and the tests may use.

    Raises:
        UsageError: there is no sandbox here.
    """
    word = secrets.token_hex(16)
    files = {"answer.py": program, "tests.py": tests}
    done = run_python_blocking(_DRIVER, stdin=word, files=files, limits=limits)
    if done.success and done.stdout.endswith(word):
        return ""
    return _reason(done)


def _reason(done: SandboxResult) -> str:
    if done.ended != "exit":
        return f"ended at its limit of {done.ended}"
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    if done.code == 0 or not lines:
        return f"ended before its tests did, with exit code {done.code}"
    return lines[-1].strip()[:300]
