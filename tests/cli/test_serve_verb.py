from __future__ import annotations

import json
import re
import socket
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import Result

from weft.service.config.api_key import hash_key
from weft.service.config.file import ServiceConfig, load_config

Weft = Callable[..., Result]
URL = "http://127.0.0.1:8000"


class Server:
    """What the verb hands over to the server."""

    config: ServiceConfig
    reread: Callable[[], ServiceConfig]

    def serve(
        self,
        config: ServiceConfig,
        reread: Callable[[], ServiceConfig],
        opened: Callable[[], None],
    ) -> None:
        self.config, self.reread = config, reread
        opened()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    import weft.service

    found = Server()
    module: Any = types.ModuleType("weft.service.server")
    module.serve = found.serve
    monkeypatch.setitem(sys.modules, "weft.service.server", module)
    monkeypatch.setattr(weft.service, "server", module, raising=False)
    return found


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def said(result: Result, *words: str) -> None:
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert result.stderr.count("weft: ") == 1
    for word in words:
        assert word in result.stderr


def test_help(weft: Weft) -> None:
    for verb in (["serve"], ["key"], ["key", "new"]):
        result = weft(*verb, "--help")
        assert result.exit_code == 0
        if verb != ["key"]:
            assert "Example: weft " + " ".join(verb) in result.stdout


def test_engines_need_no_file(weft: Weft, server: Server, port: int) -> None:
    result = weft("serve", "-e", URL, "-e", "openai:gpt", "--model", "m", "--port", str(port))
    assert result.exit_code == 0, result.output
    assert [(e.spec, e.model) for e in server.config.engines] == [
        (URL, "m"),
        ("openai:gpt", None),
    ]
    assert server.config.local is None
    lines = result.stderr.splitlines()
    assert lines[0] == f"serving {URL}, openai:gpt at http://127.0.0.1:{port}; Ctrl-C ends it"
    assert f"OPENAI_BASE_URL=http://127.0.0.1:{port}/v1" in lines[1]
    assert f"ANTHROPIC_BASE_URL=http://127.0.0.1:{port}," in lines[2]


def test_local_replicas_need_no_file(weft: Weft, server: Server, port: int) -> None:
    assert weft("serve", "--local", "2", "--port", str(port)).exit_code == 0
    assert server.config.local is not None
    assert (server.config.local.model, server.config.local.replicas) == ("countdown", 2)
    result = weft("serve", "--local", "3", "--model", "org/m", "--port", str(port))
    assert "3 local replicas of org/m" in result.stderr
    assert server.config.local.model == "org/m"


def test_options_override_the_file_and_do_so_again(weft: Weft, server: Server, port: int) -> None:
    path = Path("weft.yaml")
    path.write_text("engines: [http://h:1]\nlisten: {port: 1}\nlimits: {queue: 3}\n")
    options = ["--policy", "cap(k=2)", "--store", "s.db", "--log-level", "debug"]
    assert weft("serve", "weft.yaml", "--port", str(port), *options).exit_code == 0
    config = server.config
    assert config.engines[0].spec == "http://h:1"
    assert (config.listen.port, config.policy, config.store) == (port, "cap(k=2)", "s.db")
    assert (config.telemetry.log_level, config.limits.queue) == ("debug", 3)
    path.write_text("engines: [http://h:2]\nlisten: {port: 2}\n")
    again = server.reread()
    assert again.engines[0].spec == "http://h:2"
    assert (again.listen.port, again.policy) == (port, "cap(k=2)")


def test_check_and_schema(weft: Weft, server: Server) -> None:
    Path("weft.yaml").write_text("engines: [http://h:1]\nlisten: {port: 1}\n")
    assert weft("serve", "weft.yaml", "--check").stdout == "weft.yaml is valid\n"
    Path("weft.yaml").write_text("engines: [http://h:1]\nlisten: {prt: 1}\n")
    said(weft("serve", "weft.yaml", "--check"), "weft.yaml:2: listen.prt: there is no such field")
    Path("near.py").write_text(
        "from weft.backends.scripted.engine import ScriptedEngine\n"
        "class Near(ScriptedEngine):\n"
        "    def __init__(self, url: str = '') -> None:\n"
        "        super().__init__('Hello')\n"
        "        self.url = url\n"
    )
    for spec in ("near.py:Near", "scripted:Hello"):
        Path("weft.yaml").write_text(f'engines: ["{spec}"]\n')
        said(weft("serve", "weft.yaml", "--check"), "takes no requests over HTTP", "set `url` in")
    Path("weft.yaml").write_text(f"engines: [{{spec: \"near.py:Near(url='{URL}')\"}}]\n")
    assert weft("serve", "weft.yaml", "--check").stdout == "weft.yaml is valid\n"
    said(weft("serve", "-e", f"{URL}?key=NO_SUCH_KEY", "--check"), "NO_SUCH_KEY is not set")
    assert weft("serve", "--local", "1", "--check").exit_code == 0
    printed = json.loads(weft("serve", "--print-schema").stdout)
    assert {"listen", "engines", "tenants", "limits"} <= set(printed["properties"])
    assert not hasattr(server, "config"), "nothing was served"


def test_errors_are_one_sentence(weft: Weft, server: Server) -> None:
    said(weft("serve"), "engines: there is none", "--engine", "--local 2")
    said(weft("serve", "none.yaml"), "can't read configuration none.yaml: No such file")
    said(weft("serve", "-e", "h:1"), "--engine: unknown engine 'h:1'; write one of")
    said(weft("serve", "-e", URL, "--host", "0.0.0.0"), "--host: 0.0.0.0 can be reached")
    said(weft("serve", "-e", URL, "--policy", "wft"), "--policy: unknown policy 'wft'")
    said(weft("serve", "-e", URL, "--log-level", "loud"), "unknown --log-level 'loud'")
    said(weft("serve", "--model", "m"), "--model goes with --local or --engine")
    said(weft("serve", "-e", "openai:gpt", "--model", "m"), "model is in the spec too")
    assert weft("serve", "-e", URL, "--port", "0").exit_code == 2
    assert not hasattr(server, "config")


def test_a_port_that_is_taken(weft: Weft, server: Server) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said(weft("serve", "-e", URL, "--port", str(port)), f"127.0.0.1:{port}", "another --port")


def test_open_to_others_when_told_so(weft: Weft, server: Server, port: int) -> None:
    result = weft("serve", "-e", URL, "--host", "0.0.0.0", "--allow-open", "--port", str(port))
    assert result.exit_code == 0, result.output
    assert server.config.listen.host == "0.0.0.0"
    assert f"at http://127.0.0.1:{port};" in result.stderr


@pytest.mark.parametrize("option", [["--tenant", "red"], ["--admin"], []])
def test_a_new_key_and_its_lines_for_the_file(weft: Weft, option: list[str]) -> None:
    result = weft("key", "new", *option)
    key = result.stdout.strip()
    assert re.fullmatch(r"weft-[\w-]{43}", key)
    assert key not in result.stderr
    lines = result.stderr.partition("\n\n")[2]
    path = Path("weft.yaml")
    path.write_text("engines: [http://h]\n" + lines)
    config = load_config(path)
    if option == ["--admin"]:
        assert config.admin.keys == [hash_key(key)]
    else:
        assert [(t.name, t.keys) for t in config.tenants] == [
            ("red" if option else "default", [hash_key(key)])
        ]
    assert yaml.safe_load(lines)
    assert weft("key", "new", *option).stdout.strip() != key


def test_a_key_is_not_for_both(weft: Weft) -> None:
    said(weft("key", "new", "--admin", "--tenant", "red"), "give --tenant or --admin")
