"""What engines are called before tenants, who need not know where they are."""

from __future__ import annotations

import re

from weft.backends.engine import Engine


class EngineNames:
    """Gives engines that were given no name a number, for they are called by their addresses.

    An engine keeps its number as long as the service runs, whether or not it is still there.
    """

    def __init__(self) -> None:
        self._shown: dict[str, str] = {}
        self._numbered = 0
        self._hidden: re.Pattern[str] | None = None

    def add(self, engine: Engine, given: bool) -> None:
        """Take an engine in.

        Args:
            engine: with the name that the operator sees.
            given: whether that is a name of its own.
        """
        if engine.name not in self._shown:
            self._numbered += not given
            shown = engine.name if given else f"engine-{self._numbered}"
            url = engine.url.removesuffix("/v1")
            self._shown |= {engine.name: shown, url: shown}
        hidden = [name for name, shown in self._shown.items() if name and name != shown]
        # The longest first, for one address may begin with another.
        pattern = "|".join(re.escape(name) for name in sorted(hidden, key=len, reverse=True))
        self._hidden = re.compile(pattern) if hidden else None

    def shown(self, text: str) -> str:
        """A text as tenants may see it: an engine's name alone, or a sentence with names in it."""
        if self._hidden is None:
            return text
        return self._hidden.sub(lambda found: self._shown[found[0]], text)
