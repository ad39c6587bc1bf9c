"""weft explain: why a call went where and when."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weft.cli.common import fetch, stdout
from weft.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from weft.simulation.experiments.explain import Missed, Wait


def explain(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="A folder that weft simulate or weft run wrote by --out; with --service the id "
            "of a call, as a service's answers have it in x-weft-call.",
        ),
    ],
    service: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The service that had the call."),
    ] = None,
    call: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Which call; by default the calls that waited longest."),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            "--policy", "-p", metavar="SPEC", help="Which policy, if a simulation has several."
        ),
    ] = None,
    most: Annotated[
        int, typer.Option("--top", min=1, metavar="N", help="How many calls to list.")
    ] = 10,
) -> None:
    """Tell why a call waited, where the call went, what it found in the cache, and why.

    Of a service, WEFT_ADMIN_KEY in the environment holds an admin's key, if the service has keys.

    Example: weft explain simulation --policy weft --call session-3/7
    """
    if service is not None:
        _of_service(service.rstrip("/"), str(run))
        return
    from weft.orchestrator.decisions.decision_log import DECISIONS, DecisionLog
    from weft.programs.history.event_file import EVENTS, about_call, read_events
    from weft.simulation.experiments import explain as why

    folder = _find(run, policy)
    decisions = DecisionLog(folder / DECISIONS)
    if call is None:
        _list(why.longest_waits(decisions, most))
        _sum_up(why.misses(decisions))
        return
    sentences: list[str] = []
    if (folder / EVENTS).is_file():
        # A real run numbers its calls; the scheduler knows them with the run's name before.
        short = call[call.find("call-") :] if "call-" in call else call
        sentences = about_call(read_events(folder / EVENTS), short)
        call = next((d.call for d in decisions if d.call.endswith(f"-{short}")), None)
    if call is not None:
        sentences += why.explain(decisions, call)
    for sentence in sentences:
        stdout().print(sentence, markup=False, soft_wrap=True)


def _find(run: Path, policy: str | None) -> Path:
    """The folder with the decisions of one run."""
    from weft.orchestrator.decisions.decision_log import DECISIONS
    from weft.simulation.experiments.folder import SIMULATION, SimulationFolder

    if (run / DECISIONS).is_file():
        return run
    if not (run / SIMULATION).is_file():
        raise UsageError(f"{run} holds no run; name the --out of weft simulate or of weft run")
    found = SimulationFolder(run).runs()
    if policy is not None:
        known = {name for p, _ in found for name in (p, p.split("(")[0])}
        found = {key: f for key, f in found.items() if policy in (key[0], key[0].split("(")[0])}
        if not found:
            raise UnknownName(f"policy in {run}", policy, known)
    if len(found) != 1:
        folders = ", ".join(str(f.path) for f in found.values())
        raise UsageError(f"{run} holds {len(found)} runs; name one of them: {folders}")
    return next(iter(found.values())).path


def _list(waits: list[Wait]) -> None:
    from rich.table import Table

    if not waits:
        stdout().print("no call waited")
        return
    table = Table(box=None, header_style="bold")
    table.add_column("call", overflow="fold")
    table.add_column("waited s", justify="right")
    table.add_column("came at s", justify="right")
    table.add_column("went to")
    table.add_column("cause")
    table.add_column("why it could not start at once", overflow="fold")
    for w in waits:
        reason = w.reason or "others were ahead of it"
        row = (w.call, f"{w.seconds:,.2f}", f"{w.came:,.2f}", w.engine, w.cause)
        table.add_row(*row, reason)
    stdout().print(table)


def _sum_up(found: list[Missed]) -> None:
    from rich.table import Table

    from weft.orchestrator.causes.cause import MISSED

    if not found:
        return
    table = Table(box=None, header_style="bold")
    table.add_column("tokens computed", justify="right")
    table.add_column("calls", justify="right")
    table.add_column("why they were not in the cache", overflow="fold")
    for one in found:
        table.add_row(f"{one.tokens:,}", f"{one.calls:,}", MISSED.get(one.cause, one.cause))
    stdout().print()
    stdout().print(table)


def _of_service(url: str, id: str) -> None:
    from urllib.parse import quote

    from weft.orchestrator.causes.cause import WAITED

    call = fetch(url, f"/v1/calls/{quote(id, safe='')}", f"no call {id}")
    said = [f"Call {id} of program {call['program']} asked {call['model']}."]
    if call["engine"]:
        said.append(f"It went to {call['engine']} after {call['waited']:,.3f} s: {call['where']}.")
    if call["wait"]:
        said.append(f"It could not start at once: {call['wait']}.")
    if cause := call["wait_cause"]:
        said.append(f"The cause of most of its wait: {WAITED.get(cause, cause)}.")
    if call["ended"]:
        said.append(f"{call['cached']} of {call['prompt']} tokens of its prompt were cached.")
    said += [f"Of its prompt, {one['why']}." for one in call["missed"]]
    if call["ended"] and call["cached"] < call["prompt"] and not call["missed"]:
        said.append("Why the rest was not is told by a service that runs with --misses.")
    if call["error"]:
        said.append(f"It failed: {call['error']}.")
    for sentence in said:
        stdout().print(sentence, markup=False, soft_wrap=True)
