"""Text-to-SQL workflows: linked schema, candidates, corrections, a selection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from weft.parts.parameters import param
from weft.simulation.sources import Source, source
from weft.simulation.sources.contexts import Fresh, Run, Scale, length, space
from weft.simulation.sources.generators.drawing import Draws
from weft.simulation.sources.planned_calls import PlannedCalls
from weft.simulation.workload import Job, Parallel, Step

# Lengths in tokens (median, and standard deviation of the logarithm) as workflows of this kind
# have them: long schemas, answers that think before they write SQL.
_INSTRUCTIONS = 600
_SCHEMA = (2500, 0.6)
_QUESTION = (60, 0.4)
_LINKED = (250, 0.5)
_ASKED = 150  # what each later stage adds to the prompt
_CANDIDATE = (350, 0.6)
_MESSAGE = (80, 0.5)
_CHOSEN = (120, 0.5)
_CHAIN = 1700  # tokens of answers along the longest chain of a query of median length
_DATABASE = (0.12, 1.2)  # seconds that a query runs


@dataclass(frozen=True, slots=True)
class _Attempt:
    """An answer with SQL, and the database's complaint; the last has none."""

    answer: int
    message: int


@source("text_to_sql")
class TextToSQL(Source):
    """Queries in the shape of HexGen-Text2SQL (2025), each a program with a deadline.

    One call links the schema; candidates are written at once, each run on the database and
    corrected while it fails; a last call selects one of them. Queries on the same database
    share the prefix with its schema; some databases are asked more often than others.
    """

    n: int = param(100, "queries", least=1, main=True)
    databases: int = param(16, "databases; their popularity falls as 1/rank", least=1)
    candidates: int = param(6, "SQL candidates of a query", least=1, main=True)
    rounds: int = param(3, "most corrections of a candidate", least=0)
    failing: float = param(0.35, "share of SQL that needs a correction", least=0, most=1)
    slo: float = param(
        60.0, "seconds for a query of median length, more for longer ones; 0 for none", least=0
    )
    scale: float = param(1.0, "factor on all lengths in tokens", above=0, most=16)

    def jobs(self, block_size: int, seed: int) -> Iterator[Job]:
        """The queries."""
        scale = Scale(self.scale, block_size)
        schemas = [
            (space(f"schema:{seed}:{i}"), Draws("schema", seed, i).tokens(*_SCHEMA))
            for i in range(self.databases)
        ]
        popular = [1 / (rank + 1) for rank in range(self.databases)]
        for number in range(self.n):
            draws = Draws("text_to_sql", seed, number)
            schema = schemas[draws.popular(popular)]
            query = _Query(self, scale, Fresh(f"text_to_sql:{seed}:{number}"), draws, schema)
            slo = self.slo * query.chain / _CHAIN if self.slo else None
            yield Job(f"query-{number}", query.steps(), name="text_to_sql", slo=slo)


class _Query:
    """Draws one query.

    Attributes:
        chain: tokens of answers along its longest chain of calls.
    """

    def __init__(
        self, settings: TextToSQL, scale: Scale, fresh: Fresh, draws: Draws, schema: Run
    ) -> None:
        self._scale, self._fresh, self._draws = scale, fresh, draws
        instructions = (space("text_to_sql:instructions"), _INSTRUCTIONS)
        self._question = [instructions, schema, fresh(draws.tokens(*_QUESTION))]
        self._linked, self._chosen = draws.tokens(*_LINKED), draws.tokens(*_CHOSEN)
        self._candidates = [self._attempts(settings) for _ in range(settings.candidates)]
        longest = max(sum(a.answer for a in attempts) for attempts in self._candidates)
        self.chain = self._linked + longest + self._chosen

    def _attempts(self, settings: TextToSQL) -> list[_Attempt]:
        draws = self._draws
        attempts: list[_Attempt] = []
        while len(attempts) < settings.rounds and draws.chance(settings.failing):
            attempts.append(_Attempt(draws.tokens(*_CANDIDATE), draws.tokens(*_MESSAGE)))
        return [*attempts, _Attempt(draws.tokens(*_CANDIDATE), 0)]

    def steps(self) -> Iterator[Step]:
        """What the program does."""
        prompt, linked = self._prompt(self._question, "link"), self._fresh(self._linked)
        planned = PlannedCalls(self._scale, self._fresh)
        yield planned.make([*prompt, linked], length(prompt), linked[1], stage="link")
        generate = self._prompt([*prompt, linked], "generate")
        written: list[Run] = []
        branches: list[tuple[Step, ...]] = []
        for attempts in self._candidates:
            branch, answer = self._candidate(generate, attempts)
            branches.append(branch)
            written.append(answer)
        yield Parallel(tuple(branches))
        select = self._prompt([*self._question, *written], "select")
        chosen = self._fresh(self._chosen)
        yield planned.make([*select, chosen], length(select), chosen[1], stage="select")

    def _candidate(
        self, prompt: list[Run], attempts: list[_Attempt]
    ) -> tuple[tuple[Step, ...], Run]:
        """A candidate with its corrections, and the answer that stands at the end."""
        planned, steps, answer = PlannedCalls(self._scale, self._fresh), list[Step](), (0, 0)
        for i, attempt in enumerate(attempts):
            answer = self._fresh(attempt.answer)
            context = [*prompt, answer]
            stage = "correct" if i else "generate"
            wait = self._draws.lognormal(*_DATABASE)
            steps.append(
                planned.make(
                    context, length(prompt), answer[1], wait=wait, tool="database", stage=stage
                )
            )
            prompt = [*context, self._fresh(attempt.message)]
        return tuple(steps), answer

    def _prompt(self, prompt: list[Run], stage: str) -> list[Run]:
        return [*prompt, (space(f"text_to_sql:{stage}"), _ASKED)]
