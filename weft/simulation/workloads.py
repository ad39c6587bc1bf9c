"""Opening a workload: a trace's file, a run's folder, or a generator, by name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from weft.errors import ConfigError, UnknownName, UsageError
from weft.parts.faults import blaming, truth
from weft.parts.importing import reference
from weft.simulation.sources import SOURCES, Source, sources
from weft.simulation.sources.checks import checked_jobs
from weft.simulation.sources.formats.lines import files_of, read_lines
from weft.simulation.sources.formats.recorded_runs import events_of
from weft.simulation.workload import Job, Workload

BLOCK_SIZE = 16
_SPEC = re.compile(r"\s*(?:(?:.+?\.py|[A-Za-z_][\w.]*):)?[A-Za-z_]\w*\s*(\(|$)", re.DOTALL)


def open_workload(
    spec: str | Path | Mapping[str, Any] | Source,
    *,
    block_size: int = BLOCK_SIZE,
    seed: int = 0,
    format: str | None = None,
    options: Mapping[str, Any] | None = None,
    tenants: int = 0,
) -> Workload:
    """A workload by name.

    Args:
        spec: a generator or a reader with its parameters, `coding_agents(n=200)` or
            `sessions(path='a.jsonl.gz')`, or as YAML reads it; or the path of a trace.
        block_size: of `PlannedCall.blocks`, tokens.
        seed: of what generators draw.
        format: the reader of a path's file; found out by its first line if not given.
        options: the reader's parameters, for a path.
        tenants: on behalf of how many tenants jobs run, in turn; 0 leaves that to the source.

    Raises:
        UsageError: there is no such source, parameter or file, or a value is not allowed.
        ConfigError: the file is of no known format. What is wrong further on in it is found
            when it is read.
    """
    if block_size < 1:
        raise UsageError(f"block_size={block_size} must be at least 1 token; vLLM's default is 16")
    if tenants < 0:
        raise UsageError(f"tenants={tenants} must be 0 or more")
    made = _source(spec, format, options or {})
    if (path := getattr(made, "path", None)) is not None:
        _require(path, made.name)
    return Workload(made.spec, _Jobs(made, block_size, seed, tenants), block_size)


@dataclass(frozen=True, slots=True)
class _Jobs:
    """The jobs of a source, from the first on at each `iter`."""

    source: Source
    block_size: int
    seed: int
    tenants: int

    def __iter__(self) -> Iterator[Job]:
        jobs = checked_jobs(self.source, self.block_size, self.seed)
        if not self.tenants:
            return jobs
        return (replace(job, tenant=f"tenant-{i % self.tenants}") for i, job in enumerate(jobs))


def _source(spec: Any, format: str | None, options: Mapping[str, Any]) -> Source:
    if isinstance(spec, Source):
        return spec
    if isinstance(spec, Mapping) or (isinstance(spec, str) and _is_spec(spec)):
        if format or options:
            raise UsageError(
                f"format and options belong to a file; write the parameters into {spec!r} itself"
            )
        return SOURCES.parse(cast("str | Mapping[str, Any]", spec))
    path = events_of(Path(spec).expanduser())
    _require(str(path), "a workload")
    name = format or _format(path)
    if reference(name) is None and name not in SOURCES.names():
        brought = [n for n in SOURCES.names() if n not in sources()]  # and not imported yet
        raise UnknownName("trace format", name, [*readers(), *brought])
    if not _reads_file(SOURCES.find(name)):
        raise UsageError(f"format={name} reads no file; name one of {', '.join(readers())}")
    return SOURCES.parse({name: {"path": str(path), **options}})


def readers() -> list[str]:
    """The names of the sources that read a file."""
    return [name for name, source in sources().items() if _reads_file(source)]


def _reads_file(source: type[Source]) -> bool:
    return any(parameter.name == "path" for parameter in source.parameters())


def _is_spec(text: str) -> bool:
    """Whether a text is a spec rather than a path."""
    return bool(_SPEC.match(text)) and not is_trace(Path(text))


def _require(path: str, name: str) -> None:
    if not path:
        raise UsageError(f"{name} needs a file; write {name}(path='...')")
    if not is_trace(Path(path).expanduser()):
        raise ConfigError(
            f"there is no file {path}; name a trace, or a generator such as "
            "coding_agents(n=100), or the folder of weft run --out"
        )


def is_trace(path: Path) -> bool:
    """Whether a path is a file, a run's folder or a folder of traces."""
    return any(file.is_file() for file in files_of(events_of(path)))


def _format(path: Path) -> str:
    """The format that the first line of a file, or of a folder's first file, shows."""
    path = files_of(path)[0]
    _, line = next(read_lines(path), (0, ""))
    if not line:
        raise ConfigError(f"{path} is empty; name another file")
    found = [name for name, source in sources().items() if _recognizes(source, line)]
    if not found:  # the readers of packages that nobody has asked for yet
        found = [one.name for one in SOURCES.listed()[0] if _recognizes(one.part, line)]
    if len(found) != 1:
        what = f"of the formats {' and '.join(found)}" if found else "of no known format"
        raise ConfigError(
            f"{path}: its first line is {what}; name one of {', '.join(readers())} by format="
        )
    return found[0]


def _recognizes(source: type[Source], line: str) -> bool:
    with blaming("workload", source):
        return truth(source.recognizes(line), "recognizes")
