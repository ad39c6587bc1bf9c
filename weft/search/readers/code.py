"""Code: the program in a text; programs that do the same are equal answers."""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from functools import lru_cache

from weft.parts.parameters import param
from weft.sandbox import SandboxLimits, check_sandbox
from weft.sandbox.blocking import run_python_blocking
from weft.search.readers.reader import Reader, reader
from weft.search.readers.writing.fences import Block, fenced

_SAME_LANGUAGE = (
    ("python", "py", "python3", "python2", "ipython", "pycon"),
    ("javascript", "js", "jsx", "node"),
    ("typescript", "ts", "tsx"),
    ("c++", "cpp", "cc", "cxx"),
    ("c#", "csharp", "cs"),
    ("bash", "sh", "shell", "zsh", "console"),
    ("go", "golang"),
    ("rust", "rs"),
    ("ruby", "rb"),
)
_BEGINS = re.compile(r"(?:def|class|async def|import|from|@)\b|@", re.ASCII)
_MAGIC = re.compile(r"^[ \t]*[!%].*\n?", re.MULTILINE)
"""Lines for notebooks, such as `!pip install numpy`."""
_TEST = re.compile(r"(?i)test|main$")
_MOST_LINES = 2_000
"""Lines of a text without fences in which code is looked for."""
_LIMITS = SandboxLimits(seconds=5)
_CALLER = """
import answer, sys
for line in sys.stdin.read().splitlines():
    try:
        print(repr(eval(line, vars(answer))))
    except BaseException as error:
        print(type(error).__name__)
"""


@reader("code")
class CodeReader(Reader):
    """The program in a text: its last whole block between fences, or the code without prose.

    A block that only tries what another defines, by a test or an example, is passed over, and so
    is one that has no end. Python programs are the same if they differ in comments, docstrings
    and spacing only; with `calls`, if all calls give the same in a sandbox.
    """

    slow = True

    language: str = param("python", "the language; blocks that name another are passed over")
    prompt: str = param("", "the beginning of a program that answers may go on from")
    name_of: str = param("", "a function that the program must define; any program if empty")
    calls: str = param("", "calls, one a line; programs with the same results are the same")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.calls:
            check_sandbox()

    def read(self, text: str) -> str | None:
        """The program; None if there is none, or it is no valid Python where Python is wanted."""
        if not self._python:
            return next((b.code.strip("\n") for b in self._blocks(text) if b.code.strip()), None)
        codes = self._codes(text)
        for way in (self._whole, self._continued):
            for code in codes:
                if (found := way(code)) is not None:
                    return found
        return None

    def read_alone(self, text: str) -> str | None:
        """A program by itself, or within fences."""
        return self.read(text) or text.strip("\n") or None

    def same(self, a: str, b: str) -> bool:
        """Whether two programs are written the same way, or all calls give the same."""
        if not self._python:
            return a.split() == b.split()
        if normal(a) == normal(b):
            return True
        return bool(self.calls) and behaviour(a, self.calls) == behaviour(b, self.calls)

    @property
    def _python(self) -> bool:
        return self.language.lower() in _SAME_LANGUAGE[0]

    def _blocks(self, text: str) -> list[Block]:
        """The whole blocks in the language, the last first, then those that name none."""
        wanted = self.language.lower()
        names = next((names for names in _SAME_LANGUAGE if wanted in names), (wanted,))
        whole = [block for block in reversed(list(fenced(text))) if block.whole]
        return [b for b in whole if b.language in names] + [b for b in whole if not b.language]

    def _codes(self, text: str) -> list[str]:
        """What may be the program, the likeliest first."""
        if not list(fenced(text)):
            return [code for code in (text, _within(text)) if code is not None]
        blocks = self._blocks(text)
        codes = [_prompted(b.code) if b.language == "pycon" else b.code for b in blocks]
        made = {name for code in codes for name in _defined(code)}
        return sorted(codes, key=lambda code: _tries(code, made))

    def _whole(self, code: str) -> str | None:
        """A program by itself, which defines the function that is asked for."""
        code = code.strip("\r\n").rstrip()
        if not parses(code):
            code = _MAGIC.sub("", code)
        if not (parses(code) and _does(code)) or (
            self.name_of and self.name_of not in _names(code)
        ):
            return None
        return self._with_imports(code)

    def _continued(self, code: str) -> str | None:
        """What goes on from the prompt, behind the prompt; whole lines of prose are left out."""
        code = code.strip("\r\n").rstrip()
        if not self.prompt or not code:
            return None
        ways = [code] if code[:1].isspace() else [f"    {code}", textwrap.indent(code, "    ")]
        before = self.prompt.rstrip("\n") + "\n"
        whole = (before + way for way in ways if parses(before + way))
        return next(whole, None) or _longest(before, ways[0])

    def _with_imports(self, code: str) -> str:
        """A program behind the imports and helpers of the prompt, which answers leave out."""
        if not self.prompt:
            return code
        before = self.prompt[: _start_of(self.prompt, self.name_of)].strip("\n")
        return f"{before}\n\n{code}" if before and parses(before) and before not in code else code


