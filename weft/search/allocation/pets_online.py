"""pets_online: a vote of as many samples as the first four make it deserve."""

from __future__ import annotations

from weft.errors import UsageError
from weft.parts.parameters import param, temperature
from weft.search.allocation.online_budgets import FIRST, PATTERNS, pattern
from weft.search.answers.voting import Election, tally
from weft.search.sampling.drawing import drawer
from weft.search.sampling.samples import Drawn, collect, voted
from weft.search.strategy import Answer, Question, Strategy, strategy


def read_budgets(text: str) -> dict[str, int]:
    """Samples by how the first four voted.

    Raises:
        UsageError: the text is no such list.
    """
    found: dict[str, int] = {}
    for one in text.split():
        votes, _, samples = one.partition(":")
        if votes not in PATTERNS or not samples.isdecimal() or int(samples) < FIRST:
            raise UsageError(
                f"{one!r} of budgets must be one of {', '.join(PATTERNS)}, a colon, and {FIRST} "
                "samples or more, such as 31:12; online_budgets makes such a list"
            )
        found[votes] = int(samples)
    return found


@strategy("pets_online")
class PetsOnline(Strategy):
    """Self-consistency with as many samples as the first four make likely to help (PETS, 2026).

    The four may agree (`4`), or be three to one (`31`), and so on down to `1111`. How many samples
    a question then gets in all is planned beforehand, on problems of the same kind and the same
    model, by `weft.search.allocation.online_budgets`. Without a plan, and for votes that it does
    not have, a question gets n samples. Unlike `pets`, no question waits for another.

    Of what is left, samples that can't change the vote are cancelled.
    """

    title = "PETS online"
    family = "sampling"
    source = "PETS, 2026"

    n: int = param(8, "samples where nothing is planned", least=FIRST, main=True)
    budgets: str = param(
        "", "samples by the votes of the first four, such as '4:4 31:12'", read=read_budgets
    )
    think: bool = param(False, "ask for visible thinking, if the task has it")
    temperature: float = temperature()

    @property
    def texts(self) -> int:
        """Among how many whole texts the strategy chooses, at most."""
        return max([self.n, *read_budgets(self.budgets).values()])

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        draw = drawer(question, self.temperature, think=self.think)
        drawn = await collect(draw, FIRST)
        first = {i: drawn.value(i) for i in range(FIRST)}
        votes = tally(first, same=question.same)
        agreed = pattern([len(c.members) for c in votes.clusters], FIRST)
        samples = read_budgets(self.budgets).get(agreed, self.n)
        election = Election(range(samples), question.same)
        for i, value in first.items():
            election.add(i, value)

        def enough(drawn: Drawn, index: int) -> bool:
            election.add(index, drawn.value(index))
            return election.settled()

        if not election.settled():
            drawn = await collect(draw, samples, enough, drawn=drawn)
        return voted(drawn, election.tally, first=agreed, planned=bool(self.budgets))
