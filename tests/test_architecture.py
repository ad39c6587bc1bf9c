"""The layers of weft, its public names, and what importing it costs."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import weft

ROOT = Path(weft.__file__).parent

BELOW = {
    "cli": {"service", "evals", "search", "simulation"},
    "service": {"search"},
    "evals": {"search", "plots"},
    "search": {"programs"},
    "simulation": {"orchestrator", "plots"},
    "programs": {"orchestrator"},
    "orchestrator": {"cache", "backends", "spec", "config_file"},
    "cache": {"types", "errors"},
    "backends": {"cache"},
    "spec": {"parameters"},
    "parameters": {"errors"},
    "config_file": {"errors"},
    "plots": set[str](),
    "types": set[str](),
    "errors": set[str](),
}
"""What stands directly below each layer. A layer may import all that is below it."""

HEAVY = {"matplotlib", "openai", "optuna", "starlette", "torch", "transformers", "uvicorn", "vllm"}
"""Imported where they are used only, so that importing weft stays quick."""


def below(layer: str) -> set[str]:
    """All layers that `layer` may import."""
    found = set(BELOW[layer])
    for lower in BELOW[layer]:
        found |= below(lower)
    return found


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of weft by its dotted name."""
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imported(name: str, path: Path) -> Iterator[tuple[str, int]]:
    """What a module imports of weft, with the line; `weft` is the package's front page."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "weft":
                    yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            if source == "weft":
                for alias in node.names:
                    inner = alias.name if alias.name in BELOW else ""
                    yield f"weft.{inner}".rstrip("."), node.lineno
            elif source.startswith("weft."):
                yield source, node.lineno


LAYERS = sorted({name.split(".")[1] for name, _ in modules() if name != "weft"})


def test_every_module_has_a_layer() -> None:
    homeless = set(LAYERS) - set(BELOW)
    assert not homeless, f"give these a place in BELOW: {homeless}"


def test_imports_point_downwards() -> None:
    wrong: list[str] = []
    for name, path in modules():
        if name == "weft":
            continue
        layer = name.split(".")[1]
        allowed = below(layer) | {layer}
        for target, line in imported(name, path):
            top = target.split(".")[1] if "." in target else None
            if top is None and layer == "cli":
                continue  # for the version
            if top not in allowed:
                wrong.append(f"{path.relative_to(ROOT.parent)}:{line}: {layer} imports {target}")
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize(
    "statement",
    ["from ..search import beam", "import weft.search.beam", "from weft import search"],
)
def test_an_upward_import_is_seen(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "prefix.py"
    path.write_text(statement)
    target, _ = next(imported("weft.cache.prefix", path))
    assert target.startswith("weft.search")


def test_public_names_are_sorted_and_exist() -> None:
    assert list(weft.__all__) == sorted(set(weft.__all__))
    for name in weft.__all__:
        assert getattr(weft, name) is not None
    assert weft.__version__


@pytest.mark.parametrize("layer", LAYERS)
def test_public_names_of_each_layer(layer: str) -> None:
    module = importlib.import_module(f"weft.{layer}")
    names: list[str] = getattr(module, "__all__", [])
    assert names == sorted(set(names))
    for name in names:
        assert hasattr(module, name), f"weft.{layer}.__all__ names {name}, which is not there"


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.timeout(240)
def test_importing_weft_is_quick() -> None:
    code = (
        "import sys, json, time; begun = time.process_time(); import weft; "
        "print(json.dumps([time.process_time() - begun, sorted(sys.modules)]))"
    )
    runs = [json.loads(python(code)) for _ in range(2)]  # the first may compile
    loaded = {name.split(".")[0] for name in runs[1][1]}
    assert not loaded & HEAVY
    assert runs[1][0] < 3.0, "seconds of CPU time"


@pytest.mark.timeout(120)
def test_weft_needs_no_vllm() -> None:
    names = [name for name, _ in modules()]
    code = (
        "import sys, importlib\n"
        "for name in ('torch', 'transformers', 'vllm'): sys.modules[name] = None\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "print('imported')"
    )
    assert python(code).strip() == "imported"
