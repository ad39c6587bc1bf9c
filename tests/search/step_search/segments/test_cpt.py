from __future__ import annotations

from dataclasses import replace

from weft.backends.scripted.engine import ScriptedEngine
from weft.orchestrator.pool import Pool
from weft.programs import Limits, run
from weft.search import Cpt
from weft.search.step_search.segments.cpt import listed, merged
from weft.search.strategy import stable_seed
from weft.types import Request


def test_findings_are_read_and_each_is_kept_once() -> None:
    assert listed("Here:\n- x is 3.\n* it is even\nnone\n-- no\n-  ") == ["x is 3", "it is even"]
    assert listed("none") == []
    pool = [(0, "x is 3")]
    new = [(1, "X is 3!"), (1, "x is not 3 but 4"), (2, "x is not 3, but 4"), (2, "...")]
    assert merged(pool, new, 0.8) == [(1, "x is not 3 but 4")]
    assert merged([], [(0, "a b c d e"), (1, "a b c d f")], 0.6) == [(0, "a b c d e")]


class Workers:
    """Each branch writes its letter, line by line, and then its answer; findings are its letter."""

    def __init__(self, seed: int, *letters: str) -> None:
        self.letters = {stable_seed(seed, "", i): letter for i, letter in enumerate(letters)}

    def __call__(self, request: Request) -> str:
        asked = request.messages[-1].content
        if asked.startswith("Here are a request and a part"):
            part = asked.split("Part:\n")[1]
            return f"- has {part[0]}\n- line {part.count(part[0])}"
        if not request.open:
            return f"{self.letters[request.sampling.seed or 0]}\n..."
        lines = asked.splitlines()
        own = [line for line in lines if len(line) == 1]
        return f"{own[0]}\n..." if len(own) < 3 else f"answer {own[0]}"


async def test_branches_are_told_what_the_others_found(question) -> None:
    engine = ScriptedEngine(Workers(question.seed, "a", "b", "b"))
    async with Pool(engine):
        answer = await Cpt(n=3, apart=2)(replace(question, max_tokens=None))
    assert answer.value == "b"
    assert answer.score == 2 / 3
    assert answer.text == "b\nb\nb\nanswer b"  # without the note
    third = [r.messages[-1].content for r in engine.requests if r.open][3:6]
    # "line 2" comes from the first branch and is the others' news; "has b" is told once.
    assert sorted(third) == sorted(
        [
            "a\na\n(Others who work on this have found: has b)\n",
            "b\nb\n(Others who work on this have found: has a; line 2)\n",
            "b\nb\n(Others who work on this have found: has a; line 2; has b)\n",
        ]
    )
    assert answer.details["shared"] == 3
    assert answer.details["exchanges"] == 1


async def test_at_every_budget_what_can_be_read_is_given(question, player) -> None:
    for calls in range(3, 24, 4):
        async with Pool(player()) as pool:
            done = await run(Cpt(n=3, apart=1), question, pool=pool, budget=Limits(calls=calls))
        assert done.usage.calls <= calls
        answer = done.value
        assert answer.value is None or answer.value == question.answer(answer.text or "")
    assert answer.value is not None
