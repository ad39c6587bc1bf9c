"""weft tune code: search policies that are proposed as code."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weft.cli.common import Engines, Imports, go, make_folder, stderr, stdout
from weft.cli.simulation import options as simulated
from weft.cli.simulation.tune import WORDS
from weft.errors import UsageError
from weft.parts.importing import import_all

if TYPE_CHECKING:
    from weft.simulation.experiments.experiment import Experiment
    from weft.simulation.experiments.proposed import MeasuredPolicy, PolicySearch
    from weft.simulation.experiments.tune import Objective

_SHOWN = 3
"""Earlier proposals that a model sees, the best ones."""


@dataclass(frozen=True)
class _Asked:
    """Who proposes, and how much."""

    files: Sequence[Path]
    engines: Sequence[str]
    rounds: int
    each: int
    seed: int


def code(
    workload: simulated.WorkloadText,
    proposals: Annotated[
        list[Path] | None,
        typer.Option(
            "--proposals", metavar="FILE.py", help="A policy as code. May be given several times."
        ),
    ] = None,
    engine: Engines = None,
    rounds: Annotated[int, typer.Option(min=1, metavar="N", help="Rounds of the model.")] = 3,
    each: Annotated[int, typer.Option(min=1, metavar="N", help="Proposals of a round.")] = 4,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            "--policy", "-p", metavar="SPEC", help="What proposals are compared with; weft."
        ),
    ] = None,
    objective: Annotated[
        str, typer.Option(metavar="NAME", help="mean or p99 completion time, or goodput.")
    ] = "mean",
    draws: Annotated[
        int, typer.Option(min=1, metavar="N", help="Draws of the workload that the search sees.")
    ] = 2,
    held_out: Annotated[
        int, typer.Option(min=1, metavar="N", help="Other draws, which decide.")
    ] = 5,
    finalists: Annotated[
        int, typer.Option(min=1, metavar="N", help="Proposals that come so far.")
    ] = 3,
    engines: simulated.EngineCount = 2,
    gpu: simulated.Gpu = "h100",
    model: simulated.ModelName = "llama-3.1-8b",
    kv_tokens: simulated.KvTokens = None,
    block_size: simulated.BlockSize = 64,
    concurrency: simulated.Concurrency = 256,
    n: simulated.Numbers = None,
    rate: simulated.Rates = None,
    limit: simulated.Limit = None,
    scale: simulated.LengthScale = None,
    slo: simulated.Slo = None,
    seed: simulated.Seed = 0,
    imports: Imports = None,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="For proposals, measurements and the table.")
    ] = Path("policies"),
) -> None:
    """Search policies that a model, or you, propose as code.

    Each runs in the sandbox, on simulated engines, with draws of the workload that the search
    sees. The best are then run on other draws, which decide. The same command goes on where it
    ended, and pays for nothing twice.

    Example: weft tune code "coding_agents(n=24)" --proposals mine.py -n 24 --scale 0.25
    """
    from weft.simulation.experiments import tune as search
    from weft.simulation.experiments.experiment import Experiment
    from weft.simulation.experiments.proposed import PolicySearch

    if not proposals and not engine:
        raise UsageError("nobody proposes policies; give --engine, or --proposals FILE.py")
    import_all(imports or [])
    simulated.check_slo(slo)
    sought = search.objective(objective)
    fleet = simulated.fleet(engines, gpu, model, 1, kv_tokens, block_size, concurrency)

    def play(at: int) -> Experiment:
        work = simulated.workload(
            workload,
            block_size=block_size,
            seed=seed + at,
            limit=limit,
            scale=scale,
            options=[],
            format=None,
            tenants=0,
        )
        loads = simulated.loads(None, rate or [], n or [], work, engines)
        if len(loads) > 1:
            raise UsageError("weft tune takes one load; give --rate or --n once")
        return Experiment(work, fleet, [], loads, seed + at, slo, optimum=False)

    make_folder(out)
    plays = [play(at) for at in range(draws + held_out)]
    found = PolicySearch(
        plays[:draws],
        plays[draws:],
        sought,
        out / "measured.jsonl",
        _measure(sought),
    )
    asked = _Asked(proposals or [], engine or [], rounds, each, seed)
    given = [found.decided(found.tried(spec, "")) for spec in policy or ["weft"]]
    if broken := [one for one in given if one.error]:
        raise UsageError(f"policy {broken[0].name}: {broken[0].error}")
    tried = _tried(found, asked, out)
    finals = [found.decided(one) for one in found.order(tried)[:finalists]]
    rest = [one for one in tried if one.name not in {final.name for final in finals}]
    _print(found, given, finals, rest)
    _write(out / "found.json", found, given, finals, rest)


def _measure(sought: Objective):
    """Given policies are simulated here, proposals in the sandbox."""
    from weft.orchestrator.policy_file import load_policy
    from weft.sandbox import check_sandbox
    from weft.simulation.experiments.in_sandbox import measured
    from weft.simulation.experiments.proposed import sandboxed

    check_sandbox()

    def measure(name: str, code: str, plays: Sequence[Experiment]) -> list[float]:
        if code:
            return sandboxed(name, code, plays, sought)
        return measured(load_policy(name), plays, sought)

    return measure


def _tried(found: PolicySearch, asked: _Asked, out: Path) -> list[MeasuredPolicy]:
    """What all proposals come to on what the search sees."""
    from weft.evals.studies.policy_proposals import EarlierProposal

    tried: list[MeasuredPolicy] = []
    console = stderr()

    def take(name: str, code: str) -> None:
        if code in {one.code for one in tried}:
            return
        one = found.tried(name, code)
        tried.append(one)
        console.print(f"{name}: {one.error or f'{one.mean():.4g}'}", markup=False)

    for path in asked.files:
        try:
            take(path.name, path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as e:
            raise UsageError(f"can't read {path}: {e}; name another file") from None
    for round in range(asked.rounds if asked.engines else 0):
        best = found.order(tried)[:_SHOWN]
        failed = [one for one in tried if one.error][-1:]
        earlier = [EarlierProposal(one.code, f"{one.mean():.4g}") for one in best]
        earlier += [EarlierProposal(one.code, f"an error: {one.error}") for one in failed]
        for index, code in enumerate(go(lambda: _proposed(found, asked, round, earlier, out))):  # noqa: B023
            name = f"round-{round + 1}-{index + 1}.py"
            (out / name).write_text(code + "\n", encoding="utf-8")
            take(name, code)
    return tried


async def _proposed(
    found: PolicySearch,
    asked: _Asked,
    round: int,
    earlier: Sequence[object],
    out: Path,
) -> list[str]:
    """New proposals; what was answered before comes from the Store."""
    from weft.evals.studies.policy_proposals import propose
    from weft.orchestrator.pool import Pool
    from weft.programs import run
    from weft.store.store import Store

    async def ask() -> list[str]:
        return await propose(
            earlier,  # pyright: ignore[reportArgumentType]
            WORDS[found.sought],
            larger=found.largest,
            each=asked.each,
            round=round,
            seed=asked.seed,
        )

    with Store(out / "store.sqlite") as store:
        async with Pool(*asked.engines, store=store) as pool:
            return (await run(ask, pool=pool)).value


def _print(
    found: PolicySearch,
    given: Sequence[MeasuredPolicy],
    finals: Sequence[MeasuredPolicy],
    rest: Sequence[MeasuredPolicy],
) -> None:
    from rich.table import Table

    base = given[0]
    table = Table(
        box=None,
        header_style="bold",
        title=WORDS[found.sought],
        title_justify="left",
        caption=f"seen: {len(found.train)} draws of the workload that the search saw, where the "
        f"best of many looks better than it is; held out: {len(found.held)} other draws, which "
        f"decide; gains are over {base.name}; read the code of a proposal before you use it",
        caption_justify="left",
    )
    table.add_column("policy", overflow="fold")
    for name in ("seen", "gain", "held out", "gain", "better on"):
        table.add_column(name, justify="right")
    for one in [*given, *finals, *(one for one in rest if not one.error)]:
        cells = [f"{one.mean():.4g}"]
        cells.append("" if one is base else f"{100 * found.gain(one, base, held=False):+.1f} %")
        if one.held and not one.error:
            gain = "" if one is base else f"{100 * found.gain(one, base, held=True):+.1f} %"
            wins = "" if one is base else f"{found.wins(one, base)} of {len(found.held)}"
            cells += [f"{one.mean(held=True):.4g}", gain, wins]
        table.add_row(one.name, *cells)
    stdout().print(table)
    for one in [*finals, *rest]:
        if one.error:
            stdout().print(f"{one.name} came to nothing: {one.error}", markup=False, soft_wrap=True)


def _write(
    file: Path,
    found: PolicySearch,
    given: Sequence[MeasuredPolicy],
    finals: Sequence[MeasuredPolicy],
    rest: Sequence[MeasuredPolicy],
) -> None:
    from dataclasses import asdict

    def told(one: MeasuredPolicy) -> dict[str, object]:
        seen, held = (found.gain(one, given[0], held=part) for part in (False, True))
        return {
            **asdict(one),
            "gain_seen": None if math.isnan(seen) else seen,
            "gain_held_out": None if math.isnan(held) else held,
        }

    data = {
        "objective": WORDS[found.sought],
        "given": [told(one) for one in given],
        "finalists": [told(one) for one in finals],
        "others": [told(one) for one in rest],
    }
    file.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
