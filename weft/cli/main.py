"""The `weft` command: puts the verbs together."""

from __future__ import annotations

from typing import Annotated

import typer

from weft.cli import engines, graph, keys, listings, mock, run, runs, serve, top
from weft.cli.common import CommandGroup, FirstCommandGroup
from weft.cli.evals import calibrate, demo, tune_engine
from weft.cli.evals import verbs as evals
from weft.cli.simulation import explain, simulate, tune, tune_code

app = typer.Typer(
    name="weft",
    cls=CommandGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Run agent workflows and reasoning strategies on a pool of inference engines.\n\n"
    "Begin with: weft demo",
)


def _version(wanted: bool) -> None:
    if wanted:
        from weft.cli.version import version

        print(f"weft {version()}")
        raise typer.Exit


@app.callback()
def weft(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print weft's version."),
    ] = False,
) -> None:
    """Take the options that belong to no verb."""


app.command("demo", short_help="Compare strategies with the shipped model.")(demo.demo)
app.command("run", short_help="Run a program from a Python file.")(run.run)
app.add_typer(runs.app, name="runs", short_help="List, show, resume, fork and cancel runs.")
app.command("answer", short_help="Answer what a run asks a person.")(runs.answer)
app.command("graph", short_help="Draw a program: declared, learned, or as it ran.")(graph.graph)
app.command("serve", short_help="Serve coding agents through a gateway to engines.")(serve.serve)
app.command("top", short_help="Show what a service does now.")(top.top)
app.add_typer(keys.app, name="key", short_help="Make API keys for weft serve.")
evals.app.command("calibrate")(calibrate.calibrate)
evals.app.command("calibrations")(calibrate.calibrations)
app.add_typer(evals.app, name="eval", short_help="Run, show and compare evaluations.")
app.add_typer(
    engines.app, name="engines", short_help="Start, stop and list vLLM replicas on this machine."
)
app.command("simulate", short_help="Compare scheduling policies on simulated engines.")(
    simulate.simulate
)
app.command("explain", short_help="Tell why a call waited and where the call went.")(
    explain.explain
)
tuning = typer.Typer(
    cls=FirstCommandGroup,
    no_args_is_help=True,
    help="Search the parameters of a policy (weft tune WORKLOAD ..., or weft tune policy), "
    "policies that are proposed as code, or the settings of an engine. weft tune policy --help "
    "has the options.\n\n"
    'Example: weft tune "coding_agents(n=50)" --policy weft --scale 0.25 -n 32 --trials 20',
)
tuning.command("policy", short_help="Search a policy's parameters by simulation.")(tune.tune)
tuning.command("code", short_help="Search policies that are proposed as code.")(tune_code.code)
tuning.command("engine", short_help="Search the settings with which vLLM is fastest.")(
    tune_engine.engine
)
app.add_typer(tuning, name="tune", short_help="Search the parameters of policies and engines.")
for one in listings.LISTINGS:
    app.command(one.command, short_help=one.short_help)(one())
app.command("mock", short_help="Serve scripted answers as vLLM would.")(mock.mock)


def main() -> None:
    """The entry point of the installed command."""
    app()
