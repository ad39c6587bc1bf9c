"""archon: layers of components, and the rules by which they follow each other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.errors import UnknownName, UsageError
from weft.orchestrator.pool import Pool
from weft.search import Archon, parse_strategy
from weft.search.collaboration.pipelines.components import read_order
from weft.search.collaboration.pipelines.layers import read_layers, write_layers
from weft.search.collaboration.pipelines.testing import passed
from weft.types import Request

pytestmark = pytest.mark.loops("virtual")


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ("ranker | generator", r"layer 1 \(ranker\) can't be the first"),
        ("generator | generator", r"layer 2 \(generator\) must be the first"),
        ("generator + fuser", "components of several kinds"),
        ("generator | critic + critic | ranker", "may have only one critic"),
        ("generator | critic", "is heard by nobody; put ranker or fuser behind it"),
        ("generator | ranker | critic | screen", "is heard by nobody"),
        ("generator | unit_tests", "must stand directly before evaluator"),
        ("generator | unit_tests | ranker | evaluator", "must stand directly before evaluator"),
        ("generator | evaluator", "must stand directly behind unit_tests"),
        ("generator |", "component"),
    ],
)
def test_layers_that_can_t_follow_each_other(layers: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Archon(layers=layers)


def test_components_are_checked_as_all_parts_are() -> None:
    with pytest.raises(UnknownName, match="did you mean ranker"):
        Archon(layers="generator | rankr")
    with pytest.raises(UsageError, match="k=0 of ranker must be at least 1"):
        Archon(layers="generator | ranker(k=0)")


def test_layers_are_read_as_they_are_written() -> None:
    text = "generator(n=2) + generator(n=1, of=best_of_n(n=4)) | screen | fuser(n=2) | ranker(k=1)"
    layers = read_layers(text)
    assert [len(layer) for layer in layers] == [2, 1, 1, 1]
    assert read_layers(write_layers(layers)) == layers
    strategy = Archon(layers=text)
    assert parse_strategy(strategy.spec) == strategy
    assert strategy.texts == 2 + 4 + 2
    assert Archon(layers="generator(of=beam)").texts is None


def test_orders_and_tests_as_models_name_them() -> None:
    assert read_order("[[1]] is bad. So\n[[3, 1]]", 3) == [2, 0, 1]
    assert read_order("[[2 > 3 > 1]]", 3) == [1, 2, 0]
    assert read_order("[[9]]", 3) == read_order("none", 3) == []
    assert passed("[[1]] first, then [[1, 4]]") == {1, 4}
    assert passed("[[]]") == set()
    assert passed("all") is None


class Crew:
    """Plays all parts: by the words of what it is asked."""

    def __init__(self, *answers: str) -> None:
        self.answers = iter(answers)
        self.asked: list[str] = []

    def __call__(self, request: Request) -> str | Scripted:
        said = request.messages[-1].content
        if said == "solve":
            return next(self.answers)
        kinds = {
            "strengths": "critic",
            "Compare": "ranker",
            "short tests": "tests",
            "Go through": "test",
            "better than each": "fuser",
        }
        kind = next(kind for words, kind in kinds.items() if words in said)
        self.asked.append(kind)
        return getattr(self, kind)(said)

    def critic(self, said: str) -> str | Scripted:
        return "Answer 2 is short."

    def ranker(self, said: str) -> str | Scripted:
        numbers = [i for i in (3, 2, 1) if f"Answer {i}:\nanswer b" in said]
        return f"The best is [[{numbers[0]}]]"

    def tests(self, said: str) -> str | Scripted:
        return "1. it is a letter\n- it is c\n"

    def test(self, said: str) -> str | Scripted:
        return "[[1, 2]]" if "Answer:\nanswer c" in said else "[[1, 7]]"

    def fuser(self, said: str) -> str | Scripted:
        return "answer f"


async def solved(crew: Crew, question, layers: str):
    async with Pool(engine := ScriptedEngine(crew, {"yes": 0.5, "no": 0.5})) as pool:
        answer = await Archon(layers=layers)(question)
        assert engine.running == engine.waiting == 0
        assert pool is not None
    return answer


async def test_answers_go_through_all_layers(question) -> None:
    crew = Crew("answer a", "answer b", "none", "answer c")
    seen: list[str] = []
    crew.fuser = lambda said: seen.append(said) or "answer f"
    answer = await solved(crew, question, "generator(n=4) | critic | ranker(k=2) | critic | fuser")
    assert crew.asked == ["critic", "ranker", "critic", "fuser"]
    assert (answer.value, answer.details["left"]) == ("f", 1)
    assert answer.details["samples"] == 5
    # The fuser sees the two that were kept, the best first, and what was said of them.
    (said,) = seen
    assert said.startswith("solve\n\n")
    assert "Here are 2 answers" in said
    assert "Answer 1:\nanswer b" in said
    assert "Answer 2 is short." in said


async def test_an_order_decides_and_else_the_vote(question) -> None:
    texts = ("answer a", "answer b", "answer a")
    assert (await solved(Crew(*texts), question, "generator(n=3)")).value == "a"
    assert (await solved(Crew(*texts), question, "generator(n=3) | ranker")).value == "b"
    crew = Crew("answer a", "answer a", "answer c")
    answer = await solved(crew, question, "generator(n=3) | unit_tests(n=2) | evaluator(k=1)")
    assert answer.value == "c"
    assert crew.asked == ["tests", "test", "test", "test"]


async def test_a_screen_lets_pass_what_a_verifier_does(question) -> None:
    checked = replace(question, check=lambda text: float("b" in text))
    layers = "generator(n=3) | screen(verifier=function)"
    answer = await solved(Crew("answer a", "answer b", "answer a"), checked, layers)
    assert (answer.value, answer.score) == ("b", 1.0)
    answer = await solved(Crew("answer a", "answer c", "answer a"), checked, layers)
    assert answer.value == "a"  # it lets none pass, so all stay
    with pytest.raises(UsageError, match="reads log-probabilities"):
        await solved(Crew("answer a"), question, "generator | screen(verifier=logprob)")


@pytest.mark.parametrize("part", ["critic", "ranker", "tests", "test", "fuser"])
async def test_a_layer_that_fails_is_passed_over(part: str, question) -> None:
    crew = Crew("answer b", "answer b", "answer a")
    setattr(crew, part, lambda said: Scripted(refuses="busy"))
    layers = "generator(n=3) | critic | unit_tests | evaluator(k=3) | ranker(k=2) | fuser"
    answer = await solved(crew, question, layers)
    assert answer.value == ("b" if part == "fuser" else "f")
    assert answer.details["failed"] >= 1


async def test_generators_of_several_models_work_side_by_side(question) -> None:
    small = ScriptedEngine("answer s", model="small", token_seconds=1.0)
    large = ScriptedEngine("answer l", {"yes": 1.0}, model="large", token_seconds=1.0)
    roles = {"solver": "large", "draft": "small"}
    async with Pool(small, large, roles=roles):
        answer = await Archon(layers="generator(n=1) + generator(n=2, role=draft)")(question)
    assert answer.value == "s"
    assert [len(small.requests), len(large.requests)] == [2, 1]
