"""When the jobs of a workload begin: `poisson(rate=2)`, `closed(n=64)`, `recorded`."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar, dataclass_transform

from weft.errors import UsageError
from weft.parts.parameters import Parametric, param
from weft.parts.registry import PartRegistry
from weft.simulation.workload import Job


class Arrivals(Parametric):
    """Says when jobs begin.

    Subclasses are marked with `@arrivals(name)`, which makes them frozen dataclasses whose
    fields are their parameters.
    """

    @property
    def concurrency(self) -> int:
        """How many jobs run at once: the next begins when one ends. 0 for no such bound."""
        return 0

    @property
    def load(self) -> tuple[str, float] | None:
        """What grows with the load, in words, and how much of it there is; None if unknown."""
        return None

    @abstractmethod
    def times(self, jobs: Iterable[Job], seed: int) -> Iterator[tuple[float, Job]]:
        """Each job with the seconds from the workload's begin to its own; never decreasing.

        Args:
            jobs: read one at a time, when it is asked for.
            seed: of what is random; the same seed gives the same times.
        """


A = TypeVar("A", bound=type[Arrivals])
ARRIVALS = PartRegistry("arrival process", Arrivals, mark="arrivals", group="weft.arrivals")


@dataclass_transform(frozen_default=True)
def arrivals(name: str) -> Callable[[A], A]:
    """Make a class an arrival process that specs call `name`."""
    return ARRIVALS.mark_as(name)


def parse_arrivals(spec: str | Mapping[str, Any] | Arrivals) -> Arrivals:
    """The arrival process that a spec describes.

    Args:
        spec: a text such as `gamma(rate=2, cv=3)`, or the same as YAML reads it.

    Raises:
        UnknownName: there is no such process or parameter.
        UsageError: the text is malformed, or a value is not allowed.
    """
    return ARRIVALS.parse(spec)


@arrivals("gamma")
class Gamma(Arrivals):
    """Independent gaps, gamma distributed: bursts if `cv` is above 1, regular if below.

    With `cv=1` they are exponential, as in `poisson`.
    """

    rate: float = param(1.0, "jobs a second, on average", above=0, main=True)
    cv: float = param(2.0, "standard deviation of the gaps over their mean", above=0, main=True)

    @property
    def load(self) -> tuple[str, float]:
        """`rate`."""
        return "programs a second", self.rate

    def times(self, jobs: Iterable[Job], seed: int) -> Iterator[tuple[float, Job]]:
        """The first job comes after the first gap."""
        rng = random.Random(f"arrivals:{seed}")
        shape = self.cv**-2
        now = 0.0
        for job in jobs:
            now += rng.gammavariate(shape, 1 / (shape * self.rate))
            yield now, job


@arrivals("poisson")
class Poisson(Arrivals):
    """Jobs that come independently of one another."""

    rate: float = param(1.0, "jobs a second, on average", above=0, main=True)

    @property
    def load(self) -> tuple[str, float]:
        """`rate`."""
        return "programs a second", self.rate

    def times(self, jobs: Iterable[Job], seed: int) -> Iterator[tuple[float, Job]]:
        """The first job comes after the first gap."""
        rng = random.Random(f"arrivals:{seed}")
        now = 0.0
        for job in jobs:
            now += rng.expovariate(self.rate)
            yield now, job


@arrivals("closed")
class Closed(Arrivals):
    """A fixed number of jobs at any time: the next begins when one ends."""

    n: int = param(16, "jobs that run at once", least=1, main=True)

    @property
    def concurrency(self) -> int:
        """`n`."""
        return self.n

    @property
    def load(self) -> tuple[str, float]:
        """`n`."""
        return "programs at once", self.n

    def times(self, jobs: Iterable[Job], seed: int) -> Iterator[tuple[float, Job]]:
        """All jobs are ready from the beginning."""
        return ((0.0, job) for job in jobs)


@arrivals("burst")
class Burst(Arrivals):
    """All jobs at once."""

    def times(self, jobs: Iterable[Job], seed: int) -> Iterator[tuple[float, Job]]:
        """Zero for all."""
        return ((0.0, job) for job in jobs)


@arrivals("recorded")
class Recorded(Arrivals):
    """As the workload says (`Job.arrival`).

    Raises:
        UsageError: when read, at a job that has no arrival or one before the last job's.
    """

    speed: float = param(1.0, "recorded seconds that pass in a second", above=0)

    def times(self, jobs: Iterable[Job], seed: int) -> Iterator[tuple[float, Job]]:
        """The recorded times, divided by `speed`."""
        last = 0.0
        for job in jobs:
            if job.arrival is None:
                raise UsageError(
                    f"the workload does not say when job {job.id} begins; choose other "
                    "arrivals, such as poisson(rate=1)"
                )
            if not job.arrival >= last:
                raise UsageError(
                    f"job {job.id} begins at {job.arrival:g} s, before the job ahead of it; sort "
                    "the workload by arrival or choose other arrivals, such as poisson(rate=1)"
                )
            last = job.arrival
            yield last / self.speed, job
