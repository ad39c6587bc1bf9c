"""Policies that are proposed as code, measured in the sandbox by simulation.

After Cheng et al. (2025): proposals are made by a model or by people, a simulator measures them,
and workloads that the search has not seen decide. A proposal runs in the simulator's own process.
So what it may name is checked first, and the code of a winner is to be read before it is used.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import math
import pickle
import secrets
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from statistics import fmean

from weft.errors import StoreError, UsageError
from weft.sandbox import SandboxLimits, check_sandbox
from weft.sandbox.blocking import run_python_blocking
from weft.simulation.experiments.experiment import Experiment
from weft.simulation.experiments.tune import Objective
from weft.simulation.workload import Job, Workload

ALLOWED = (
    *("__future__", "bisect", "collections", "dataclasses", "functools", "heapq", "itertools"),
    *("math", "statistics", "typing", "weft.orchestrator", "weft.orchestrator.policies.parts"),
)
"""What a proposal may import."""
_FORBIDDEN = {
    *("breakpoint", "compile", "delattr", "eval", "exec", "getattr", "globals", "input"),
    *("locals", "memoryview", "open", "print", "setattr", "vars"),
}
_DRIVER = """
import sys
sys.path[:0] = {paths!r}
from weft.simulation.experiments.in_sandbox import main
main()
"""
_ROOT = Path(__file__).resolve().parents[2]
"""The folder of weft itself."""
_LIMITS = SandboxLimits(seconds=300, memory=4 << 30, processes=64)


@dataclass(frozen=True)
class MeasuredPolicy:
    """What came of a policy.

    Attributes:
        name: of the file, or the spec of a policy that was given.
        code: of the proposal; empty for one that was given.
        train: the objective on each workload that the search sees.
        held: on each workload that decides; empty where it did not come so far.
        error: why it came to nothing.
    """

    name: str
    code: str = ""
    train: list[float] = field(default_factory=list[float])
    held: list[float] = field(default_factory=list[float])
    error: str = ""

    def mean(self, *, held: bool = False) -> float:
        """The objective in the mean; NaN if it came to nothing."""
        values = self.held if held else self.train
        return fmean(values) if values and not self.error else math.nan


Measure = Callable[[str, str, Sequence[Experiment]], list[float]]
"""The objective of a policy on some plays: its name, its code or nothing, and the plays."""


def whole(experiment: Experiment) -> Experiment:
    """The same with all jobs read, so that they can be handed to another process."""
    work = experiment.workload
    jobs = [replace(job, steps=tuple(job.steps)) for job in work]
    return replace(experiment, workload=Workload(work.name, _Listed(jobs), work.block_size))


class _Listed(list[Job]):
    """Jobs that are all there; each reading gives them anew."""


def check_code(code: str) -> None:
    """See that a proposal names nothing that a policy does not need.

    Raises:
        UsageError: it does, or it is no Python.
    """
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError) as e:
        raise UsageError(f"it is no Python: {e}") from None
    for one in ast.walk(tree):
        names: list[str] = []
        if isinstance(one, ast.Import):
            names = [alias.name for alias in one.names]
        elif isinstance(one, ast.ImportFrom):
            names = ["." * one.level + (one.module or "")]
        for name in names:
            if name not in ALLOWED:
                raise UsageError(f"it imports {name}, which a policy does not need")
        named = one.id if isinstance(one, ast.Name) else ""
        named = one.attr if isinstance(one, ast.Attribute) else named
        if named in _FORBIDDEN or (named.startswith("__") and named != "__post_init__"):
            raise UsageError(f"it names {named}, which a policy does not need")


def sandboxed(
    name: str,
    code: str,
    plays: Sequence[Experiment],
    sought: Objective,
    limits: SandboxLimits = _LIMITS,
) -> list[float]:
    """The objective of a proposal on some plays, each simulated in the sandbox.

    Raises:
        UsageError: there is no sandbox here, or the proposal came to nothing; says why.
    """
    check_code(code)
    word = secrets.token_hex(16)
    paths, files = _weft()
    files |= {"proposal.py": code.encode(), "plays.pickle": pickle.dumps(list(plays))}
    asked = json.dumps({"word": word, "sought": sought})
    done = run_python_blocking(_DRIVER.format(paths=paths), stdin=asked, files=files, limits=limits)
    said = done.stdout.strip().rpartition("\n")[2]
    if done.ended != "exit":
        raise UsageError(f"it ended at its limit of {done.ended}")
    if not said.startswith(word):
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise UsageError((lines or ["it ended before its simulations did"])[-1].strip()[:300])
    found = json.loads(said.removeprefix(word))
    if "error" in found:
        raise UsageError(found["error"])
    return [float(value) for value in found["values"]]


@cache
def _archive() -> bytes:
    """The code of weft itself, for a sandbox that can't see where it is."""
    root = _ROOT
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for path in sorted(root.rglob("*.py")):
            archive.write(path, path.relative_to(root.parent))
    return out.getvalue()


