"""weft serve: the gateway in front of coding agents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weft.cli.common import Engines, Imports, PolicyText, check_address, stderr
from weft.errors import UnknownName, UsageError
from weft.parts.importing import import_all

if TYPE_CHECKING:
    from weft.service.config.file import Options, ServiceConfig

_LEVELS = ("debug", "info", "warning", "error")


def serve(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="CONFIG.yaml", help="The configuration. Options overrule the file."),
    ] = None,
    engine: Engines = None,
    local: Annotated[
        int | None,
        typer.Option(
            min=1, max=64, metavar="N", help="Start this many vLLM replicas on this machine."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The model for --local (countdown by default), or the model that each --engine "
            "must serve which names none.",
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="The address to listen on; 127.0.0.1 by default."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, metavar="N", help="The port to listen on; 8080 by default."),
    ] = None,
    policy: PolicyText = None,
    imports: Imports = None,
    store: Annotated[
        str | None,
        typer.Option(metavar="FILE|URL", help="Where to keep programs and profiles over restarts."),
    ] = None,
    allow_open: Annotated[
        bool, typer.Option("--allow-open", help="Let other machines in although there are no keys.")
    ] = False,
    log_level: Annotated[
        str | None,
        typer.Option(metavar="LEVEL", help="What to log: debug, info, warning or error."),
    ] = None,
    misses: Annotated[
        bool, typer.Option("--misses", help="Tell of each call why its prompt was not cached.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Check the configuration, and exit.")
    ] = False,
    print_schema: Annotated[
        bool,
        typer.Option(
            "--print-schema", help="Print the JSON schema of the configuration, and exit."
        ),
    ] = False,
) -> None:
    """Serve coding agents over the APIs of OpenAI and Anthropic, until interrupted.

    Example: weft serve --engine http://127.0.0.1:8000 --engine http://127.0.0.1:8001
    """
    from weft.service.config import file as configuration

    if print_schema:
        print(json.dumps(configuration.schema(), indent=2))
        return
    import_all(imports or [])
    options = _options(
        engine,
        local,
        model,
        host,
        port,
        policy,
        store,
        allow_open=allow_open,
        log_level=log_level,
        misses=misses,
    )

    def reread() -> ServiceConfig:
        return configuration.load_config(file, options)

    config = reread()
    if check:
        import anyio

        from weft.service.engines.membership import check_engines

        anyio.run(check_engines, config)
        print(f"{file or 'the configuration'} is valid")
        return
    check_address(config.listen.host, config.listen.port)
    console = stderr()

    def greet() -> None:
        for line in _greeting(config):
            console.print(line, markup=False)

    from weft.service import server

    server.serve(config, reread, greet)


def _options(
    engines: list[str] | None,
    local: int | None,
    model: str | None,
    host: str | None,
    port: int | None,
    policy: str | None,
    store: str | None,
    *,
    allow_open: bool,
    log_level: str | None,
    misses: bool,
) -> Options:
    """The options that were given, by the place that each sets."""
    if log_level is not None and log_level not in _LEVELS:
        raise UnknownName("--log-level", log_level, _LEVELS)
    if model is not None and not engines and local is None:
        raise UsageError("--model goes with --local or --engine; in the file, engines name theirs")
    found: dict[str, tuple[tuple[str, ...], Any]] = {}
    if engines:
        given: list[dict[str, Any]] = [{"spec": spec} for spec in engines]
        if model is not None and local is None:
            nameless = [one for one in given if not _names_model(one["spec"])]
            for one in nameless or given:  # of engines that all name one it is too much
                one["model"] = model
        found["--engine"] = (("engines",), given)
    plain = {
        "--local": (("local", "replicas"), local),
        "--model": (("local", "model"), model if local is not None else None),
        "--host": (("listen", "host"), host),
        "--port": (("listen", "port"), port),
        "--policy": (("policy",), policy),
        "--store": (("store",), store),
        "--allow-open": (("listen", "allow_open"), allow_open or None),
        "--log-level": (("telemetry", "log_level"), log_level),
        "--misses": (("telemetry", "misses"), misses or None),
    }
    return found | {name: (place, v) for name, (place, v) in plain.items() if v is not None}


def _greeting(config: ServiceConfig) -> list[str]:
    url = config.listen.url
    engines = [one.title for one in config.engines]
    if config.local is not None:
        count = config.local.replicas
        engines.append(f"{count} local replica{'s'[: count > 1]} of {config.local.model}")
    key = "the tenant's key" if config.tenants else "any key"
    return [
        f"serving {', '.join(engines)} at {url}; Ctrl-C ends it",
        f"  OpenAI clients:    OPENAI_BASE_URL={url}/v1, OPENAI_API_KEY is {key}",
        f"  Anthropic clients: ANTHROPIC_BASE_URL={url}, ANTHROPIC_API_KEY is {key}",
    ]


def _names_model(spec: str) -> bool:
    from weft.backends.kinds.specs import parse

    try:
        return "model" in parse(spec).values
    except UsageError:
        return False  # to be told of as all that is wrong with engines
