from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.orchestrator.pool import Pool
from weft.search import Mcts
from weft.search.step_search.frontier import Move, Path
from weft.search.step_search.tree_search.mcts import MctsFrontier, prior
from weft.search.step_search.tree_search.tree import Node
from weft.search.strategy import stable_seed
from weft.search.verifiers import Confidence

DEPTH = 3


def grow(move: Move) -> str:
    """A few different steps, so that twins happen."""
    return "abcd"[stable_seed("grow", move.path.text, move.index) % 4]


def judge(text: str) -> float:
    return stable_seed("judge", text) % 1009 / 1008


def ends(text: str) -> bool:
    return len(text) == DEPTH or stable_seed("ends", text) % 5 == 0


def nodes(frontier: MctsFrontier) -> Iterator[Node]:
    open = [frontier.root]
    while open:
        node = open.pop()
        open += node.children.values()
        yield node


def tree(frontier: MctsFrontier) -> dict[str, int]:
    """How many walks came to each path."""
    return {node.path.text: node.scores.count for node in nodes(frontier)}


def one_walk_at_a_time(root, n: int, width: int, explore: float) -> dict[str, int]:
    """UCT as textbooks have it."""
    walks: Counter[str] = Counter({"": 0})
    sums: defaultdict[str, float] = defaultdict(float)
    begun: Counter[str] = Counter()
    children: dict[str, list[str]] = {"": []}
    for _ in range(n):
        at = ""
        while at not in children or begun[at] >= width:
            if at not in children:
                break

            def bound(child: str, at: str = at) -> tuple[float, int, str]:
                rare = math.sqrt(math.log(walks[at]) / walks[child])
                mean = sums[child] / walks[child]
                return -(mean + explore * rare), stable_seed("tie", child), child

            at = min(children[at], key=bound)
        if at in children:
            index, begun[at] = begun[at], begun[at] + 1
            child = at + grow(Move(type(root)(root.prompt, at), index))
            if child not in children[at]:
                children[at].append(child)
                if not ends(child):
                    children[child] = []
            at = child
        score = judge(at)
        for length in range(len(at) + 1):
            walks[at[:length]] += 1
            sums[at[:length]] += score
    return dict(walks)


@given(st.integers(1, 120), st.integers(1, 4), st.sampled_from([0.0, 0.3, 1.414]), st.integers())
def test_one_walk_at_a_time_is_uct(drive, root, n: int, width: int, explore, seed: int) -> None:
    frontier = MctsFrontier(root, Mcts(n=n, width=width, explore=explore, parallel=1))
    drive(grow, judge, ends)(frontier, seed)
    assert tree(frontier) == one_walk_at_a_time(root, n, width, explore)


@given(st.integers(1, 100), st.integers(1, 4), st.integers(1, 9), st.integers(), st.booleans())
def test_which_step_ends_first_does_not_matter(
    drive, root, n: int, width: int, parallel: int, seed: int, failing: bool
) -> None:
    found = []
    for order in (None, seed):
        frontier = MctsFrontier(root, Mcts(n=n, width=width, parallel=parallel))
        driver = drive(grow, judge, ends)
        if failing:
            driver.fails = lambda move: stable_seed("fail", move.path.text, move.index) % 3 == 0
        driver(frontier, order)
        assert driver.most_waiting <= parallel
        assert frontier.walks <= n
        assert frontier.steps == len(driver.landed)
        found.append((tree(frontier), [p.text for p in frontier.finished]))
    assert found[0] == found[1]
    for node in nodes(frontier):
        assert node.under_way == 0
        below = node.born.count + node.deeper.count
        assert below == sum(c.scores.count for c in node.children.values())
        assert node.scores.count >= below


def best(frontier: MctsFrontier) -> str:
    return max(frontier.finished, key=lambda p: (p.score or 0, p.tie)).text


