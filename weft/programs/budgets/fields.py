"""Budgets in configuration files."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from weft.programs.budgets.limits import Limits


class Budget(BaseModel):
    """What may be spent; what is left out is not limited."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    tokens: int | None = Field(default=None, gt=0)
    """Prompt and generated tokens."""
    calls: int | None = Field(default=None, gt=0)
    """Calls that reach an engine."""
    seconds: float | None = Field(default=None, gt=0)
    """Wall time."""
    dollars: float | None = Field(default=None, gt=0)
    """Cost; only for engines with prices."""

    def limits(self) -> Limits | None:
        """As a run takes it; None if nothing is limited."""
        given = self.model_dump(exclude_none=True)
        return Limits(**given) if given else None
