from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from weft.errors import UnknownName, UsageError
from weft.parts.spec import Spec, read_spec
from weft.search import Answer, BestOfN, Question, Strategy, param, parse_strategy, strategies
from weft.search.strategy import STRATEGIES, strategy


def test_the_same_text_everywhere() -> None:
    made = parse_strategy("best_of_n(n=16, verifier=model)")
    assert made == BestOfN(n=16, verifier="model")
    assert made.spec == "best_of_n(n=16, verifier=model)"
    assert parse_strategy(yaml.safe_load("{best_of_n: {n: 16, verifier: model}}")) == made
    assert parse_strategy(yaml.safe_load("best_of_n(n=16, verifier=model)")) == made
    assert parse_strategy(made) is made
    assert parse_strategy({"greedy": None}) == parse_strategy("greedy()")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("greedy", "greedy"),
        ("  greedy ( ) ", "greedy"),
        ("majority(temperature=.8,n=4,)", "majority(n=4)"),
        ("majority(n=4, temperature=1, stop_early=False)",
         "majority(n=4, stop_early=false, temperature=1)"),
        ("best_of_n(n=2, verifier='role:judge')", "best_of_n(n=2, verifier=role:judge)"),
        ("best_of_n(n=2, verifier=\"role:the judge\")",
         'best_of_n(n=2, verifier="role:the judge")'),
        ("particle_filter(tau=1e-3)", "particle_filter(n=8, verifier=model, tau=0.001)"),
    ],
)  # fmt: skip
def test_canonical(text: str, canonical: str) -> None:
    made = parse_strategy(text)
    assert made.spec == str(made) == canonical
    assert parse_strategy(made.spec) == made


def test_every_strategy_reads_its_own_spec() -> None:
    assert set(strategies()) == {
        "greedy",
        "atts",
        "specreason",
        "glimprouter",
        "nudging",
        "hyper",
        "segment_rejection",
        "treepo",
        "spar",
        "best_of_n",
        "majority",
        "weighted_majority",
        "rpc",
        "sample_until",
        "choice_shuffle",
        "chops",
        "mbr",
        "compute_optimal",
        "by_demands",
        "pets",
        "pets_online",
        "first_finish",
        "short_m_at_k",
        "budget_forcing",
        "trimr",
        "conformal_exit",
        "convergence_probe",
        "deepconf",
        "deepconf_online",
        "cascade",
        "think_if_needed",
        "effort",
        "bandit",
        "prompt_variants",
        "asked",
        "archon",
        "beam",
        "dvts",
        "rebase",
        "astar",
        "particle_filter",
        "cpt",
        "mcts",
        "ab_mcts",
        "revise",
        "switch",
        "plangen",
        "particle_gibbs",
        "power",
    }
    for name, cls in strategies().items():
        assert cls().spec.partition("(")[0] == cls.name == name
        assert parse_strategy(cls().spec) == cls()
        assert cls.__doc__
        assert all(p.doc for p in cls.parameters())


@given(
    n=st.integers(1, 10**6),
    temperature=st.floats(0, 2),
    role=st.text("abcXYZ019 _.:/-,()=", min_size=1),
)
def test_canonical_round_trip(n: int, temperature: float, role: str) -> None:
    made = BestOfN(n=n, verifier=f"role:{role}", temperature=temperature)
    assert parse_strategy(made.spec) == made


def test_nested_specs_are_data_until_built() -> None:
    nested = read_spec("outer(of=inner(n=3, deep=x(y=-1.5)), name=role:a/b-c)")
    inner = Spec("inner", {"n": 3, "deep": Spec("x", {"y": -1.5})})
    assert nested == Spec("outer", {"of": inner, "name": "role:a/b-c"})


def test_a_strategy_can_be_a_parameter() -> None:
    @strategy("twice_for_test")
    class Twice(Strategy):
        """Asks another strategy."""

        of: Strategy = param(BestOfN(), "what to ask", kind=Strategy)

        async def solve(self, question: Question) -> Answer:
            return await self.of(question)

    try:
        made = parse_strategy("twice_for_test(of=majority(n=3))")
        assert made.spec == "twice_for_test(of=majority(n=3))"
        assert parse_strategy(made.spec) == made
        assert parse_strategy({"twice_for_test": {"of": {"majority": {"n": 3}}}}) == made
        assert parse_strategy("twice_for_test(of=greedy)").spec == "twice_for_test(of=greedy)"
    finally:
        del STRATEGIES._known["twice_for_test"]


def test_whole_numbers_as_people_write_them() -> None:
    assert parse_strategy("majority(n=1e1)").spec == parse_strategy("majority(n=10.0)").spec
    assert parse_strategy("majority(n=1e1)").spec == "majority(n=10)"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("best_of_m", "best_of_n"),
        ("best_of_n(m=3)", "unknown parameter of best_of_n 'm'"),
        ("best_of_n(verifier=modell)", "did you mean model"),
        ("best_of_n(verifier=role:)", "unknown verifier"),
    ],
)
def test_unknown_names_the_nearest(text: str, says: str) -> None:
    with pytest.raises(UnknownName, match=says):
        parse_strategy(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the name of a strategy at position 1, found the end"),
        ("best_of_n(", "the name of a parameter at position 11"),
        ("best_of_n(n=1", "a comma or a closing parenthesis at position 14, found the end"),
        ("best_of_n(n)", "= after n at position 12"),
        ("best_of_n(n=)", "a value at position 13"),
        ("best_of_n(n=1 n=2)", "a comma or a closing parenthesis at position 15"),
        ("best_of_n(n=1, n=2)", "each parameter once, but n is there twice at position 16"),
        ("best_of_n(n=1))", "nothing more at position 15"),
        ("best_of_n(n=1.2.3)", 'n="1.2.3" of best_of_n must be a whole number'),
        ("majority(n=0)", "n=0 of majority must be at least 1"),
        ("majority(n=-4)", "n=-4 of majority must be at least 1"),
        ("majority(n=2.5)", "must be a whole number"),
        ("majority(n=true)", "must be a whole number"),
        ("majority(n=many)", "must be a whole number"),
        ("majority(n=greedy(think=true))", "takes a plain value, not greedy"),
        ("majority(temperature=-1)", "must be at least 0"),
        ("majority(temperature=3)", "must be at most 2"),
        ("majority(stop_early=1)", "must be true or false"),
        ("majority(stop_early=false, confidence=0.9)", "which stop_early=false forbids"),
        ("majority(confidence=0.5)", "must be above 0.5"),
        ("astar(cost=high)", "must be one of rise, fall"),
        ("particle_filter(tau=0)", "must be above 0"),
        ("beam(n=6, width=4)", "n=6 of beam must be a multiple of width=4; try n=8"),
        ("pets_online(budgets='4:4 13:9')", "'13:9' of budgets must be one of 4, 31, 22"),
        ("mbr(evidence=2)", "give likeness=model too"),
        ("short_m_at_k(m=4, k=3)", "m=4 of short_m_at_k must be at most k=3"),
    ],
)
def test_what_is_wrong_is_said(text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_strategy(text)
    assert says in str(caught.value)


@pytest.mark.parametrize("spec", [{}, {"a": {}, "b": {}}, {"majority": 3}, {3: {}}, 7, None])
def test_a_mapping_that_is_no_strategy(spec: object) -> None:
    with pytest.raises(UsageError):
        parse_strategy(spec)  # pyright: ignore[reportArgumentType]
