"""HarborFolder: a task as Harbor keeps it, and whether the sandbox can run it."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shlex
import tarfile
import tomllib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, cast

from weft.errors import ConfigError, UsageError
from weft.sandbox import SandboxLimits
from weft.sandbox.bubblewrap import is_system

TESTS, LOGS = "/tests", "/logs"
_WORK = "/app"
"""The work folder of tasks that name none."""
_BASES = ("debian", "python", "ubuntu")
"""Images in whose place this machine's own system can stand."""
_NOTHING = frozenset(
    ("ARG", "CMD", "ENTRYPOINT", "EXPOSE", "HEALTHCHECK", "LABEL", "MAINTAINER", "USER")
)
"""Instructions of a Dockerfile that change nothing that a script sees."""
_VARIABLE = re.compile(r"\$\{(\w+)(?::-(.*?))?\}")
_TIMEOUT = 600.0
"""Seconds that Harbor gives agents and tests of tasks that say nothing."""


@dataclass(frozen=True, slots=True)
class HarborFolder:
    """A folder with `task.toml`, `instruction.md` and `tests/test.sh`.

    Attributes:
        name: the folder's.
        instruction: what is to be done.
        workdir: where.
        folders: those that a script may write into.
        variables: of the environment.
        test_variables: further ones of the tests.
        start: a tar file of what is there at first, from `/` on.
        tests: a tar file of the tests.
        solve_seconds: how long an answer's script may run.
        test_seconds: how long the tests may run.
        limits: what each may use.
    """

    name: str
    instruction: str
    workdir: str
    folders: tuple[str, ...]
    variables: dict[str, str]
    test_variables: dict[str, str]
    start: bytes
    tests: bytes
    solve_seconds: float
    test_seconds: float
    limits: SandboxLimits

    @classmethod
    def read(cls, path: Path, host: bool) -> HarborFolder:
        """Read a folder.

        Args:
            path: the folder.
            host: whether this machine's programs stand for those of the image, whatever it has.

        Raises:
            ConfigError: a file is missing or wrong.
            UsageError: the task needs what the sandbox has not.
        """
        settings = _settings(path / "task.toml")
        where = _section(settings, "environment")
        _check(path, settings, where, host)
        found = _Dockerfile(path, host)
        if not host and (image := where.get("docker_image")):
            found.check_image(str(image))
        workdir = str(where.get("workdir") or found.workdir or _WORK)
        tests = _section(settings, "verifier")
        roots = {_root(path, one) for one in (workdir, *found.copied)}
        memory, files = _mib(where, "memory", 2048), _mib(where, "storage", 256)
        return cls(
            path.name,
            _text(path / "instruction.md").strip(),
            workdir,
            (*sorted(roots), TESTS, LOGS),
            found.variables | _variables(path, where),
            _variables(path, tests),
            _packed(found.copied),
            _packed({TESTS: path / "tests"}),
            _seconds(_section(settings, "agent")),
            _seconds(tests),
            SandboxLimits(memory=memory, files=min(files, 1 << 30), processes=128),
        )

    @property
    def digest(self) -> str:
        """Changes with all that decides what is right."""
        said = f"{self.instruction}\0{self.workdir}\0{self.variables}\0{self.test_variables}"
        return hashlib.sha256(said.encode() + self.start + self.tests).hexdigest()[:16]


class _Dockerfile:
    """What a task's Dockerfile says, as far as a sandbox can do it."""

    def __init__(self, path: Path, host: bool) -> None:
        self.path, self.workdir = path, ""
        self.variables: dict[str, str] = {}
        self.copied: dict[str, Path] = {}
        file = path / "environment" / "Dockerfile"
        for line in _instructions(_text(file)) if file.is_file() else ():
            word, _, rest = line.partition(" ")
            self._do(word.upper(), rest.strip(), host)

    def check_image(self, image: str) -> None:
        """Refuse an image that may have more than this machine."""
        name = image.split()[0].partition(":")[0]
        if name.removeprefix("docker.io/").removeprefix("library/") not in _BASES:
            raise _needs(self.path, f"the image {name}")

    def _do(self, word: str, rest: str, host: bool) -> None:
        match word:
            case "FROM" if not host:
                self.check_image(rest)
            case "WORKDIR":
                self.workdir = str(PurePosixPath(self.workdir or "/") / rest)
            case "ENV":
                for part in shlex.split(rest):
                    name, equals, value = part.partition("=")
                    self.variables |= {name: value} if equals else {}
            case "COPY" | "ADD":
                self._copy([w for w in shlex.split(rest) if not w.startswith("--")])
            case _ if word not in _NOTHING and not host:
                raise _needs(self.path, f"{word} {rest[:40]} of its Dockerfile")
            case _:
                pass

    def _copy(self, words: list[str]) -> None:
        *sources, target = words
        folder = PurePosixPath(self.workdir or "/") / target
        for source in sources:
            found = (self.path / "environment" / source.lstrip("/")).resolve()
            if not found.exists():
                raise ConfigError(f"{self.path}: its Dockerfile copies {source}, which is missing")
            into = target.endswith(("/", ".")) or len(sources) > 1
            whole = folder / found.name if found.is_file() and into else folder
            self.copied[str(whole)] = found


