"""The reader of formulas: which are the same, and what a formula that takes too long ends."""

import sys
from collections.abc import Iterator

import pytest

from weft.errors import MissingExtra
from weft.search.answers.voting import tally
from weft.search.readers import Reader, math_process, parse_reader
from weft.search.readers.math_process import MathProcess

pytest.importorskip("math_verify", reason="math-verify is missing: make test installs it")


@pytest.fixture(scope="module")
def math() -> Iterator[Reader]:
    yield parse_reader("math")
    math_process.PROCESS.close()


RIGHT = [
    (r"\boxed{\dfrac{1}{2}}", "0.5"),
    (r"\boxed{\{1,2\}}", r"\{2,1\}"),
    (r"\boxed{[1,2)}", "[1, 2)"),
    (r"$\boxed{x=5}$", "5"),
    (r"Answer: $x^2+2x+1$", "(x+1)^2"),
    (r"\boxed{2\sqrt{3}}", r"\sqrt{12}"),
    (r"\boxed{(3, \frac{\pi}{2})}", r"\left(3,\frac{\pi}{2}\right)"),
    (r"\boxed{\text{even}}", "even"),
    (r"The answer is $y = 2x + 3$.", "y=2x+3"),
    (r"\boxed{(-\infty, 0) \cup (0, \infty)}", r"(-\infty,0)\cup(0,\infty)"),
    (r"\boxed{18 \text{ cm}}", "18"),
    (r"so the result is \(\frac{3}{4}\)", "3/4"),
    ("the sum is 12", "12"),
    (r"\boxed{x \in \{1, 2\}}", "1, 2"),
    (r"\boxed{1} and \boxed{2}", "1,2"),
    (r"\boxed{\begin{pmatrix}1\\2\end{pmatrix}}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
    (r"\boxed{3x}", "3*x"),
    (r"\boxed{-\frac12}", "-0.5"),
    (r"\boxed{1 \le x < 2}", "[1,2)"),
    (r"\boxed{3 \pm \sqrt{2}}", r"3+\sqrt{2}, 3-\sqrt{2}"),
    (r"\boxed{\binom{5}{2}}", "10"),
    (r"\boxed{2+3i}", "3i+2"),
    (r"\boxed{\emptyset}", r"\varnothing"),
    (r"\boxed{7,\!000}", "7000"),
    (r"\boxed{0.\overline{3}}", "1/3"),
    (r"\boxed{\$7.50}", "7.5"),
]
WRONG = [
    (r"\boxed{2}", "1/2"),
    (r"\boxed{2\sqrt{3}}", "2"),
    (r"\boxed{(1,2)}", "[1,2]"),
    (r"\boxed{\{1,2\}}", r"\{1,3\}"),
    (r"\boxed{x+1}", "x-1"),
    (r"\boxed{2^3}", "3"),
    (r"\boxed{(1,2)}", "(2,1)"),
    (r"\boxed{3x}", "3"),
    (r"\boxed{\text{even}}", "odd"),
    (r"\boxed{x=5}", "x=6"),
    (r"\boxed{1/2}", "0.50001"),
]


def test_formulas_that_are_the_same_and_those_that_are_not(math: Reader) -> None:
    def same(text: str, right: str) -> bool:
        read, known = math(text), math.alone(right)
        return read is not None and known is not None and math.agree(read, known)

    assert [pair for pair in RIGHT if not same(*pair)] == []
    assert [pair for pair in WRONG if same(*pair)] == []


def test_votes_cluster_by_what_formulas_mean(math: Reader) -> None:
    texts = [r"\boxed{x+1}", r"\boxed{1+x}", r"\boxed{x}", "I give up", r"\boxed{x+"]
    count = tally({i: math(text) for i, text in enumerate(texts)}, same=math.equality)
    assert [c.members for c in count.clusters] == [(0, 1), (2,)]
    assert count.unparsable == 2


def test_a_formula_that_takes_too_long_is_different_and_the_next_is_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process = MathProcess()
    try:
        assert process.same("x+1", "1+x")
        monkeypatch.setattr(math_process, "_SECONDS", 0.05)
        assert not process.same("9^{9^{9^9}}", "3")
        monkeypatch.undo()
        assert process.same("x+2", "2+x")
    finally:
        process.close()


def test_without_the_extra_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "math_verify", None)
    with pytest.raises(MissingExtra, match=r"the reader math needs math_verify; .*weft\[math\]"):
        parse_reader("math")