@pytest.mark.parametrize("seed", range(12))
def test_one_or_eight_at_once_reach_the_same_best_node(drive, root, seed: int) -> None:
    """With walks for all of a small tree, and the weight for which UCT is proven."""
    found = []
    for parallel in (1, 8):
        frontier = MctsFrontier(root, Mcts(n=400, width=4, parallel=parallel))
        driver = drive(
            lambda move: "abcd"[move.index],
            lambda text: stable_seed(seed, text) % 1009 / 1008,
            lambda text: len(text) == 2,
        )
        driver(frontier, seed)
        walked = tree(frontier)
        found.append((best(frontier), max("abcd", key=lambda step: walked[step])))
    assert found[0] == found[1]


@pytest.mark.parametrize("parallel", [1, 8])
def test_walks_go_to_the_better_arm(drive, root, parallel: int) -> None:
    """Of two arms with known means; the better one's share of all walks goes to 1."""
    shares = []
    for n in (50, 400, 3000):
        frontier = MctsFrontier(root, Mcts(n=n, width=2, parallel=parallel))
        # Each arm has two answers, whose scores have means of 0.7 and 0.3.
        judge = {"a": 0.7, "b": 0.3, "aa": 0.8, "ab": 0.6, "ba": 0.4, "bb": 0.2}
        drive(lambda m: "ab"[m.index], judge.__getitem__, lambda t: len(t) == 2)(frontier, 1)
        shares.append(tree(frontier)["a"] / n)
    assert shares == sorted(shares)
    assert shares[-1] > 0.97


def test_a_step_under_way_sends_the_next_walk_elsewhere(root) -> None:
    frontier = MctsFrontier(root, Mcts(n=9, width=2, parallel=2))
    first, second = frontier.begin()
    born = [
        frontier.on_landed(type(root)(root.prompt, text, 1, root, move.order, score=0.5))
        for move, text in ((first, "a"), (second, "b"))
    ]
    # After the first there is but one way; of two equal arms, the other is taken next.
    assert [[m.path.text for m in moves] for moves in born] == [["a"], ["b"]]


def test_an_answer_that_cannot_be_read_is_worth_nothing(drive, root) -> None:
    frontier = MctsFrontier(root, Mcts(n=40, width=2))
    driver = drive(lambda m: "ab"[m.index], lambda t: 0.9, lambda t: True)
    driver.value = lambda text: None if text == "a" else text
    driver(frontier)
    assert tree(frontier)["b"] > 2 * tree(frontier)["a"]


def test_puct_weighs_what_the_model_finds_likely(root) -> None:
    frontier = MctsFrontier(root, Mcts(bound="puct", explore=2.0, width=2))
    top = frontier.root
    before = Confidence(-7.0, 3)
    at = Node(Path(root.prompt, "q", confidence=before), top)
    for text, probability, scores in (("a", 0.6, [0.5]), ("b", 0.2, [0.5, 0.7])):
        # Two tokens of this probability each.
        sure = Confidence(before.total + 2 * math.log(probability), before.count + 2)
        child = Node(Path(root.prompt, text, parent=at.path, confidence=sure), at)
        at.children[text] = child
        for score in scores:
            child.scores.add(score)
            at.scores.add(score)
    a, b = at.children.values()
    assert (prior(a), prior(b)) == pytest.approx((0.75, 0.25))
    bounds = [-frontier._order(child)[0] for child in (a, b)]
    assert bounds == pytest.approx(
        [0.5 + 2 * 0.75 * math.sqrt(3) / 2, 0.6 + 2 * 0.25 * math.sqrt(3) / 3]
    )
    unknown = Node(Path(root.prompt, "c", parent=top.path), top)
    top.children["c"] = unknown
    assert prior(unknown) == 1


async def test_puct_asks_for_probabilities(question, player) -> None:
    async with Pool(engine := player()):
        answer = await Mcts(n=40, bound="puct")(question)
    assert answer.value == "312"
    assert {r.sampling.logprobs for r in engine.requests if not r.ask} == {0}
