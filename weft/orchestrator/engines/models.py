"""Models: what the engines of a pool say of the models that they serve."""

from __future__ import annotations

from collections.abc import Sequence

from weft.backends.engine import Engine
from weft.types import Price


class Models:
    """The models of some engines.

    Args:
        engines: the engines, as they come and go.
    """

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._engines = engines

    def takes_tokens(self, model: str) -> bool:
        """Whether all engines of a model take token ids."""
        for engine in self._engines:  # asked at every call, where a generator would cost twice
            if engine.model == model and not engine.takes_tokens:
                return False
        return True

    def calls_tools(self, model: str) -> bool:
        """Whether all engines of a model can be told of tools."""
        return all(e.calls_tools for e in self._engines if e.model == model)

    def opens_thinking(self, model: str) -> bool:
        """Whether answers of a model begin within its thinking."""
        return any(e.opens_thinking for e in self._engines if e.model == model)

    def learn_opens_thinking(self, model: str) -> None:
        """Note that answers of a model begin within its thinking, for one has shown it."""
        for engine in self._engines:
            if engine.model == model:
                engine.opens_thinking = True

    def dearest(self, model: str) -> Price:
        """What tokens of a model cost at most."""
        prices = [e.price for e in self._engines if e.model == model and e.price is not None]
        return Price(
            max((p.prompt for p in prices), default=0.0),
            max((p.completion for p in prices), default=0.0),
        )

    def context(self, model: str) -> int | None:
        """Most tokens of prompt and answer on every engine of a model; None if unknown."""
        return min(
            (e.context for e in self._engines if e.model == model and e.context), default=None
        )

    def without_price(self) -> str | None:
        """The name of an engine without a price, if there is one."""
        return next((e.name for e in self._engines if e.price is None), None)
