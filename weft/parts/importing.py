"""Code of users by name: `FILE.py:NAME` and `module:NAME`, imported once."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import blake2b
from pathlib import Path
from types import ModuleType

from weft.errors import UsageError, WeftError
from weft.parts.faults import raised_at, said

_FILE = re.compile(r"(?P<where>.+?\.py):(?P<name>[A-Za-z_]\w*)", re.DOTALL)
_MODULE = re.compile(r"(?P<where>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(?P<name>[A-Za-z_]\w*)")


class NoModule(UsageError):
    """There is no module of a name."""


_names_only: ContextVar[bool] = ContextVar("names_only", default=False)


def reference(text: str) -> tuple[str, str] | None:
    """The file or module, and the name in it, that a text refers to; None if it doesn't."""
    found = _FILE.fullmatch(text) or _MODULE.fullmatch(text)
    return (found["where"].strip(), found["name"]) if found else None


def is_file(where: str) -> bool:
    """Whether what code comes from is written as a Python file, rather than as a module."""
    return where.endswith(".py")


def may_import() -> bool:
    """Whether code may be imported here, which `names_only` forbids."""
    return not _names_only.get()


@contextmanager
def names_only() -> Generator[None]:
    """Within the block nothing is imported: for specs that come from elsewhere."""
    token = _names_only.set(True)
    try:
        yield
    finally:
        _names_only.reset(token)


def load(where: str, folder: Path | None = None) -> ModuleType:
    """The module of a file or of a name; its code runs at the first time only.

    Args:
        where: `FILE.py`, or a module as `import` takes it.
        folder: what a relative path begins at; the current folder if None.

    Raises:
        UsageError: there is no such file or module, it is not valid Python, or its code raised
            something; names file and line.
    """
    if not may_import():
        raise UsageError(f"{where} can't be imported from here; use the name of a registered part")
    return _file(where, folder) if is_file(where) else _module(where)


def import_all(sources: Sequence[str]) -> None:
    """Import files and modules, so that what they mark is known by name.

    Raises:
        UsageError: one can't be imported.
    """
    for source in sources:
        load(source)


def absolute(where: str, folder: Path) -> str:
    """A file as it is found from any folder; modules as they are."""
    return str(folder.absolute() / Path(where).expanduser()) if is_file(where) else where


def _module(name: str) -> ModuleType:
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", name):
        raise UsageError(f"{name!r} is neither a Python file, which ends in .py, nor a module")
    here = os.getcwd()
    if name.partition(".")[0] not in sys.modules and here not in sys.path:
        sys.path.insert(0, here)  # as `python -m` does
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as e:
        if isinstance(e, ModuleNotFoundError) and f"{name}.".startswith(f"{e.name}."):
            raise NoModule(
                f"there is no module {e.name}; install it, or name a file as FILE.py:NAME"
            ) from None
        raise _failure(f"module {name}", None, e) from e


def _file(text: str, folder: Path | None) -> ModuleType:
    path = Path(text).expanduser()
    path = (folder / path if folder is not None else path).resolve()
    if not path.is_file():
        raise UsageError(f"there is no file {text}; name a Python file that is there")
    for module in list(sys.modules.values()):
        if getattr(module, "__file__", None) == str(path):
            return module
    if (parent := str(path.parent)) not in sys.path:
        sys.path.insert(0, parent)  # so that it finds its neighbours, as `python FILE.py` does
    name = _free_name(path)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as e:
        sys.modules.pop(name, None)
        raise _failure(text, str(path), e) from e
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _free_name(path: Path) -> str:
    """The name by which the file's neighbours import it, unless something else has that name."""
    importlib.invalidate_caches()
    if path.stem.isidentifier() and path.stem not in sys.modules:
        found = importlib.util.find_spec(path.stem)
        if found is not None and found.origin == str(path):
            return path.stem
    return f"{path.stem}_{blake2b(str(path).encode(), digest_size=4).hexdigest()}"


def _failure(what: str, file: str | None, error: BaseException) -> UsageError:
    if isinstance(error, SyntaxError) and error.filename:
        return UsageError(f"{error.filename}:{error.lineno}: not valid Python: {error.msg}")
    at = raised_at(error, file) or (raised_at(error) if file is None else file)
    at = f"{at}: " if at else ""
    if isinstance(error, SystemExit):
        return UsageError(
            f"{at}{what} ends the process when it is imported; put what is to run under "
            'if __name__ == "__main__":'
        )
    if isinstance(error, WeftError):
        return UsageError(f"{at}{error}")
    return UsageError(f"{at}{what} can't be imported: {said(error)}")
