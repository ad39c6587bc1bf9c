"""What the service can be told of strategies as models."""

from __future__ import annotations

from pydantic import Field

from weft.parts.spec import read_spec
from weft.programs.budgets.fields import Budget
from weft.search.strategy import parse_strategy
from weft.service.config.section import Section
from weft.service.config.values import ReaderText, StrategyText


class StrategyModelSettings(Section):
    """A strategy that clients use as if it were a model."""

    strategy: StrategyText
    """The strategy's spec, such as majority(n=8)."""
    model: str | None = Field(default=None, min_length=1)
    """The model on which the strategy runs; by default the model of the role `solver`."""
    name: str | None = Field(default=None, min_length=1)
    """The name for clients; MODEL:STRATEGY by default."""
    reader: ReaderText = "final"
    """The reader of its samples' answers, see `weft readers`; JSON is read as JSON in any case."""
    budget: Budget = Budget()
    """What one request may spend. `strategies.budget` sets the limits that are left out here."""

    @property
    def title(self) -> str:
        """What clients call it."""
        if self.name is not None:
            return self.name
        spec = self.strategy
        if ":" in read_spec(spec).name:  # clients need not know where its code stands
            spec = parse_strategy(spec).spec
        return f"{self.model}:{spec}"


class Strategies(Section):
    """Strategies as models: `model: "M:majority(n=8)"` answers as one model would."""

    models: list[StrategyModelSettings] = Field(default_factory=list[StrategyModelSettings])
    """The strategies that are listed among the models."""
    any: bool = True
    """Whether clients may also ask for strategies that are not listed, by `MODEL:STRATEGY`."""
    budget: Budget = Budget(calls=600, tokens=4_000_000)
    """What one request to a strategy may spend at most."""
