from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.errors import UnknownName, UsageError
from weft.evals.tasks.puzzles.countdown import Problem, held_out, reachable, solved, steps
from weft.evals.tasks.puzzles.countdown_task import CountdownTask, complete
from weft.evals.tasks.registry import parse_task
from weft.search.readers.expression import Expression
from weft.search.strategy import Answer

PROBLEM = Problem((15, 9, 11, 17), 47)
SOLUTION = "11 - 9 = 2 | 15 17 2\n15 * 2 = 30 | 17 30\n30 + 17 = 47 | 47\nanswer 47"


def canonical(problem: Problem, text: str) -> str | None:
    return CountdownTask.reader(problem)(text)


def test_samples_are_a_reproducible_prefix_of_distinct_held_out_problems() -> None:
    task = CountdownTask()
    few, many = task.samples(20, 3), task.samples(200, 3)
    assert many[:20] == few
    assert len({s.id for s in many}) == 200
    assert task.samples(20, 4) != few
    for sample in many:
        problem = task.problem(sample)
        assert held_out(problem.numbers)
        assert reachable(problem.numbers, problem.target)


def test_a_limit_that_no_one_means_is_refused() -> None:
    with pytest.raises(UsageError, match="too large"):
        CountdownTask().samples(10**9, 0)


def test_question_asks_as_the_model_was_trained() -> None:
    task = CountdownTask()
    sample = task.samples(1, 0)[0]
    q = task.question(sample, 7)
    assert q.prompt.messages[0].content == f"solve {sample.id}"
    assert q.think is not None
    assert q.think.messages[0].content == f"think {sample.id}"
    assert q.verify is not None
    partial = "3 + 4 = 7 | 1 2 7\n"
    assert q.verify(partial).messages[0].content == f"verify {sample.id}\n{partial}"
    assert q.verify("").messages[0].content == f"verify {sample.id}\n"
    assert q.seed == 7


def test_equal_solutions_have_one_form() -> None:
    p = Problem((2, 3, 4, 5), 14)
    first = "2 + 3 = 5 | 4 5 5\n5 + 5 = 10 | 4 10\n10 + 4 = 14 | 14\n"
    second = "5 + 4 = 9 | 2 3 9\n9 + 3 = 12 | 2 12\n12 + 2 = 14 | 14\nanswer 14"
    assert canonical(p, first) == canonical(p, second) == "2 + 3 + 4 + 5"


def test_the_form_reads_through_thinking() -> None:
    thinking = "<think>\n15 + 9 = 24 | 11 17 24\nwait back to 15 9 11 17\n</think>\n"
    assert canonical(PROBLEM, thinking + SOLUTION) == canonical(PROBLEM, SOLUTION)
    assert canonical(PROBLEM, SOLUTION) == "(11 - 9) * 15 + 17"
    assert canonical(PROBLEM, "<think>\n" + SOLUTION) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "answer 47",
        "11 - 9 = 2 | 15 17 2\n",
        "11 - 9 = 3 | 15 17 3\n",
        SOLUTION.replace("30 + 17", "30 plus 17"),
    ],
)
def test_what_is_unfinished_or_malformed_has_no_answer(text: str) -> None:
    assert canonical(PROBLEM, text) is None


def test_reading_an_answer_does_not_check_its_sums() -> None:
    """A vote must not know what only a verifier can: that a claimed result is wrong."""
    claims = "11 - 9 = 2 | 15 17 2\n15 * 2 = 30 | 17 30\n30 - 17 = 47 | 47\nanswer 47"
    assert canonical(PROBLEM, claims) == "(11 - 9) * 15 - 17"
    made_up = claims.replace("30 - 17", "30 + 16")
    assert canonical(PROBLEM, made_up) == "(11 - 9) * 15 + 16"
    sample = next(s for s in CountdownTask().samples(1, 0))
    sample.data.update(numbers=[15, 9, 11, 17], target=47)
    assert not CountdownTask().correct(sample, Answer(claims, "x"))
    assert not CountdownTask().correct(sample, Answer(made_up, "x"))


def test_a_legal_end_at_another_number_is_an_answer_but_wrong() -> None:
    task, text = CountdownTask(), SOLUTION.replace("30 + 17 = 47 | 47", "30 - 17 = 13 | 13")
    sample = next(s for s in task.samples(1, 0))
    sample.data.update(numbers=[15, 9, 11, 17], target=47)
    assert canonical(PROBLEM, text) == "(11 - 9) * 15 - 17"
    assert not task.correct(sample, Answer(text, "x"))
    assert task.correct(sample, Answer(SOLUTION, "x"))
    assert not task.correct(sample, Answer(None, None))


@pytest.mark.parametrize(
    ("text", "done"),
    [
        (SOLUTION, True),
        ("11 - 9 = 2 | 15 17 2\n15 * 2 = 30 | 17 30\n30 + 17 = 47 | 47\n", True),
        ("11 - 9 = 2 | 15 17 2\n15 * 2 = 30 | 17 30\n30 + 17 = 47 | 4", False),
        ("11 - 9 = 2 | 15 17 2\n", False),
        ("", False),
        ("<think>\n30 + 17 = 47 | 47\n", False),
        ("<think>\n</think>\n" + SOLUTION, True),
    ],
)
def test_complete(text: str, done: bool) -> None:
    assert complete(text) is done


def test_check_follows_reachability() -> None:
    task = CountdownTask()
    sample = task.samples(1, 0)[0]
    q = task.question(sample, 0)
    assert q.check is not None
    assert q.check("") == 1.0
    assert q.check("nonsense | 1\n") == 0.0


def play(numbers: tuple[int, ...], rng: random.Random) -> str:
    lines = ""
    while len(numbers) > 1:
        step = rng.choice(steps(numbers))
        lines += f"{step}\n"
        numbers = step.left
    return lines


@given(st.lists(st.integers(1, 20), min_size=4, max_size=4), st.integers(0, 10**6))
def test_the_form_computes_what_the_steps_compute(numbers: list[int], seed: int) -> None:
    shown = tuple(numbers)
    text = play(shown, random.Random(seed))
    end = int(text.splitlines()[-1].split("|")[1])
    form = canonical(Problem(shown, end), text)
    assert form is not None
    assert eval(form) == end  # only digits, operators and parentheses
    assert solved(Problem(shown, end), text)
    used = sorted(int(n) for n in form.replace("(", "").replace(")", "").split() if n.isdigit())
    assert used == sorted(numbers)


@pytest.mark.parametrize("op", list("+-*/"))
def test_expressions_flatten_and_keep_precedence(op: str) -> None:
    one, two, six = map(Expression.number, (1, 2, 6))
    inner = two.join("+", six)
    assert (
        one.join(op, inner).text
        == {
            "+": "1 + 2 + 6",
            "-": "1 - 2 - 6",
            "*": "(2 + 6) * 1",
            "/": "1 / (2 + 6)",
        }[op]
    )


def test_double_negation_and_double_division_cancel() -> None:
    a, b, c = map(Expression.number, (17, 9, 4))
    assert a.join("-", b.join("-", c)).text == a.join("+", c).join("-", b).text == "17 + 4 - 9"
    assert a.join("/", b.join("/", c)).text == "17 * 4 / 9"


def test_specs_of_tasks() -> None:
    assert isinstance(parse_task("countdown"), CountdownTask)
    with pytest.raises(UnknownName, match="did you mean countdown"):
        parse_task("countdwon")
    with pytest.raises(UsageError, match="no parameters"):
        parse_task("countdown(n=4)")
    with pytest.raises(UsageError, match="task 'countdown\\(': expected"):
        parse_task("countdown(")
