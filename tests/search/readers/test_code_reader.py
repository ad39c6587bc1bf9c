"""The program in a text, and which programs are the same."""

from __future__ import annotations

import pytest

from weft.errors import UsageError
from weft.sandbox import check_sandbox
from weft.search.readers import parse_reader
from weft.search.readers.code import CodeReader, behaviour, normal

F = "def f(x):\n    return x + 1"
PROMPT = 'import math\n\n\ndef f(x):\n    """Add 1."""\n'


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (f"```python\n{F}\n```", F),
        (f"Here it is:\n\n```py\n{F}\n```\nIt adds one.", F),
        (f"```\n{F}\n```", F),
        (f"~~~python3\n{F}\n~~~", F),
        ("1. First:\n   ```python\n   def f(x):\n       return x + 1\n   ```\n", F),
        (f"````markdown\n```python\nx = 1\n```\n````\n\n```Python title=a.py\n{F}\n```", F),
        (f"```python\nx = 0\n```\nBetter:\n```python\n{F}\n```", F),  # the last one
        (f"```python\n{F}\n```\n```bash\npython f.py\n```\n```text\n2\n```", F),
        (f"```python\n{F}\n```\nOutput:\n```\n2 apples\n```", F),
        (f"```python\n{F}\n```\nAnd tests:\n```python\nassert f(", F),  # the last whole one
        ("```pycon\n>>> def f(x):\n...     return x + 1\n2\n```", F),
        (f"<answer>```{{.python}}\n{F}\n```</answer>", F),
        (f"<answer>\n```python\r\n{F}\r\n```\n</answer>", F),
        (f"```python\n!pip install x\n%time\n{F}\n```", F),
        (f"```python\n{F}```", F),
        (F, F),
        (f"Sure! The function is\n\n{F}\n\nIt adds one.", F),
        ("```python\ndef f(x):\n    return x + 1", None),  # cut off
        ("```python\ndef f(x:\n```", None),
        ("```javascript\nlet x = 1\n```", None),
        ("I can't do that.", None),
        ("Yes", None),
        ("42", None),
        ("", None),
        ("```python\n```", None),
        ("```python\nreturn 5\n```", None),  # the parser alone would take it
    ],
)
def test_the_program_in_a_text(text: str, code: str | None) -> None:
    reader = parse_reader("code")
    assert reader(text) == code
    assert reader.cut(text) is None
    assert reader("<think>\n```python\nx = 1\n```\n</think>\n" + text) == code
    assert reader("<think>" + text) is None


@pytest.mark.parametrize(
    "text",
    [
        "    return x + 1\n",
        "    return x + 1\n\nThis adds one to x.",
        "return x + 1",
        "y = x + 1\nreturn y",
        "y = x + 1\n    return y",
        "```python\n    return x + 1\n```",
        "```python\nreturn x + 1\n```",
        f"```python\n{F}\n```",
        f"```python\n{F}\n```\n\nFor example:\n\n```python\nprint(f(1))\n```",
        f"{PROMPT}    return x + 1",
        f"Of course.\n\n{F}\n\nprint(f(1))",
    ],
)
def test_answers_may_go_on_from_a_prompt(text: str) -> None:
    program = CodeReader(prompt=PROMPT, name_of="f")(text)
    assert program is not None
    names: dict[str, object] = {}
    exec(program, names)  # what is compared here is the test's own
    f = names["f"]
    assert callable(f)
    assert (f(1), "math" in names) == (2, True)


def test_helpers_before_the_function_are_kept() -> None:
    prompt = "def g(x):\n    return x * 2\n\n\ndef f(x):\n    '''Uses g.'''\n"
    program = CodeReader(prompt=prompt, name_of="f")("```python\ndef f(x):\n    return g(x)\n```")
    names: dict[str, object] = {}
    exec(program or "", names)
    assert {"f", "g"} <= names.keys()


def test_other_languages_are_read_as_they_are() -> None:
    reader = CodeReader(language="c++")
    assert reader("```cpp\nint x;\n```\n```python\nx = 1\n```") == "int x;"
    assert reader.agree("int x;", "int  x;\n")
    assert reader("no code") is None


def test_programs_written_alike_are_the_same() -> None:
    reader = CodeReader()
    commented = 'def f( x ):\n    """Adds."""\n    # one more\n    return (x + 1)'
    assert reader.agree(F, commented)
    assert not reader.agree(F, F.replace("1", "2"))
    assert normal("def f():\n    '''x'''") == normal("def f():\n    pass")


def test_votes_may_count_by_what_programs_do() -> None:
    try:
        check_sandbox()
    except UsageError as e:
        pytest.skip(str(e))
    reader = CodeReader(calls="f(1)\nf('a')")
    other = "def f(x):\n    y = 1 + x\n    return y"
    assert reader.agree(F, other)
    assert not reader.agree(F, "def f(x):\n    return 2 if x == 1 else 'ab'")
    assert not reader.agree(F, "import os\nos._exit(0)")
    assert behaviour(F, reader.calls) == ("gives", "2\nTypeError\n")