def _check(path: Path, settings: dict[str, Any], where: dict[str, Any], host: bool) -> None:
    """Refuse what a sandbox can't be."""
    tests = _section(settings, "verifier")
    if not (path / "tests" / "test.sh").is_file():
        raise ConfigError(f"{path} has no tests/test.sh, so nothing says what is right")
    compose = [p.name for p in (path / "environment").glob("*compose*.y*ml")]
    wanted = {
        "several steps": settings.get("steps"),
        "a GPU": where.get("gpus") or where.get("tpu"),
        "MCP servers": where.get("mcp_servers"),
        "other services": compose,
        "a container of its own for its tests": tests.get("environment_mode") == "separate",
        "Windows": str(where.get("os", "linux")).lower() != "linux",
    }
    for what, needed in wanted.items():
        if needed:
            raise _needs(path, what, remedy=False)


def _needs(path: Path, what: str, remedy: bool = True) -> UsageError:
    ways = "; run it by `harbor run` with a model of weft serve"
    if remedy:
        ways += ", or say host=true where this machine has what the task needs"
    return UsageError(f"{path.name} needs {what}, which the sandbox does not have{ways}")


def _settings(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(file))
    except tomllib.TOMLDecodeError as e:
        raise ConfigError(f"{file}: not TOML: {e}; correct it") from None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        said = getattr(e, "strerror", None) or e
        raise ConfigError(f"can't read {file}: {said}; a task of Harbor has this file") from None


def _section(settings: dict[str, Any], name: str) -> dict[str, Any]:
    found: Any = settings.get(name)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _instructions(text: str) -> list[str]:
    """The instructions of a Dockerfile, each in one line."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    whole = re.sub(r"\\[ \t]*\n", " ", "\n".join(lines))
    return [line.strip() for line in whole.splitlines() if line.strip()]


def _root(path: Path, folder: str) -> str:
    """The folder that must be writable for a file or folder to be there."""
    parts = PurePosixPath(folder).parts
    root = "/" + parts[1] if folder.startswith("/") and len(parts) > 1 else "/"
    if root == "/" or is_system(root):
        raise _needs(path, f"{folder} to write into")
    return root


def _variables(path: Path, section: dict[str, Any]) -> dict[str, str]:
    """The variables of a section; `${NAME}` is one of this process, as in Harbor."""

    def known(found: re.Match[str]) -> str:
        usual: str | None = found[2]
        value = os.environ.get(found[1], usual)
        if value is None:
            raise ConfigError(f"{path.name} needs the variable {found[1]}; set it")
        return value

    return {k: _VARIABLE.sub(known, str(v)) for k, v in _section(section, "env").items()}


def _seconds(section: dict[str, Any]) -> float:
    given = section.get("timeout_sec")
    return float(given) if isinstance(given, int | float) and given > 0 else _TIMEOUT


def _mib(section: dict[str, Any], name: str, usual: int) -> int:
    """A size in bytes, given in MB, or as a text such as `2G`."""
    given = section.get(f"{name}_mb")
    if isinstance(given, int | float) and given > 0:
        return int(given) << 20
    text = re.fullmatch(r"(\d+)\s*([MG])i?B?", str(section.get(name, "")).strip(), re.IGNORECASE)
    if text is None:
        return usual << 20
    return int(text[1]) << (30 if text[2].upper() == "G" else 20)


def _packed(places: dict[str, Path]) -> bytes:
    """A tar file of files and folders of this machine, each at its place."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        for place, source in places.items():
            files = [source] if source.is_file() else sorted(source.rglob("*"))
            for file in files:
                if file.is_file() and file.name != "Dockerfile":
                    below = "" if file == source else f"/{file.relative_to(source)}"
                    info = tarfile.TarInfo((place + below).lstrip("/"))
                    info.size, info.mode = file.stat().st_size, file.stat().st_mode & 0o755 | 0o444
                    with file.open("rb") as content:
                        tar.addfile(info, content)
    return held.getvalue()
