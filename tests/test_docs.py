"""Every example in README.md and docs/ is run.

- ```python blocks run in order in one namespace a file, in a temporary folder; `await` may
  stand at top level.
- An HTML comment `<!-- setup python ... -->` or `<!-- setup console ... -->` holds what
  readers don't see, run at its place: `$ weft mock &` for the examples, for instance.
- In ```console and ```bash blocks (in ```console, the lines that begin with `$`), `weft ...`
  is run and must succeed, and targets of `make ...` must exist. Commands that only prepare
  a machine are let be; any other is an error. What ends with `&`, and `weft mock`, stays in
  the background until the page ends.
- `<!-- not run: reason -->` directly above a block leaves it out; below `<!-- as shown -->`
  commands of a ```console block must also print the lines that the block shows, in that
  order; of a line with `...` the part before that.
"""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType, ModuleType
from typing import Any

import anyio
import pytest

from ports import free_port
from weft_process import WeftProcess

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("README.md"), *ROOT.glob("CONTRIBUTING.md"), *ROOT.glob("docs/**/*.md")])
PORTS = {"mock": "8000", "serve": "8080"}
"""Where servers listen by default."""
PORT = re.compile(r"(?:(?<=127\.0\.0\.1:)|(?<=localhost:)|(?<=--port ))8\d{3}\b")
PREPARES = {"cd", "export", "git", "pip", "python3.11", "source"}
FENCE = re.compile(
    r"(?P<skip><!-- not run: [^\n]+ -->\n\s*)?(?P<shown><!-- as shown -->\n\s*)?"
    r"^(?P<indent> *)```(?P<language>\w+)[^\n]*\n(?P<body>.*?)^(?P=indent)```"
    r"|^<!-- setup (?P<kind>\w+)\n(?P<setup>.*?)-->",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Example:
    """A block of a page, the language it is in, and the line on which it begins.

    `shown` are the lines that each of its commands must print, where that is checked.
    """

    language: str
    code: str
    line: int
    shown: tuple[list[str], ...] | None = None


def examples(text: str) -> Iterator[Example]:
    """The blocks of a page that are to be run, in order."""
    for match in FENCE.finditer(text):
        if match["skip"]:
            continue
        group = "body" if match["language"] else "setup"
        indent = len(match["indent"] or "")
        code = "\n".join(line[indent:] for line in match[group].splitlines())
        language = (match["language"] or match["kind"]).lower()
        shown = tuple(outputs(code)) if match["shown"] else None
        yield Example(language, code, text.count("\n", 0, match.start(group)) + 1, shown)


def outputs(code: str) -> Iterator[list[str]]:
    """What a console block shows of the output of each of its commands."""
    for command in re.split(r"^\$ ", code.replace("\\\n", " "), flags=re.MULTILINE)[1:]:
        lines = (line.partition("...")[0].rstrip() for line in command.splitlines()[1:])
        yield [line for line in lines if line]


def commands(example: Example) -> Iterator[list[str]]:
    """The commands of a shell block, as words, without comments."""
    code = example.code.replace("\\\n", " ")
    for line in code.splitlines():
        if example.language == "console":
            if not line.startswith("$ "):
                continue
            line = line[2:]
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
        lexer.whitespace_split = True
        yield from split(list(lexer))


def split(words: list[str]) -> Iterator[list[str]]:
    """The commands of a line, without redirections, what they are piped to, and variables."""
    command: list[str] = []
    keep = True
    for word in [*words, ";"]:
        if word in ("&&", "||", ";", "&"):
            if word == "&":
                command.append(word)
            if command:
                yield command
            command, keep = [], True
        elif word in ("|", "<", ">", ">>"):
            keep = False
        elif keep and (command or not re.fullmatch(r"[A-Z_]+=.*", word)):
            command.append(word)


def run_python(page: Path, example: Example, names: dict[str, Any]) -> None:
    """Run a block at its line of the page, so that a traceback points there."""
    source = "\n" * (example.line - 1) + example.code
    # dont_inherit: this file's `from __future__ import annotations` is not the reader's.
    compiled = compile(
        source, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
    )
    if compiled.co_flags & inspect.CO_COROUTINE:

        async def block() -> None:
            await eval(compiled, names)

        anyio.run(block)
    else:
        exec(compiled, names)


def targets() -> set[str]:
    """The targets of the Makefile."""
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_clients_are_told_at_the_versions_that_are_tried() -> None:
    places = (ROOT / "Makefile", *(ROOT / "requirements").glob("*.txt"))
    pinned = set(re.findall(r"[=@](\d+\.\d+\.\d+)", "\n".join(p.read_text() for p in places)))
    page = (ROOT / "docs/clients.md").read_text().partition("## What was tried")[2]
    told = set(re.findall(r"\b\d+\.\d+\.\d+\b", page)) - {"0.9.8"}  # named as not to be had
    assert len(told) >= 10
    assert told <= pinned, f"docs/clients.md tells of {told - pinned}, which nothing installs"


def run_command(
    words: list[str], background: ExitStack, ports: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Run `weft`, check `make`, refuse what is neither; gives what was said."""
    match words[0]:
        case "weft":
            log = Path(background.enter_context(TemporaryDirectory())) / "log.txt"
            if (usual := PORTS.get(words[1])) and "--port" not in words:
                words = [*words[:2], "--port", ports[usual], *words[2:]]
            process = WeftProcess(*(word for word in words[1:] if word != "&"), log=log)
            background.callback(process.end)
            if words[-1] == "&" or words[1] == "mock":
                await_port(process, words)
            else:
                assert process.wait(180) == 0, f"{shlex.join(words)}\n{process.said()}"
                return process.said()
        case "make":
            asked = {word for word in words[1:] if "=" not in word and not word.startswith("-")}
            assert asked <= targets(), f"the Makefile has no {asked - targets()}"
        case command:
            assert command in PREPARES, f"nobody checks {shlex.join(words)!r}: run it or say why"
    return ""


def elsewhere(text: str) -> tuple[str, dict[str, str]]:
    """A page with ports that are free instead of its own, which may be in use, and those ports."""
    ports = {port: str(free_port()) for port in {*PORTS.values(), *PORT.findall(text)}}
    return PORT.sub(lambda match: ports[match[0]], text), ports


def await_port(process: WeftProcess, words: list[str]) -> None:
    """Wait until a server listens."""
    port = words[words.index("--port") + 1]
    until = time.monotonic() + 180
    while time.monotonic() < until:
        assert process.poll() is None, f"{shlex.join(words)}\n{process.said()}"
        with suppress(OSError), socket.create_connection(("127.0.0.1", int(port)), 1):
            return
        time.sleep(0.05)
    raise AssertionError(f"{shlex.join(words)} does not listen on port {port}")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = ModuleType(f"example_{page.stem}")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # dataclasses look there
    with ExitStack() as background:
        text, ports = elsewhere(page.read_text())
        for example in examples(text):
            if example.language in ("python", "py"):
                run_python(page, example, vars(module))
            elif example.language in ("bash", "console", "sh", "shell"):
                said = [run_command(words, background, ports) for words in commands(example)]
                for output, shown in zip(said, example.shown or (), strict=bool(example.shown)):
                    lines = iter(output.splitlines())
                    for begin in shown:
                        assert any(line.startswith(begin) for line in lines), begin


LINK = re.compile(r"\]\((?!\w+:)(?P<path>[^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_within_the_project(page: Path) -> None:
    missing = [path for path in LINK.findall(page.read_text()) if not (page.parent / path).exists()]
    assert not missing


PAGE = """
<!-- setup python
value = 1
-->
```python
value += 1
```
<!-- not run: needs a GPU -->
```python
raise RuntimeError
```
1. In a list:
   ```console
   $ weft --version
   0.1.0
   $ weft mock --port 80 &
   $ X=1 make test PYTEST=-x | tail && weft run 'best_of_n(n=4)' > out  # all
   ```
<!-- as shown -->
```console
$ weft explain \\
    a
One line ... of many
...
$ weft explain b
```
"""


def test_what_is_run_of_a_page() -> None:
    found = list(examples(PAGE))
    assert [(example.language, example.line) for example in found] == [
        ("python", 3),
        ("python", 6),
        ("console", 14),
        ("console", 21),
    ]
    assert [example.shown for example in found] == [None] * 3 + [(["One line"], [])]
    names: dict[str, Any] = {}
    for example in found[:2]:
        run_python(Path("page.md"), example, names)
    assert names["value"] == 2
    assert list(commands(found[2])) == [
        ["weft", "--version"],
        ["weft", "mock", "--port", "80", "&"],
        ["make", "test", "PYTEST=-x"],
        ["weft", "run", "best_of_n(n=4)"],
    ]


def test_commands_are_refused_or_checked() -> None:
    with pytest.raises(AssertionError, match="nobody checks"):
        run_command(["curl", "localhost"], ExitStack())
    with pytest.raises(AssertionError, match="Makefile has no"):
        run_command(["make", "nonsense"], ExitStack())
    run_command(["make", "test"], ExitStack())
