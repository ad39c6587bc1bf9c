"""The part of a batch whose prompts are computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from weft.cache.prefix import Hold
from weft.leases.directive import Directive


@dataclass(eq=False, slots=True)
class Stay:
    """A request's stay in an engine.

    Attributes:
        id: of the request.
        prompt: its tokens.
        answer: how many it will generate.
        hashes: chained hashes of whole blocks of prompt and answer, as far as they are known.
        made: tokens generated; current unless it decodes.
        computed: tokens in the KV cache, or being computed; current unless it decodes.
        cached: tokens of the prompt found in the cache at first; None before.
        chunk: prompt tokens that the running step computes.
        hold: its blocks that can be hit; None while it waits.
        lead: while it decodes, `computed` less the number of steps done; else None.
        number: numbers the beginnings of decoding.
        keep: what it asks of an engine with leases.
    """

    id: str
    prompt: int
    answer: int
    hashes: Sequence[int]
    made: int = 0
    computed: int = 0
    cached: int | None = None
    chunk: int = 0
    hold: Hold | None = None
    lead: int | None = None
    number: int = 0
    keep: Directive | None = None

    @property
    def known(self) -> int:
        """Tokens to be computed before the next one is sampled."""
        return self.prompt + self.made


class Decoding:
    """Sequences that all advance by one token a step.

    They are kept as what they are ahead of the number of steps done, so that any number of
    steps costs no more than one, and sums over them cost nothing.

    Args:
        block_size: tokens in a block.

    Attributes:
        count: how many there are.
    """

    def __init__(self, block_size: int) -> None:
        self.count = 0
        self._block_size = block_size
        # Sums over the leads: of all, of whole blocks in them, and how many leave each rest.
        self._leads = self._whole = 0
        self._rests = [0] * block_size
        self._ends: list[tuple[int, int, Stay]] = []  # by the step that gives the last token
        self._numbers = 0

    def begin(self, stay: Stay, steps: int) -> None:
        """From now on, when so many steps are done, it gets a token a step."""
        lead = stay.lead = stay.computed - steps
        self._add(lead, 1)
        self._numbers += 1
        stay.number = self._numbers
        heappush(self._ends, (stay.prompt + stay.answer - 1 - lead, stay.number, stay))

    def end(self, stay: Stay, steps: int) -> None:
        """It gets no more."""
        assert stay.lead is not None
        stay.computed = stay.lead + steps
        stay.made = stay.computed + 1 - stay.prompt
        self._add(stay.lead, -1)
        stay.lead = None

    def tokens(self, steps: int) -> int:
        """The lengths of all after so many steps, in sum."""
        return self._leads + self.count * steps

    def blocks(self, steps: int) -> int:
        """The blocks of all after so many steps: their lengths, each rounded up."""
        whole, rest = divmod(steps, self._block_size)
        over = sum(self._rests[self._block_size - rest + 1 :])
        even = self._rests[0] if rest == 0 else 0
        return self._whole + self.count * (whole + 1) + over - even

    def first(self) -> tuple[int, Stay] | None:
        """The step that is the last of one, and that one; None if there is none."""
        while self._ends:
            end, number, stay = self._ends[0]
            if stay.lead is not None and stay.number == number:
                return end, stay
            heappop(self._ends)  # it was taken out before its end
        return None

    def _add(self, lead: int, by: int) -> None:
        self.count += by
        self._leads += by * lead
        self._whole += by * (lead // self._block_size)
        self._rests[lead % self._block_size] += by
