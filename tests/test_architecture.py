"""The layers of weft, its public names, and what importing it costs."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import imports
import weft

ROOT = Path(weft.__file__).parent

BELOW = {
    "cli": {"service", "evals", "search", "simulation"},
    "service": {"search", "extras"},
    "evals": {"search", "plots"},
    "testing": {"programs"},
    "search": {"programs"},
    "threads": {"context"},
    "context": {"programs"},
    "frameworks": {"programs"},
    "simulation": {"orchestrator", "plots", "sandbox"},
    "programs": {"orchestrator", "sandbox", "parsers"},
    "orchestrator": {"store", "backends", "parts", "config_file"},
    "backends": {"leases", "concurrency", "extras", "parsers", "parts"},
    "retrieval": {"programs"},
    "memory": {"programs"},
    "store": {"types", "concurrency"},
    "cache": {"types", "errors"},
    "parts": {"interrupts"},
    "config_file": {"errors"},
    "plots": {"extras"},
    "extras": {"errors"},
    "parsers": {"types"},
    "types": set[str](),
    "leases": {"cache"},
    "sandbox": {"concurrency"},
    "concurrency": {"errors"},
    "interrupts": {"concurrency"},
    "errors": set[str](),
}
"""What stands directly below each layer. A layer may import all that is below it."""

WALLS: dict[str, dict[str, set[str]]] = {
    "service": {
        "server": {"app", "watch"},
        "app": {"routes"},
        "routes": {"inference", "openapi", "watch"},
        "watch": {"service"},
        "inference": {"service"},
        "service": {"door", "engines", "state", "strategies"},
        "strategies": {"client", "config", "programs", "protocols"},
        "state": {"programs", "recognition"},
        "engines": {"config"},
        "door": {"config"},
        "programs": {"protocols"},
        "recognition": {"protocols"},
        "client": set(),
        "config": set(),
        "protocols": set(),
        "openapi": {"protocols"},
    },
    "backends": {
        "kinds": {"forbidden", "local", "openai", "scripted", "vllm"},
        "forbidden": set(),
        "mock": {"scripted"},
        "openai": {"engine", "http"},
        "scripted": {"engine", "http"},
        "checks": {"engine"},
        "simulated": {"engine", "timeline"},
        "vllm": {"engine", "http"},
        "engine": {"retry", "wording"},
        "local": {"http"},
        "http": set(),
        "retry": set(),
        "timeline": set(),
        "wording": set(),
    },
    "orchestrator": {
        "pool": {"engines", "hosted", "open_pools", "policy_file"},
        "engines": {"scheduler"},
        "hosted": set(),
        "open_pools": set(),
        "scheduler": {"attempts", "restore"},
        "attempts": {"dispatch"},
        "restore": {"dispatch"},
        "dispatch": {"call", "causes", "decisions", "policy", "timers"},
        "causes": set(),
        "policies": {"policy"},
        "policy_file": {"policy"},
        "policy": {"views"},
        "views": {"estimates"},
        "call": {"estimates", "tokens"},
        "decisions": set(),
        "timers": {"programs"},
        "estimates": {"programs"},
        "programs": set(),
        "tokens": set(),
    },
    "programs": {
        "calls": {"budgets", "tools", "watching"},
        "tools": {"durable", "media"},
        "runs": {"calls", "figures"},
        "durable": {"nodes", "spending"},
        "spending": {"budgets"},
        "batches": {"fan_out", "runs"},
        "workflows": {"fan_out"},
        "gather": {"fan_out"},
        "fan_out": {"nodes"},
        "nodes": {"retrying", "timeouts"},
        "timeouts": {"budgets"},
        "retrying": {"scope"},
        "budgets": {"scope"},
        "watching": {"scope"},
        "figures": {"scope"},
        "scope": {"history"},
        "history": {"prompt"},
        "prompt": set(),
        "media": set(),
    },
    "retrieval": {
        "answering": {"searching"},
        "hybrid": {"searching"},
        "searching": {"passage"},
        "full_text": {"corpus"},
        "vectors": {"corpus"},
        "corpus": {"passage"},
        "files": {"passage"},
        "embedding": set(),
        "passage": set(),
    },
    "search": {
        "agents": {"sampling", "step_search"},
        "allocation": {"calibration", "needs", "refinement"},
        "calibration": {"question"},
        "judges": {"verifiers"},
        "collaboration": {"early_exit", "step_search"},
        "early_exit": {"calibration", "sampling"},
        "sampling": {"calibration", "verifiers"},
        "needs": {"verifiers"},
        "step_search": {"verifiers"},
        "refinement": {"sampling"},
        "verifiers": {"once", "strategy"},
        "once": set(),
        "strategy": {"answers", "question"},
        "question": {"choices"},
        "choices": set(),
        "answers": set(),
        "readers": set(),
    },
    "evals": {
        "finished": {"running"},
        "studies": {"running"},
        "running": {"reports", "suites", "viewing"},
        "reports": {"costs"},
        "viewing": {"results"},
        "costs": {"results"},
        "results": {"coverage", "records"},
        "suites": {"tasks"},
        "records": {"tasks"},
        "tasks": set(),
        "coverage": {"statistics"},
        "imperfect_checks": {"statistics"},
        "solve_or_verify": {"statistics"},
        "sequential_or_parallel": set(),
        "statistics": set(),
    },
    "parts": {
        "registry": {"entry_points", "making"},
        "entry_points": {"faults"},
        "making": {"signature"},
        "signature": {"parameters"},
        "parameters": {"spec"},
        "spec": {"importing"},
        "importing": {"faults"},
        "faults": set(),
    },
    "context": {
        "compaction": {"turns"},
        "ordering": set(),
        "warming": {"turns"},
        "turns": set(),
    },
    "simulation": {
        "experiments": {"metrics", "simulate"},
        "metrics": {"play"},
        "simulate": {"clock", "play", "standstill"},
        "standstill": set(),
        "workloads": {"sources"},
        "play": {"arrivals", "records"},
        "arrivals": {"workload"},
        "sources": {"workload"},
        "clock": set(),
        "records": set(),
        "workload": set(),
    },
    "cli": {
        "main": {
            "engines",
            "graph",
            "evals",
            "keys",
            "mock",
            "run",
            "runs",
            "serve",
            "simulation",
            "top",
        },
        "graph": {"run"},
        "runs": {"run"},
        "engines": {"listings"},
        "evals": {"common", "version"},
        "keys": {"common"},
        "listings": {"common"},
        "mock": {"common"},
        "run": {"common"},
        "serve": {"common"},
        "simulation": {"common", "version"},
        "top": {"common"},
        "common": set(),
        "version": set(),
    },
    "service.protocols": {
        "chat": {"openai"},
        "completions": {"openai"},
        "messages": {"answers", "claude_code", "reading"},
        "openai": {"answers", "reading"},
        "responses": {"answers", "compaction", "reading"},
        "translation": {"messages", "responses"},
        "unscheduled": {"answers", "reading"},
        "compaction": {"protocol", "sealed"},
        "sealed": set(),
        "answers": {"protocol"},
        "protocol": {"errors"},
        "errors": {"events"},
        "events": set(),
        "reading": {"media"},
        "claude_code": set(),
        "media": set(),
    },
}
"""The same for the rooms of the large layers; a room may import all that is below it."""

HEAVY = {
    *("aiohttp", "httpx", "matplotlib", "msgspec", "networkx", "openai", "optuna", "sqlalchemy"),
    *("starlette", "torch", "transformers", "trio", "uvicorn", "vllm", "yaml", "zmq"),
}
"""Imported where they are used only, so that importing weft stays quick."""


def below(layer: str, order: dict[str, set[str]] = BELOW) -> set[str]:
    """All layers that `layer` may import."""
    found = set(order[layer])
    for lower in order[layer]:
        found |= below(lower, order)
    return found


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of weft by its dotted name."""
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


