"""Where workloads come from: sources that specs name, `coding_agents(n=200, scale=0.25)`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar, dataclass_transform

from weft.parts.parameters import Parametric
from weft.parts.registry import PartRegistry
from weft.simulation.workload import Job


class Source(Parametric):
    """Makes jobs, one at a time.

    Subclasses are marked with `@source(name)`, which makes them frozen dataclasses whose fields
    are their parameters. A source that reads a file has a parameter `path`.
    """

    @classmethod
    def recognizes(cls, line: str) -> bool:
        """Whether a file that begins with this line is one that the source reads; by default no."""
        return False

    @abstractmethod
    def jobs(self, block_size: int, seed: int) -> Iterator[Job]:
        """The jobs from the first on, in the order in which they begin.

        Args:
            block_size: of `PlannedCall.blocks`, tokens.
            seed: of what is random; the same seed gives the same jobs.
        """


S = TypeVar("S", bound=type[Source])
SOURCES = PartRegistry(
    "workload",
    Source,
    mark="source",
    group="weft.workloads",
    own=["weft.simulation.sources.formats", "weft.simulation.sources.generators"],
)


@dataclass_transform(frozen_default=True)
def source(name: str) -> Callable[[S], S]:
    """Make a class a source that specs call `name`."""
    return SOURCES.mark_as(name)


def sources() -> Mapping[str, type[Source]]:
    """The sources that are known by name."""
    return SOURCES.known()