def parses(code: str) -> bool:
    """Whether a text is valid Python."""
    return _tree(code) is not None


def normal(code: str) -> str:
    """A program without comments, docstrings and its own spacing; as it is if no valid Python."""
    tree = _tree(code)
    if tree is None:
        return code
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
            continue
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


@lru_cache(maxsize=4096)
def behaviour(code: str, calls: str) -> tuple[str, str]:
    """What calls give in a program, and what the program prints; its own text if it does not end.

    Args:
        code: the program.
        calls: expressions of Python, one a line.
    """
    files = {"answer.py": code}
    done = run_python_blocking(_CALLER, stdin=calls, files=files, limits=_LIMITS)
    return ("gives", done.stdout) if done.success else ("fails", normal(code))


def _tree(code: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of invalid escapes, say: they are the model's
            tree = ast.parse(code)
            compile(code, "answer", "exec", dont_inherit=True)  # which knows more than the parser
            return tree
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _names(code: str) -> set[str]:
    """The functions and classes that a program defines, and names that it assigns."""
    tree = _tree(code)
    found: set[str] = set()
    for node in tree.body if tree else []:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


def _defined(code: str) -> set[str]:
    """The functions and classes that a program defines, but for tests and `main`."""
    tree = _tree(code)
    return {
        node.name
        for node in (tree.body if tree else [])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not _TEST.match(node.name)
    }


def _tries(code: str, made: set[str]) -> bool:
    """Whether a program only tries what others define: it uses that, and defines nothing."""
    tree = _tree(code)
    if tree is None or _defined(code):
        return False
    return any(isinstance(node, ast.Name) and node.id in made for node in ast.walk(tree))


def _does(code: str) -> bool:
    """Whether a program does anything: a lone word or number is valid Python, too."""
    tree = _tree(code)
    plain = ast.Name | ast.Constant | ast.Tuple | ast.Attribute | ast.BinOp | ast.UnaryOp
    return tree is not None and any(
        not (isinstance(node, ast.Expr) and isinstance(node.value, plain)) for node in tree.body
    )


def _within(text: str) -> str | None:
    """The code of a text that has prose before and behind it, without fences."""
    lines = text.splitlines()[:_MOST_LINES]
    for at, line in enumerate(lines):
        if _BEGINS.match(line):
            return _longest("", "\n".join(lines[at:]))
    return None


def _longest(before: str, code: str) -> str | None:
    """As many of the first lines of some code as are valid Python behind what is before.

    A line may be left out where it begins at the margin only: what is indented belongs to what is
    above.
    """
    lines = code.rstrip().split("\n")
    if len(lines) > _MOST_LINES:
        return None
    ends = [n for n in range(1, len(lines)) if lines[n][:1].strip()]
    for end in (len(lines), *reversed(ends)):
        found = before + "\n".join(lines[:end]).rstrip()
        if parses(found):
            return found
    return None


def _start_of(prompt: str, name: str) -> int:
    """Where the function begins within a prompt; the prompt's end if it is not there."""
    found = re.search(rf"^(?:async )?def {re.escape(name)}\b", prompt, re.MULTILINE)
    return found.start() if found else len(prompt)


def _prompted(code: str) -> str:
    """The lines of a console that Python was given."""
    return "".join(
        line[4:] for line in code.splitlines(keepends=True) if line.startswith((">>> ", "... "))
    )