@cache
def parsed(path: Path) -> ast.Module:
    """A module's syntax; many tests look at the same."""
    return ast.parse(path.read_text())


def nodes(tree: ast.AST, typing: bool) -> Iterator[ast.AST]:
    """All of a module; or all but what only type checkers read."""
    waiting = deque([tree])
    while waiting:
        node = waiting.popleft()
        test = node.test if isinstance(node, ast.If) else None
        if typing or not (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"):
            yield node
            waiting.extend(ast.iter_child_nodes(node))


def imported(name: str, path: Path, typing: bool = True) -> Iterator[tuple[str, int]]:
    """What a module imports of weft, with the line; `weft` is the package's front page."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in nodes(parsed(path), typing):
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
            elif source.removeprefix("weft.") in WALLS:
                for alias in node.names:
                    inner = alias.name if alias.name in WALLS[source[5:]] else ""
                    yield f"{source}.{inner}".rstrip("."), node.lineno
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


def room_in(layer: str, name: str) -> str | None:
    """The room of a module within a layer; None elsewhere, and for the layer's own page."""
    inside = name.removeprefix(f"weft.{layer}.")
    return None if inside == name else inside.split(".")[0]


@pytest.mark.parametrize("layer", WALLS)
def test_walls_between_rooms(layer: str) -> None:
    rooms, wrong, found = WALLS[layer], list[str](), set[str]()
    for name, path in modules():
        room = room_in(layer, name)
        if room is None:
            continue  # the layer's own page may show what it likes
        found.add(room)
        assert room in rooms, f"give {name} a place in WALLS"
        for target, line in imported(name, path, typing=False):
            other = room_in(layer, target)
            if other is not None and other not in below(room, rooms) | {room}:
                wrong.append(f"{path.relative_to(ROOT.parent)}:{line}: {room} imports {target}")
    assert not wrong, "\n" + "\n".join(wrong)
    assert found == set(rooms), "WALLS names rooms that are not there"


@pytest.mark.parametrize(
    "statement",
    ["from ..search import beam", "import weft.search.step_search.beam", "from weft import search"],
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


def test_the_first_page_of_a_room_says_what_it_is_for() -> None:
    """Who may call it, how to add to it, and what it trades away."""
    rooms = [page for page in sorted(ROOT.rglob("__init__.py")) if page.parent != ROOT]
    assert len(rooms) > 30
    for page in rooms:
        said = " ".join((ast.get_docstring(ast.parse(page.read_text())) or "").split())
        assert "Called " in said, page
        assert "Trades away: " in said, page
        assert " To " in said or "Nothing is added here" in said, page


def test_a_class_name_stands_in_one_module() -> None:
    places: dict[str, list[str]] = {}
    for name, path in modules():
        for node in parsed(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(name)
    twice = {name: where for name, where in places.items() if len(where) > 1}
    assert not twice, "one word, one thing"


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
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=170, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.timeout(240)
def test_importing_weft_is_quick() -> None:
    """As calls and modules, for they are the same on all machines; see `benchmarks/imports.py`."""
    _, most_calls, peer = imports.imported("httpx", counted=True)
    for name in ("weft", "weft.backends.engine"):
        _, calls, found = imports.imported(name, counted=True)
        assert not {module.split(".")[0] for module in found} & HEAVY
        assert calls <= 1.5 * most_calls
        assert len(found) <= 1.5 * len(peer)


def test_weft_needs_no_vllm() -> None:
    within = {f"weft.leases.{name}" for name in ("connector", "free_list", "metrics")}
    names = [name for name, _ in modules() if name not in within]
    code = (
        "import sys, importlib\n"
        "for name in ('torch', 'transformers', 'vllm'): sys.modules[name] = None\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "print('imported')"
    )
    assert python(code).strip() == "imported"
