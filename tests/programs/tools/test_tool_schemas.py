"""What a model is told of a function, and what it may give it."""

import enum
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from weft import tool
from weft.errors import UsageError
from weft.programs.tools.arguments import WrongArguments
from weft.programs.tools.docstrings import described
from weft.programs.tools.marking import tools_of


class Order(enum.Enum):
    UP = "up"


class Mail(BaseModel):
    to: str


@tool(timeout=3)
async def look(path: str, lines: int = 3, json: list[Mail] | None = None) -> str:
    """Look into a file.

    Only the beginning.

    Args:
        path: from the root
            of it.
        lines (int): how many.

    Raises:
        OSError: it is gone.
    """
    return f"{path}{lines}"


async def test_a_schema_says_what_signature_and_docstring_say():
    (made,) = tools_of([look]).values()
    function = made.definition["function"]
    assert (function["name"], function["description"]) == (
        "look",
        "Look into a file.\n\nOnly the beginning.",
    )
    schema = function["parameters"]
    assert schema["required"] == ["path"]
    assert schema["additionalProperties"] is False
    told = {name: one.get("description") for name, one in schema["properties"].items()}
    assert told == {"path": "from the root of it.", "lines": "how many.", "json": None}
    assert schema["properties"]["lines"]["default"] == 3
    assert await look("a") == "a3"  # an ordinary function still


def test_arguments_are_of_the_signatures_types_and_defaults_stay_the_functions():
    arguments = tools_of([look])["look"].arguments
    assert arguments is not None
    assert arguments.read('{"path": "a", "json": [{"to": "b"}]}') == {
        "path": "a",
        "json": [Mail(to="b")],
    }
    assert arguments.read('"{\\"path\\": \\"a\\"}"') == {"path": "a"}  # JSON written as JSON
    assert arguments.read('{"path": "a\nb"}') == {"path": "a\nb"}
    for wrong, says in {
        "": "path: Field required",
        "null": "path: Field required",
        "[1]": "must be a JSON object",
        '{"path": "a"': "are no JSON",
        '{"path": 1, "more": 2}': "path: Input should be a valid string; more: Extra inputs",
        "[" * 100_000: "are no JSON",
    }.items():
        with pytest.raises(WrongArguments, match=says):
            arguments.read(wrong)


def test_docstrings_of_three_styles():
    def numpy(path: str):
        """Look.

        Parameters
        ----------
        path : str
            Which
            one.

        Returns
        -------
        str
        """

    def sphinx(path: str):
        """Look.

        :param str path: Which
            one.
        :returns: a text.
        """

    def headed(path: str):
        """Look.

        Warning:
            It is slow.
        """

    assert described(numpy) == described(sphinx) == ("Look.", {"path": "Which one."})
    assert described(headed) == ("Look.\n\nWarning:\n    It is slow.", {})


def test_annotations_describe_and_bound_arguments_and_methods_are_tools():
    class Shelf:
        @tool(name="take_book")
        def take(self, n: Annotated[int, Field(gt=0, description="how many")], by: Order) -> int:
            return n

    made = tools_of([Shelf().take])["take_book"]
    assert made.schema["properties"]["n"] == {
        "description": "how many",
        "exclusiveMinimum": 0,
        "type": "integer",
    }
    assert made.arguments is not None
    assert made.arguments.read('{"n": 2, "by": "up"}') == {"n": 2, "by": Order.UP}
    assert made.function(n=2, by=Order.UP) == 2
    assert list(tools_of([lambda_of])) == ["lambda_of"]  # a function that is not marked


def lambda_of(x: Any) -> Any:
    return x


def several(*paths: str) -> None: ...
def odd(engine: test_docstrings_of_three_styles.__class__) -> None: ...  # pyright: ignore
def unknown(x: "Missing") -> None: ...  # noqa: F821 # pyright: ignore


async def yields() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (several, "can't be given by name"),
        (odd, "argument engine has no JSON schema"),
        (unknown, "its signature can't be read: name 'Missing'"),
        (yields, "must return a value"),
        (3, "a tool is a function, not 3"),
    ],
)
def test_what_is_no_tool(given: Any, says: str):
    with pytest.raises(UsageError, match=says):
        tools_of([given])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"timeout": 0}, "timeout=0 must be a number of seconds above 0"),
        ({"expects": "5"}, "expects='5' must be"),
        ({"limit": 0}, "limit=0 must be a whole number"),
        ({"dollars": -1}, "dollars=-1 must be 0 or more"),
        ({"name": "two words"}, "a name has up to 64"),
        ({"retry": {"attempts": 0}}, "attempts=0 must be at least 1"),
    ],
)
def test_settings_out_of_range(settings: Any, says: str):
    with pytest.raises(UsageError, match=says):
        tool(**settings)(lambda_of)


def test_two_tools_of_one_name_and_a_list_that_is_none():
    with pytest.raises(UsageError, match="two tools are named 'look'"):
        tools_of([look, look])
    with pytest.raises(UsageError, match="must be a list of functions"):
        tools_of(look)  # pyright: ignore
