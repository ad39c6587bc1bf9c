"""Readers: weft's own, users' own, and votes that cluster by a reader's equality."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.errors import PartFailed, UnknownName, UsageError
from weft.search.answers.voting import Election, tally
from weft.search.readers import READERS, parse_reader
from weft.search.readers.suiting import reader_for

HOURS = '''
from weft.search.readers import Reader, reader


@reader("hours")
class Hours(Reader):
    """Spans of time."""

    def read(self, text):
        return text.split()[-1] if text.strip() else None

    def same(self, a, b):
        return minutes(a) == minutes(b)


def minutes(text):
    return float(text[:-1]) * {"h": 60, "m": 1}[text[-1]]
'''


@pytest.fixture
def hours(tmp_path: Path) -> str:
    file = tmp_path / "spans.py"
    file.write_text(HOURS)
    return f"{file}:Hours"


@pytest.mark.parametrize(
    ("spec", "text", "answer"),
    [
        ("number", "first 3, then 1,200.0", "1200"),
        ("number", "none", None),
        ("text", "so\n\n the  last one \n", "the last one"),
        ("text", " \n", None),
        ("final", r"is \boxed{ B } as said", "b"),
        ("final", "**Answer:** Paris.", "paris"),
        ("json", 'here: {"b": 1.0, "a": 2}', '{"a":2,"b":1}'),
        ("countdown", "4 + 2 = 6 | 3 6\n6 * 3 = 18 | 18\nanswer 18", "(2 + 4) * 3"),
        ("number", "<think>7</think>8", "8"),
        ("number", "<think>7", None),
    ],
)
def test_each_reads_after_the_thinking(spec: str, text: str, answer: str | None) -> None:
    assert parse_reader(spec)(text) == answer


def test_they_are_parts_like_others() -> None:
    listed, wrong = READERS.listed()
    assert not wrong
    assert {one.name for one in listed if one.origin == "weft"} == {
        "choice",
        "code",
        "countdown",
        "final",
        "grid",
        "json",
        "math",
        "number",
        "text",
    }
    with pytest.raises(UnknownName, match="number"):
        parse_reader("numbr")


@pytest.mark.parametrize(
    ("right", "suits"),
    [
        (["18", "1,200", "-0.5"], "number"),
        (["1/2", "50%", "$7"], "number"),
        (["A", "(b)", "D."], "choice"),
        (["yes", "No"], "choice(options='yes no')"),
        (["True", "false"], "choice(options='true false')"),
        (['{"a": 1}', "[2]"], "json"),
        (["2", r"\frac{x}{2}"], "math"),
        (["Paris", "2"], "text"),
        (["A", "2"], "text"),
    ],
)
def test_right_answers_say_which_reader_suits_them(right: list[str], suits: str) -> None:
    assert reader_for(right) == suits


def test_a_right_answer_of_several_lines_is_read_as_a_whole() -> None:
    assert parse_reader("text").alone("a\nb") == "a b"


def test_one_of_a_users_own(hours: str) -> None:
    own = parse_reader(hours)
    assert own.spec == "hours"
    assert own("it takes 2h") == "2h"
    assert own.agree("2h", "120m")
    assert not own.agree("2h", "2m")


def test_what_a_users_reader_raises_is_its_own(hours: str, tmp_path: Path) -> None:
    with pytest.raises(PartFailed, match="Hours"):
        parse_reader(hours).agree("2h", "2x")
    (tmp_path / "wrong.py").write_text(HOURS.replace('"hours"', '"wrong"').replace("[-1] if", "if"))
    with pytest.raises(PartFailed, match="read must be str, not \\["):
        parse_reader(f"{tmp_path / 'wrong.py'}:Hours")("x")
    (tmp_path / "none.py").write_text("from weft.search.readers import Reader\nclass A(Reader): 1")
    with pytest.raises(UsageError, match="read"):
        parse_reader(f"{tmp_path / 'none.py'}:A")


def test_votes_cluster_by_the_readers_equality(hours: str) -> None:
    same = parse_reader(hours).equality
    count = tally({0: "1h", 1: "2h", 2: "120m", 3: None}, same=same)
    assert [(c.value, c.members) for c in count.clusters] == [("1h", (0,)), ("2h", (1, 2))]


@given(st.permutations(range(9)), st.lists(st.sampled_from(["1h", "60m", "2h", None]), min_size=9))
def test_an_election_is_settled_when_the_whole_vote_is(
    order: list[int], votes: list[str | None]
) -> None:
    def same(a: str, b: str) -> bool:
        return {a, b} <= {"1h", "60m"} or a == b

    election, pending = Election(range(9), same), set(range(9))
    for index in order:
        election.add(index, votes[index])
        pending.discard(index)
        known = {i: votes[i] for i in range(9) if i not in pending}
        assert election.settled() == tally(known, same=same).settled(pending)
