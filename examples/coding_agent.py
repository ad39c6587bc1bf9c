"""A coding agent: a lead finds the files whose tests fail, and a sub-agent mends each file.

The sub-agents work side by side on real files, each with a context of its own, and each is a
program of its own to the scheduler. Tests run in the sandbox; where there is none, nothing that
a model wrote is run, and a file is only compiled.

    weft run examples/coding_agent.py:repair -e ENGINE
    weft run examples/coding_agent.py:repair -a folder=/path/to/files -e ENGINE
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from weft import Prompt, gather, generate, node, program, tool
from weft.errors import UsageError
from weft.sandbox import check_sandbox, run_python

PROJECT = {
    "prices.py": "def total(prices)\n    return sum(prices)\n\nassert total([1, 2]) == 3\n",
    "words.py": "def longest(words):\n    return min(words, key=len)\n\n"
    "assert longest(['a', 'bee']\n",
    "dates.py": "def leap(year):\n    return year % 4 == 0\n\nassert leap(2024)\n",
}


@node
async def check(file: Path) -> str:
    """What is wrong with a file that holds its own tests; empty if nothing is."""
    try:
        compile(file.read_text(), file.name, "exec")
        check_sandbox()
    except SyntaxError as error:
        return f"SyntaxError: {error}"
    except UsageError:
        return ""
    return (await run_python(file.read_text())).stderr


def tools_for(file: Path) -> list:
    """What a sub-agent may do: everything with its file, nothing elsewhere."""

    @tool
    def read() -> str:
        """Read your file."""
        return file.read_text()

    @tool
    def replace(old: str, new: str) -> str:
        """Replace a text that your file has once."""
        if (count := file.read_text().count(old)) != 1:
            raise ValueError(f"the file has this text {count} times")
        file.write_text(file.read_text().replace(old, new))
        return "done"

    @tool(timeout=30)
    async def test() -> str:
        """Run the tests of your file."""
        return await check(file) or "all tests pass"

    return [read, replace, test]


@program
async def mend(file: Path) -> str:
    """A sub-agent: mends one file, and says what it did."""
    prompt = Prompt.system("Mend a file, so that its tests pass.").user(f"Mend {file.name}.")
    for _ in range(10):
        said = await generate(prompt, tools=tools_for(file), max_tokens=1000)
        if not said.calls:
            return said.text
        prompt = said.prompt.tools(await said.act())
    return "gave up"


@program
async def repair(folder: str | None = None) -> dict[str, str]:
    """The lead: what was done to each file, and the tests' last word."""
    with TemporaryDirectory() as made:
        for name, text in ({} if folder else PROJECT).items():
            (Path(made) / name).write_text(text)
        files = sorted(Path(folder or made).glob("*.py"))
        found = await gather(check, files)
        broken = [file for file, wrong in zip(files, found, strict=True) if wrong]
        notes = await gather(mend, broken, programs=True, limit=4)
        after = await gather(check, broken)
        return {
            file.name: note if not wrong else f"still broken: {wrong}"
            for file, note, wrong in zip(broken, notes, after, strict=True)
        }
