"""report.html: one page with plot, table, findings and what was run. It needs no network."""

from __future__ import annotations

from html import escape
from string import Template

from weft.errors import MissingExtra
from weft.evals.reports import plot, searched_tree
from weft.evals.reports.comparisons import notes
from weft.evals.reports.findings import Judged, judged
from weft.evals.reports.purposes import Purposes
from weft.evals.reports.searched_tree import SearchedTrees
from weft.evals.reports.section import ReportSection
from weft.evals.reports.sections import sections
from weft.evals.results import Evaluation, Result
from weft.evals.results.checks import CheckSummary

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --ink: #1c2024; --faint: #7b8189; --page: #fff; --line: #d8dce0;
  --yes: #1d7a43; --no: #b3352f; --unsure: #7a6416; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7ea; --faint: #8f969e; --page: #16191c;
  --line: #363b41; --yes: #5cc98a; --no: #f0837c; --unsure: #d8bd5f; } }
body { margin: 0 auto; padding: 1rem; max-width: 58rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
summary { font-weight: 600; margin: .5rem 0; cursor: pointer; }
p { margin: .4rem 0; }
svg { display: block; width: 100%; max-width: 44rem; height: auto; margin: 0 auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .3rem .6rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
.note { color: var(--faint); font-size: .9rem; }
.verdict { font-weight: 700; }
.yes { color: var(--yes); } .no { color: var(--no); } .unsure { color: var(--unsure); }
code { font-size: .9em; overflow-wrap: anywhere; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; margin: .2rem 0; }
summary { cursor: pointer; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 0; }
dt { color: var(--faint); } dd { margin: 0; overflow-wrap: anywhere; }
</style>
</head>
<body>
<h1>$title</h1>
<p class="note">$subtitle</p>
$plot
<h2>Findings</h2>
$findings
<h2>Results</h2>
<div class="wide">$table</div>
<p class="note">Accuracy [with its interval of 95 %: Wilson's, samples of one cluster counted as
dependent]. Tokens are means a problem: computed = prompt
not found in the engines' prefix cache + generated, cancelled ones included. Thinking: those of all
generated tokens that came before answers, where engines or marks in the text show it. Seconds are
wall time of the strategy over all problems at once; p50 and p95 are of single problems under that
load.</p>
$sections
<h2>Details by strategy</h2>
<div class="wide">$details</div>
<p class="note">No answer: the text chosen had none that could be read, or the strategy
abstained. Unparsable: of all samples
drawn. Cancelled: share of generated tokens that were of no use, because the strategy had decided
and aborted the calls in the engine. Budget: samples that ran out of it.</p>
<h2>What was run</h2>
<dl>$run</dl>
</body>
</html>
""")


def html(
    evaluation: Evaluation, spent: Purposes | None = None, trees: SearchedTrees | None = None
) -> str:
    """The page.

    Args:
        evaluation: what it is of.
        spent: what tokens went to.
        trees: that were searched for one problem.
    """
    settings, shown = evaluation.settings, [r for r in evaluation.results if r.n]
    counts = sorted({r.problems for r in shown})
    problems = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(sum(counts))
    report = judged(evaluation)
    told = evaluation.session, report.effects, evaluation.checks
    more = sections(evaluation.results, report.differences, *told)
    if spent is not None and (purposes := spent.section()).rows:
        more.append(purposes)
    return _PAGE.substitute(
        title=escape(f"{settings.task}: {len(shown)} strategies on {problems} problems"),
        subtitle=escape(f"Model {settings.model}, seed {settings.seed}"),
        plot=_picture(shown),
        findings=_findings(report),
        sections="\n".join(
            [*map(_section, more), *map(_differing, evaluation.checks), _trees(trees)]
        ),
        table=_table(_HEAD, [cells(r) for r in shown], "thinking"),
        details=_table(_DETAILS, [_detail(r) for r in shown]),
        run=_run(evaluation),
    )


_HEAD = (
    "strategy", "n", "accuracy, %", "calls", "computed", "prompt", "cached", "generated",
    "thinking", "cancelled", "seconds", "p50 s", "p95 s",
)  # fmt: skip
_DETAILS = (
    "strategy", "no answer", "abstained", "unparsable", "samples", "cancelled, %", "budget",
    "errors", "tokens p50", "tokens p95",
)  # fmt: skip


def cells(r: Result) -> list[str]:
    """A row of the main table."""
    usage, n = r.usage, max(r.n, 1)
    median, most = r.seconds_between
    return [
        r.strategy,
        r.count,
        str(r.share),
        f"{usage.calls / n:.1f}",
        f"{r.computed:.0f}",
        f"{usage.prompt / n:.0f}",
        f"{usage.cached / n:.0f}",
        f"{usage.completion / n:.0f}",
        f"{usage.reasoning / n:.0f}" if usage.reasoning else "",
        f"{usage.cancelled / n:.0f}",
        f"{r.seconds:.1f}",
        f"{median:.2f}",
        f"{most:.2f}",
    ]


def _picture(shown: list[Result]) -> str:
    """The plot; without the library that draws it, a sentence that says so."""
    if not shown:
        return "<p>No sample has finished.</p>"
    try:
        picture = plot.svg(shown)
    except MissingExtra as missing:
        return f"<p>{escape(str(missing))}</p>"
    best = ", ".join(escape(r.strategy) for r in plot.frontier(shown))
    return (
        f'{picture}\n<p class="note">Dotted: the frontier, of strategies than which none is as '
        f"accurate with fewer tokens: {best}.</p>"
    )


def _detail(r: Result) -> list[str]:
    usage = r.usage
    median, most = r.tokens_between
    share = 100 * usage.cancelled / usage.generated if usage.generated else 0.0
    over = sum(bool(row.details.get("budget")) for row in r.rows)
    return [
        r.strategy,
        str(r.unanswered),
        str(r.abstained),
        _count(r.total("unparsable")),
        _count(r.total("samples")),
        f"{share:.1f}",
        str(over),
        str(r.errors),
        f"{median:.0f}",
        f"{most:.0f}",
    ]


def _count(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _table(head: tuple[str, ...], rows: list[list[str]], optional: str = "") -> str:
    """A table; the optional column is left out where no row has anything there."""
    at = head.index(optional) if optional else len(head)
    if not any("".join(row[at : at + 1]) for row in rows):
        head, rows = head[:at] + head[at + 1 :], [row[:at] + row[at + 1 :] for row in rows]

    def line(tag: str, cells: tuple[str, ...] | list[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(c)}</{tag}>" for c in cells) + "</tr>"

    body = "\n".join(line("td", row) for row in rows)
    return f"<table><thead>{line('th', head)}</thead>\n<tbody>\n{body}\n</tbody></table>"


def _findings(report: Judged) -> str:
    kinds = {"yes": "yes", "no": "no", "can't tell": "unsure"}
    found = [
        f'<p>{escape(f.question)} <span class="verdict {kinds[f.verdict]}">'
        f"{escape(f.verdict.capitalize())}</span>: {escape(f.text)}</p>"
        for f in report.findings
    ]
    if not found:
        return "<p>There are no two strategies here that these questions compare.</p>"
    note = (
        f'<p class="note">The chance that any yes or no here is a false alarm is at most 5 %: '
        f"{escape(notes(report.family))}.</p>"
    )
    return "\n".join([*found, note])


def _section(section: ReportSection) -> str:
    table = _table(tuple(section.columns), [list(row) for row in section.rows])
    return (
        f'<h2>{escape(section.title)}</h2>\n<div class="wide">{table}</div>\n'
        f'<p class="note">{escape(section.notes[0].upper() + section.notes[1:])}.</p>'
    )


def _differing(checks: CheckSummary) -> str:
    """The calls to which two engines gave other answers, with both texts."""
    found: list[str] = []
    for one in checks.shown:
        head = f"{one.strategy} on {one.id}: {one.values[0]!r} and {one.values[1]!r}"
        texts = "".join(
            f'<p class="note">{escape(engine)}</p><pre>{escape(text or "")}</pre>'
            for engine, text in zip(one.engines, one.texts, strict=True)
        )
        found.append(f"<details><summary>{escape(head)}</summary>{texts}</details>")
    return "\n".join(found)


def _trees(trees: SearchedTrees | None) -> str:
    if trees is None or not trees.rows:
        return ""
    drawn = "\n".join(
        f"<details{'' if i else ' open'}><summary>{escape(strategy)}</summary>\n"
        f'<div class="wide">{searched_tree.svg(row)}</div></details>'
        for i, (strategy, row) in enumerate(trees.rows.items())
    )
    return (
        f"<h2>The trees of problem {escape(str(trees.problem))}</h2>\n{drawn}\n"
        '<p class="note">From left to right: each text continues the one before. Numbers: scores '
        "of the text so far. Bold: what the answer is made of. Hollow: broken off.</p>"
    )


def _run(evaluation: Evaluation) -> str:
    settings, session = evaluation.settings, evaluation.session
    facts = {
        "Task": settings.task,
        "Model": settings.model,
        "Other roles": ", ".join(f"{role}: {model}" for role, model in settings.roles.items()),
        "Engines": ", ".join(session.engines),
        "Seed": str(settings.seed),
        "Budget a sample": ", ".join(f"{k} {v:g}" for k, v in settings.budget.items()),
        "Samples with errors": str(evaluation.errors) if evaluation.errors else "",
        "Command": session.command,
        "weft": session.version,
    }
    lines = [
        f"<dt>{name}</dt><dd>{_code(name, escape(value))}</dd>"
        for name, value in facts.items()
        if value
    ]
    return "\n".join(lines)


def _code(name: str, value: str) -> str:
    return f"<code>{value}</code>" if name == "Command" else value
