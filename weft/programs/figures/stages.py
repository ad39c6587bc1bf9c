"""Graphs of stages: what a program has declared, and what was learned of its runs."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from weft.orchestrator.estimates.execution_graph import StageSummary
from weft.orchestrator.estimates.profiles import Profiles
from weft.programs.scope.declaration import Declaration, declared

if TYPE_CHECKING:
    import networkx as nx

    Graph = nx.DiGraph[str]

_RARE = 0.005  # chance below which what follows is not drawn
_END = "end"


def declared_graph(program: Any) -> Graph:
    """What a program has declared, as a graph; without stages it is the program alone.

    Nodes have `kind` (`program`, `node`, `end`) and `label`, edges have the kind `next`.

    Args:
        program: an async function, marked or not.
    """
    import networkx as nx  # takes as long to import as all the rest

    graph: Graph = nx.DiGraph()
    says, name = declared(program), str(getattr(program, "__name__", "program"))
    graph.add_node("", kind="program", label=_label(name, says))
    around: dict[str, Any] = getattr(inspect.unwrap(program), "__globals__", {})
    for stage in says.follow:
        own = says.known.get(stage) or declared(around.get(stage))
        title = f"{stage} x {own.width}" if own.width is not None else stage
        graph.add_node(stage, kind="node", label=_label(title, own))
    for i, (stage, after) in enumerate(says.follow.items()):
        if stage in says.begins or not (i or says.begins):
            graph.add_edge("", stage, kind="next")
        for one in dict.fromkeys(after):
            if not one:
                graph.add_node(_END + " ", kind="end", label=_END)
            graph.add_edge(stage, one or _END + " ", kind="next")
    return graph


def _label(title: str, says: Declaration) -> str:
    said = [
        f"{number:,} {what if number > 1 else what[:-1]}"
        for number, what in ((says.calls, "calls"), (says.tokens, "tokens"))
        if number is not None
    ]
    return "\n".join([title, *([", ".join(said)] if said else [])])


def learned_graph(name: str, profiles: Profiles) -> Graph | None:
    """What was learned of a program's runs, as a graph; None if there was none.

    Nodes have `kind` and `label`; edges have the kind `next` and, where several may follow, a
    `label` with the chance.

    Args:
        name: of the program.
        profiles: where it was learned.
    """
    import networkx as nx

    known = profiles.graphs.get(name)
    if known is None or not known.count:
        return None
    graph: Graph = nx.DiGraph()
    stages, whole = known.stages(), known.begin
    runs = f"{known.count} runs" if known.count > 1 else "1 run"
    totals = f"{_calls(whole.calls)}, {whole.tokens:,.0f} tokens, {whole.seconds:.3g} s"
    graph.add_node(
        "", kind="program", label=f"{name or 'without a name'}\n{runs}, in the mean\n{totals}"
    )
    for stage, summary in stages.items():
        if stage:
            graph.add_node(stage, kind="node", label=_summary(name, stage, summary, profiles))
    for stage, summary in stages.items():
        for after, chance in summary.next.items():
            if chance < _RARE:
                continue
            if not after:
                graph.add_node(_END + " ", kind="end", label=_END)
            label = "" if chance > 1 - _RARE else f"{chance:.0%}"
            graph.add_edge(stage, after or _END + " ", kind="next", label=label)
    return graph


def _summary(name: str, stage: str, of: StageSummary, profiles: Profiles) -> str:
    width = f" x {_number(of.width)}" if of.width > 1 else ""
    visits = f", {_number(of.visits)} times a run" if abs(of.visits - 1) > _RARE else ""
    lines = [
        f"{stage}{width}{visits}",
        f"{_calls(of.calls)}, {of.tokens:,.0f} tokens, {of.seconds:.3g} s",
    ]
    if (lengths := profiles.answers_of(name, stage)) is not None:
        lines.append(f"answers of {lengths.mean:,.0f} tokens")
    for tool, (chance, seconds) in sorted(of.tools.items(), key=lambda one: -one[1][0])[:3]:
        share = "" if chance > 1 - _RARE else f" ({chance:.0%})"
        if seconds >= 0.001:
            lines.append(f"then {tool or 'away'} for {seconds:.3g} s{share}")
    return "\n".join(lines)


def _calls(number: float) -> str:
    said = _number(number)
    return f"{said} call" if said == "1" else f"{said} calls"


def _number(x: float) -> str:
    return f"{x:,.0f}" if abs(x - round(x)) < 0.05 else f"{x:,.1f}"