def _weft() -> tuple[list[str], dict[str, bytes]]:
    """Where a sandbox finds weft, and the files that it needs for that."""
    root = _ROOT.parent
    if root.is_relative_to(Path(sys.prefix).resolve()):
        return [str(root)], {}
    return ["/tmp/weft.zip"], {"weft.zip": _archive()}


class PolicySearch:
    """Measures proposals on what the search sees, and the best of them on what decides.

    Args:
        train: the plays that the search sees.
        held: the plays that decide.
        sought: the objective.
        file: for what was measured; what is there already is not measured again.
        measure: measures; by default in the sandbox.
    """

    def __init__(
        self,
        train: Sequence[Experiment],
        held: Sequence[Experiment],
        sought: Objective,
        file: Path,
        measure: Measure | None = None,
    ) -> None:
        def inside(name: str, code: str, plays: Sequence[Experiment]) -> list[float]:
            return sandboxed(name, code, plays, sought)

        if measure is None:
            check_sandbox()
        self.train, self.held = list(map(whole, train)), list(map(whole, held))
        self.sought: Objective = sought
        self._measure: Measure = measure or inside
        self._file, self._known = file, _kept(file)

    @property
    def largest(self) -> bool:
        """Whether more of the objective is better."""
        return self.sought == "goodput"

    def tried(self, name: str, code: str) -> MeasuredPolicy:
        """What a proposal comes to on the plays that the search sees."""
        return self._measured(MeasuredPolicy(name, code), held=False)

    def decided(self, one: MeasuredPolicy) -> MeasuredPolicy:
        """The same policy, measured on the plays that decide, too."""
        return one if one.error else self._measured(one, held=True)

    def order(self, found: Sequence[MeasuredPolicy]) -> list[MeasuredPolicy]:
        """Those that came to something, the best on what the search sees first."""
        working = [one for one in found if not one.error]
        return sorted(working, key=lambda one: one.mean() * (-1 if self.largest else 1))

    def gain(self, one: MeasuredPolicy, than: MeasuredPolicy, *, held: bool) -> float:
        """By what share a policy is better than another; below 0 if it is worse."""
        mine, other = one.mean(held=held), than.mean(held=held)
        ratio = mine / other if other else math.nan
        return ratio - 1 if self.largest else 1 - ratio

    def wins(self, one: MeasuredPolicy, than: MeasuredPolicy) -> int:
        """On how many of the plays that decide a policy is better than another."""
        pairs = zip(one.held, than.held, strict=True)
        return sum(mine > other if self.largest else mine < other for mine, other in pairs)

    def _measured(self, one: MeasuredPolicy, *, held: bool) -> MeasuredPolicy:
        plays, part = (self.held, "held") if held else (self.train, "train")
        key = self._key(one, part)
        if key not in self._known:
            values, error = list[float](), ""
            try:
                values = self._measure(one.name, one.code, plays)
            except UsageError as wrong:
                error = str(wrong)
            self._known[key] = values, error
            line = {"key": key, **asdict(one), "values": values, "error": error}
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        values, error = self._known[key]
        if error:
            return replace(one, error=error)
        return replace(one, held=values) if held else replace(one, train=values)

    def _key(self, one: MeasuredPolicy, part: str) -> str:
        plays = self.held if part == "held" else self.train
        said = [self.sought, *(play.described() for play in plays)]
        jobs = [hashlib.sha256(pickle.dumps(list(play.workload))).hexdigest() for play in plays]
        text = json.dumps([one.code or one.name, said, jobs], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _kept(file: Path) -> dict[str, tuple[list[float], str]]:
    """Measurements that were kept: values, or why there are none."""
    if not file.exists():
        return {}
    found: dict[str, tuple[list[float], str]] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        try:
            raw = json.loads(line)
            found[raw["key"]] = raw["values"], raw["error"]
        except (ValueError, KeyError, TypeError):
            raise StoreError(f"{file}:{number} is no measurement; give another --out") from None
    return found
