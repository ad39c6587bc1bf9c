"""Experience: samples of quantities, under special keys and under the more general ones."""

from __future__ import annotations

import itertools
import json
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from weft.errors import StoreError, UsageError
from weft.orchestrator.estimates.distribution import Distribution

if TYPE_CHECKING:
    from weft.store.store import Store

Key = tuple[str, ...]
"""A quantity, then from the general to the special whose it is: `("answers", name, stage)`."""

_WORDS = {
    "answers": "answers",
    "tools": "uses",
    "calls": "finished runs",
    "growth": "calls",
    "returns": "first calls",
    "silence": "programs that fell silent",
}


class Experience:
    """Distributions by key.

    A sample counts under its key and under all that are more general: under `("answers", "fix",
    "plan")`, `("answers", "fix")` and `("answers",)`. The first of these that has enough samples
    is what is known.

    Args:
        store: where distributions are kept; what it knows is there from the start.
        enough: samples that make an answer.
        half_life: samples after which an older one weighs half.
        most: keys that are kept; those not used for longest go.

    Raises:
        StoreError: what the store keeps can't be read.
    """

    def __init__(self, store: Store | None, *, enough: int, half_life: float, most: int) -> None:
        if most < 9:
            raise UsageError(f"most={most} of profiles must be at least 9")
        self._store, self._enough, self._half_life, self._most = store, enough, half_life, most
        self._known: OrderedDict[Key, Distribution] = OrderedDict()
        self._answering: dict[Key, Key] = {}  # which key has enough; () for none
        self._changed: set[Key] = set()
        self._dropped: set[Key] = set()
        for text, kept in (store.profiles() if store is not None else {}).items():
            try:
                key = _parse(text)
                known = Distribution.load(json.loads(kept), half_life, _words(key))
            except (ValueError, UsageError):
                raise StoreError(
                    f"profile {text} in store {store and store.name} can't be read; use another"
                ) from None
            self._known[key] = known

    def __len__(self) -> int:
        return len(self._known)

    @property
    def changed(self) -> int:
        """Distributions that are not written yet."""
        return len(self._changed)

    def of(self, key: Key) -> Distribution | None:
        """What is known under this key alone, however little; None for nothing."""
        return self._known.get(key)

    def learn(self, key: Key, value: float) -> None:
        """A sample."""
        # From the special to the general, so that the general is dropped last.
        all_known, part = self._known, key
        while part:
            known = all_known.get(part)
            if known is None:
                known = all_known[part] = Distribution(self._half_life, _words(part))
                self._dropped.discard(part)
            known.add(value)
            if known.count == self._enough:
                self._answering.clear()
            all_known.move_to_end(part)
            self._changed.add(part)
            part = part[:-1]
        while len(all_known) > self._most:
            part, _ = all_known.popitem(last=False)
            self._answering.clear()
            self._changed.discard(part)
            self._dropped.add(part)

    def find(self, key: Key) -> Distribution | None:
        """What is known under this key, or else under a more general one; None for nothing."""
        part = self._answering.get(key)
        if part is None:
            part = self._answer_of(key)
        if not part:
            return None
        self._known.move_to_end(part)
        return self._known[part]

    def part(self, most: int) -> tuple[Callable[[], None], Callable[[], None]]:
        """So many of the changed distributions at most.

        Returns:
            what writes them, in any thread; what takes that back, if it failed.
        """
        keys = list(itertools.islice(self._changed, most))
        changed = {key: self._known[key].dump() for key in keys}
        self._changed.difference_update(keys)
        dropped, self._dropped = self._dropped, set()

        def write() -> None:
            if self._store is not None and (changed or dropped):
                texts = {json.dumps(key): json.dumps(known) for key, known in changed.items()}
                self._store.keep_profiles(texts, [json.dumps(key) for key in dropped])

        def undo() -> None:
            self._changed.update(key for key in keys if key in self._known)
            self._dropped.update(key for key in dropped if key not in self._known)

        return write, undo

    def _answer_of(self, key: Key) -> Key:
        """Which of the key and the more general ones has enough samples; () for none."""
        part = key
        while part and ((known := self._known.get(part)) is None or known.count < self._enough):
            part = part[:-1]
        if len(self._answering) >= self._most:
            self._answering.clear()
        self._answering[key] = part
        return part


def _words(key: Key) -> str:
    names = [name for name in reversed(key[1:]) if name]
    return f"{_WORDS[key[0]]} of {' in '.join(names) or 'all programs'}"


def _parse(text: str) -> Key:
    key = tuple(str(part) for part in json.loads(text))
    if not key or key[0] not in _WORDS:
        raise ValueError
    return key
