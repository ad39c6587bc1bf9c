"""weft key: API keys for weft serve."""

from __future__ import annotations

from typing import Annotated

import typer

from weft.cli.common import CommandGroup, stderr
from weft.errors import UsageError

app = typer.Typer(cls=CommandGroup, no_args_is_help=True, help="Make API keys for weft serve.")


@app.callback()
def keys() -> None:
    """Make API keys for weft serve."""


@app.command("new")
def new(
    tenant: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The tenant that owns the key; `default` by default."),
    ] = None,
    admin: Annotated[
        bool, typer.Option("--admin", help="Make a key for the admin routes, not for a tenant.")
    ] = False,
) -> None:
    """Make a key. Prints the key once, and on stderr the lines for the configuration.

    Example: weft key new --tenant red
    """
    from weft.service.config.api_key import hash_key, new_key

    if admin and tenant is not None:
        raise UsageError("a key is a tenant's or the admin's; give --tenant or --admin")
    key = new_key()
    print(key)
    lines = (
        ["admin:", f'  keys: ["{hash_key(key)}"]']
        if admin
        else ["tenants:", f"  - name: {tenant or 'default'}", f'    keys: ["{hash_key(key)}"]']
    )
    console = stderr()
    console.print("Keep the key: it is not stored. The configuration holds its hash:\n")
    for line in lines:
        console.print(line, markup=False)
