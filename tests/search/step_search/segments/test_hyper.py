from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import eq

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.backends.scripted.engine import ScriptedEngine
from weft.orchestrator.pool import Pool
from weft.programs import Prompt, run
from weft.search import Hyper, Question
from weft.search.step_search.frontier import Move, Path
from weft.search.step_search.segments.hyper import (
    SUREST,
    HyperFrontier,
    confidence,
    disagreement,
    expanded,
    margin,
    reduced,
    weights,
)
from weft.types import TokenLogprob


def token(text: str, by: float) -> TokenLogprob:
    """A token that exceeds the second likeliest by so much."""
    return TokenLogprob(text, -0.1, {text: -0.1, "?": -0.1 - by, "!": -9.0 - by})


def grown(path: Path, text: str, by: Sequence[float], value: str | None = None) -> Path:
    """A path extended by a segment, a token a character, with these margins."""
    logprobs = tuple(token(t, m) for t, m in zip(text, by, strict=True))
    ids = tuple(map(ord, text))
    return Path(
        path.prompt.produced(text, tokens=ids, model="m", call="c"),
        path.text + text,
        path.depth + 1,
        path,
        finished=value is not None,
        value=value,
        tokens=path.tokens + len(text),
        logprobs=logprobs,
    )


def drive(frontier: HyperFrontier, grow: Callable[[Move, int], Path], rounds: int) -> list[int]:
    """How many moves each round makes."""
    moves, widths = list(frontier.begin()), []
    for _ in range(rounds):
        widths.append(len(moves))
        moves = [new for i, move in enumerate(moves) for new in frontier.on_landed(grow(move, i))]
    return widths


def test_margins() -> None:
    assert margin(token("a", 1.5)) == pytest.approx(1.5)
    assert margin(TokenLogprob("a", -0.2, {"a": -0.2})) == SUREST
    # A token that was drawn though another one was likelier is as uncertain.
    assert margin(TokenLogprob("b", -2.0, {"a": -0.2})) == pytest.approx(1.8)


def test_disagreement(root) -> None:
    a, b = grown(root, "a", [1], "1"), grown(root, "b", [1], "1")
    c, live = grown(root, "c", [1], "2"), grown(root, "d", [1])
    assert disagreement([], [a, b], eq) == 0
    assert disagreement([], [a, c], eq) == pytest.approx(1)
    assert disagreement([live, live], [], eq) == 0
    assert disagreement([live], [], eq) == 1
    assert disagreement([live], [a, b], eq) == pytest.approx(0.579, abs=1e-3)  # 2 of 3, 1 of 3


def test_identical_paths_leave_one(root) -> None:
    frontier = HyperFrontier(root, Hyper(n=8), eq)
    assert drive(frontier, lambda move, i: grown(move.path, "ab", [5, 5]), 4) == [4, 1, 1, 1]
    assert frontier.pruned == 3


@given(st.integers(1, 8))
def test_a_pair_is_not_pruned_before_it_diverges(root, at: int) -> None:
    frontier = HyperFrontier(root, Hyper(n=4, tokens=40, uncertain=0), eq)

    def grow(move: Move, i: int) -> Path:
        late = move.path.depth >= at and move.path.text.startswith("b")
        return grown(move.path, "ab"[i] + "x", [0.1, 0.1] if late else [4, 4])

    widths = drive(frontier, grow, 11)
    assert widths[: at + 1] == [2] * (at + 1)
    # The weak one goes once more of the budget is spent than it has of the other's confidence.
    assert 1 in widths[at + 1 : 10]
    assert frontier.spent <= 40


def test_reducing_moves_with_the_budget(root) -> None:
    paths = [grown(root, text, [by]) for text, by in (("a", 4.0), ("b", 3.0), ("c", 1.0))]
    left = {share: [p.text for p in reduced(paths, share)] for share in (1.0, 0.5, 0.2, 0.0)}
    assert left == {1.0: ["a", "b", "c"], 0.5: ["a", "b"], 0.2: ["a"], 0.0: ["a"]}


def test_a_branch_keeps_what_is_before_the_uncertain_token(root) -> None:
    first = grown(root, "ab", [9, 9])
    path = grown(first, "cde", [9, 0.5, 0.7])
    sure = grown(first, "xyz", [9, 9, 2])
    (branch,) = expanded([path, sure], 1.0)
    assert (branch.text, branch.tokens, branch.parent) == ("abc", 3, first)
    assert branch.prompt.answer == "abc"
    assert branch.prompt.tokens == (ord("c"),)
    assert confidence(branch) == pytest.approx(9)
    assert branch.prompt.parent == first.prompt
    (whole,) = expanded([grown(first, "c", [0.5])], 1.0)
    assert whole.prompt == first.prompt


def test_votes_count_confidence_and_length(root) -> None:
    paths = [grown(root, "a" * n, [2.0] * n, "1") for n in (2, 4, 8)]
    assert weights(paths) == pytest.approx([1, 2, 1])
    assert weights([]) == []


async def test_the_budget_of_tokens_is_kept(question, player) -> None:
    for tokens in (1, 5, 23, 60, 200):
        async with Pool(player()) as pool:
            done = await run(Hyper(n=6, every=3, tokens=tokens), question, pool=pool)
        assert done.usage.completion <= tokens
        assert done.value.details["generated"] == done.usage.completion


async def test_one_of_equal_answers_is_finished() -> None:
    text = "one answer for all"
    engine = ScriptedEngine(lambda r: text[len(r.messages[-1].content) :] if r.open else text)
    asked = Question(Prompt.user("q"), answer=lambda t: t, complete=lambda t: False)
    async with Pool(engine):
        answer = await Hyper(n=8, every=5)(replace(asked, max_tokens=40))
    assert answer.value == text
    assert len(engine.requests) == 4 + 3
    assert answer.details["pruned"] == 3
