"""Finding the dataset that a demand describes, in a catalogue with near misses.

A small stand-in for DatasetResearch (Li et al. 2025): a demand in words, datasets by what their
cards say, and a score that counts what of the demand is met.
"""

from __future__ import annotations

import random
from typing import Any

from weft.errors import UsageError
from weft.evals.tasks.task import Sample, Task, task
from weft.parsers.thinking import visible
from weft.programs import Prompt
from weft.search.readers import parse_reader
from weft.search.strategy import Answer, Question, stable_seed

_ASK = (
    "These datasets are in a catalogue:\n\n{cards}\n\nSomebody needs this: {demand}\n\nWhich one "
    "dataset meets all of it? Give its name alone, as: Answer: NAME"
)
_VERIFY = "\n\nAn answer:\n{}\n\nIs it right? Answer yes or no."
_FIELDS: dict[str, tuple[str, ...]] = {
    "task": ("question answering", "summarisation", "translation", "sentiment", "entity tagging"),
    "domain": ("law", "medicine", "finance", "news", "chemistry", "travel"),
    "language": ("German", "Hindi", "Swahili", "Korean", "Spanish", "Finnish"),
    "form": ("dialogues", "single sentences", "long documents", "tables", "short posts"),
    "licence": ("CC BY 4.0", "MIT", "research use only", "CC BY-NC 4.0"),
    "rows": ("2,000", "30,000", "450,000", "6 million"),
}
_WORDS = {
    "task": "I want to train a model for {}",
    "domain": "the texts are about {}",
    "language": "they are in {}",
    "form": "they are {}",
    "licence": "the licence is {}",
    "rows": "there are {} rows",
}
_FIRST = ("Amber", "Birch", "Cedar", "Delta", "Ember", "Fjord", "Glade", "Heron", "Inlet", "Jade")
_SECOND = ("Set", "Bank", "Corpus", "Pool", "Base")
_USUAL = 200
"""Problems where nobody says how many."""

Card = dict[str, str]


@task("dataset_search")
class DatasetSearchTask(Task):
    """Find the dataset that meets a demand; partial credit is for what of it another one meets.

    All other datasets miss something, and half of them one thing alone.

    Args:
        datasets: how many there are.
        demands: how many properties a demand names.
    """

    def __init__(self, datasets: int = 8, demands: int = 4) -> None:
        most = len(_FIRST) * len(_SECOND)
        if not (2 <= datasets <= most and 1 <= demands <= len(_FIELDS)):
            raise UsageError(
                f"datasets={datasets} of dataset_search must be from 2 to {most}, and "
                f"demands={demands} from 1 to {len(_FIELDS)}"
            )
        self.datasets, self.demands = datasets, demands

    @property
    def spec(self) -> str:
        """With the numbers of datasets and demands."""
        return f"dataset_search(datasets={self.datasets}, demands={self.demands})"

    def samples(self, limit: int | None, seed: int) -> list[Sample]:
        """Problems drawn with `seed`; 200 if there is no limit."""
        return [self._made(at, seed) for at in range(_USUAL if limit is None else limit)]

    def _made(self, at: int, seed: int) -> Sample:
        rng = random.Random(stable_seed("datasets", self.datasets, self.demands, seed, at))
        names = [f"{one}{other}" for one in _FIRST for other in _SECOND]
        names = rng.sample(names, self.datasets)
        wanted = rng.sample(list(_FIELDS), self.demands)
        right = {field: rng.choice(values) for field, values in _FIELDS.items()}
        cards: dict[str, Card] = {names[0]: right}
        for number, name in enumerate(names[1:]):
            missed = 1 if number % 2 == 0 else rng.randint(1, self.demands)
            cards[name] = _other(rng, right, rng.sample(wanted, missed), wanted)
        shown = rng.sample(names, len(names))
        demand = {field: right[field] for field in wanted}
        data: dict[str, Any] = {
            "cards": {name: cards[name] for name in shown},
            "demand": demand,
            "answer": names[0],
        }
        return Sample(f"{seed}.{at}", data)

    def question(self, sample: Sample, seed: int) -> Question:
        """The catalogue, and the demand."""
        cards: dict[str, Card] = sample.data["cards"]
        demand: Card = sample.data["demand"]
        listed = [
            f"{name}: " + "; ".join(f"{field}: {value}" for field, value in card.items())
            for name, card in cards.items()
        ]
        told = ", ".join(_WORDS[field].format(value) for field, value in demand.items())
        asked = _ASK.format(cards="\n".join(listed), demand=f"{told[0].upper()}{told[1:]}.")
        reader = parse_reader({"choice": {"options": " ".join(cards)}})

        def verify(text: str) -> Prompt:
            return Prompt.user(asked + _VERIFY.format((visible(text) or "").strip()))

        return Question(
            prompt=Prompt.user(asked),
            steps="\n",
            max_tokens=512,
            max_think_tokens=2048,
            max_steps=16,
            answer=reader,
            answer_cut=reader.cut,
            same=reader.equality,
            complete=lambda text: "answer:" in text.lower() and reader(text) is not None,
            verify=verify,
            seed=seed,
        )

    def correct(self, sample: Sample, answer: Answer) -> bool:
        """Whether it is the one that meets all of the demand."""
        return answer.value == sample.data["answer"]

    def credit(self, sample: Sample, answer: Answer) -> float:
        """The share of the demand that the named dataset meets."""
        card: Card = sample.data["cards"].get(answer.value or "", {})
        demand: Card = sample.data["demand"]
        return sum(card.get(field) == value for field, value in demand.items()) / len(demand)


def _other(rng: random.Random, right: Card, missed: list[str], wanted: list[str]) -> Card:
    """A card that has the right properties but those that are missed; the rest is by chance."""
    card: Card = {}
    for field, values in _FIELDS.items():
        if field in missed:
            card[field] = rng.choice([one for one in values if one != right[field]])
        else:
            card[field] = right[field] if field in wanted else rng.choice(values)
    return card
