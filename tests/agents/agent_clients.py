"""How each coding agent is run headless, against a given address."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2] / ".agents"
"""Where `make agents` installs them."""

LIMIT = 240.0
"""Seconds that a client may take."""


@dataclass(frozen=True)
class Place:
    """Where one client works: an address, its own home, and the file to change."""

    url: str
    home: Path
    work: Path

    @property
    def file(self) -> Path:
        """The file to change."""
        return self.work / "greet.py"


@dataclass(frozen=True)
class Client:
    """A client: what is run, how, and the name that the service gives its programs."""

    name: str
    program: str
    command: Callable[[Place, str], list[str]]
    environment: Callable[[Place], dict[str, str]]

    @property
    def path(self) -> Path:
        """Its program."""
        return ROOT / self.program

    def start(self, place: Place, task: str, *flags: str) -> subprocess.Popen[str]:
        """Start it on a task, with more flags, for clients of which the task comes last."""
        out = (place.home / "out.txt").open("w")
        with out:
            *command, last = self.command(place, task)
            return subprocess.Popen(
                [str(self.path), *command, *flags, last],
                cwd=place.work,
                env=bare(place.home) | self.environment(place),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    def finish(self, process: subprocess.Popen[str], place: Place, expected: int = 0) -> str:
        """Wait for its end, with the expected status; returns what it said."""
        try:
            status = process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            stop(process)
        said = (place.home / "out.txt").read_text(errors="replace")
        assert status == expected, (
            f"{self.name} ended with {status} (None: too slow); it said:\n{said}"
        )
        return said

    def run(self, place: Place, task: str, *flags: str) -> str:
        """Run it on a task; returns what it said."""
        return self.finish(self.start(place, task, *flags), place)


def converse(place: Place, *texts: str) -> list[dict[str, Any]]:
    """Say one thing after the other to Claude Code; returns what came of each."""
    client = CLIENTS["claude-code"]
    *command, _ = client.command(place, "")
    stream = ("stream-json", "--output-format", "stream-json", "--verbose", "--input-format")
    with (place.home / "errors.txt").open("w") as errors:
        process = subprocess.Popen(
            [str(client.path), *command, *stream[1:], stream[0]],
            cwd=place.work,
            env=bare(place.home) | client.environment(place),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    results: list[dict[str, Any]] = []
    try:
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            for text in texts:
                message = {"role": "user", "content": text}
                process.stdin.write(json.dumps({"type": "user", "message": message}) + "\n")
                process.stdin.flush()
                events = map(json.loads, process.stdout)
                results.append(next(event for event in events if event["type"] == "result"))
            process.stdin.close()
    finally:
        stop(process)
    return results


def stop(process: subprocess.Popen[str]) -> None:
    """End what a client left running."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def bare(home: Path) -> dict[str, str]:
    """An environment that has nothing of the developer's, and no way to the internet."""
    nowhere = "http://127.0.0.1:9"
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "HTTP_PROXY": nowhere,
        "HTTPS_PROXY": nowhere,
        "http_proxy": nowhere,
        "https_proxy": nowhere,
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


def openai(place: Place) -> dict[str, str]:
    """Where clients of OpenAI's are told to look."""
    return {
        "OPENAI_API_KEY": "k",
        "OPENAI_API_BASE": f"{place.url}/v1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }


def mini_command(place: Place, task: str) -> list[str]:
    out = str(place.home / "trajectory.json")
    return ["-m", "openai/m", "-t", task, "-y", "--exit-immediately", "-o", out]


def mini_environment(place: Place) -> dict[str, str]:
    settings = {
        "MSWEA_CONFIGURED": "true",
        "MSWEA_SILENT_STARTUP": "1",
        "MSWEA_COST_TRACKING": "ignore_errors",
    }
    return openai(place) | settings


def aider_command(place: Place, task: str) -> list[str]:
    flags = (
        "--edit-format diff --yes-always --no-git --no-show-model-warnings --no-check-update "
        "--analytics-disable --no-auto-commits --no-pretty --no-show-release-notes --map-tokens 0"
    )
    return ["--model", "openai/m", "--message", task, *flags.split(), "greet.py"]


CODEX = ("check_for_update_on_startup=false", "analytics.enabled=false")


def codex_command(place: Place, task: str) -> list[str]:
    provider = (
        "model_provider=ours",
        'model_providers.ours.name="ours"',
        f'model_providers.ours.base_url="{place.url}/v1"',
        'model_providers.ours.env_key="K"',
    )
    return codex_exec(task, *provider)


def codex_exec(task: str, *settings: str) -> list[str]:
    flags = "--skip-git-repo-check --dangerously-bypass-approvals-and-sandbox --json -m m"
    given = [part for one in (*settings, *CODEX) for part in ("-c", one)]
    return ["exec", *flags.split(), *given, task]


def codex_environment(place: Place) -> dict[str, str]:
    return {"CODEX_HOME": str(codex_home(place)), "K": "k"}


def codex_home(place: Place) -> Path:
    folder = place.home / "codex"
    folder.mkdir(exist_ok=True)
    return folder


def built_in_command(place: Place, task: str) -> list[str]:
    """Codex with the provider that is built in, told another address."""
    return codex_exec(task, f'openai_base_url="{place.url}/v1"')


def built_in_environment(place: Place) -> dict[str, str]:
    """Someone is logged in by a key of the interface."""
    login = {"auth_mode": "apikey", "OPENAI_API_KEY": "k"}
    (codex_home(place) / "auth.json").write_text(json.dumps(login))
    return codex_environment(place)


def chatgpt_environment(place: Place) -> dict[str, str]:
    """Someone is logged in with an account, which has Codex compress what it sends."""
    account = {"chatgpt_plan_type": "plus", "chatgpt_account_id": "a", "chatgpt_user_id": "u"}
    claims = {"exp": int(time.time()) + 1_000_000, "https://api.openai.com/auth": account}
    token = ".".join(map(encoded, ({"alg": "none"}, claims, {})))
    kept = {"id_token": token, "access_token": token, "refresh_token": "r", "account_id": "a"}
    now = time.strftime("%FT%TZ", time.gmtime())
    login = {"auth_mode": "chatgpt", "tokens": kept, "last_refresh": now}
    (codex_home(place) / "auth.json").write_text(json.dumps(login))
    return codex_environment(place)


def encoded(part: dict[str, Any]) -> str:
    """A part of a token that nobody has signed."""
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def claude_command(place: Place, task: str) -> list[str]:
    bare = [] if "sub-agent" in task else ["--bare"]  # a bare one has no tool to send any
    return [*bare, "--model", "m", "--dangerously-skip-permissions", "-p", task]


def claude_environment(place: Place) -> dict[str, str]:
    return {
        "ANTHROPIC_BASE_URL": place.url,
        "ANTHROPIC_API_KEY": "k",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "IS_SANDBOX": "1",
    }


def opencode_command(place: Place, task: str) -> list[str]:
    return ["run", "--format", "json", "-m", "ours/m", task]


def opencode_environment(place: Place) -> dict[str, str]:
    config = place.home / "opencode.json"
    limit = {"context": 1_000_000, "output": 8192}
    kinds = {"input": ["text", "image"], "output": ["text"]}
    sees: dict[str, Any] = {"attachment": True, "modalities": kinds}
    ours = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "ours",
        "options": {"baseURL": f"{place.url}/v1", "apiKey": "k"},
        "models": {"m": {"name": "m", "tool_call": True, "limit": limit, **sees}},
    }
    config.write_text(json.dumps({"provider": {"ours": ours}}))
    flags = ("AUTOUPDATE", "MODELS_FETCH", "LSP_DOWNLOAD", "DEFAULT_PLUGINS")
    return {"OPENCODE_CONFIG": str(config), **{f"OPENCODE_DISABLE_{one}": "1" for one in flags}}


def qwen_command(place: Place, task: str) -> list[str]:
    given = ["--openai-api-key", "k", "--openai-base-url", f"{place.url}/v1"]
    return ["-p", task, "--yolo", "--auth-type", "openai", "-m", "m", *given]


def qwen_environment(place: Place) -> dict[str, str]:
    """It goes by a model's name whether the model can see."""
    folder = place.home / ".qwen"
    folder.mkdir(exist_ok=True)
    sees = {"model": {"generationConfig": {"modalities": {"image": True}}}}
    (folder / "settings.json").write_text(json.dumps(sees))
    return openai(place)


def cline_command(place: Place, task: str) -> list[str]:
    return ["-P", "openai", "-m", "m", "--json", task]


def cline_environment(place: Place) -> dict[str, str]:
    told = ["auth", "-p", "openai", "-k", "k", "-m", "m", "-b", f"{place.url}/v1"]
    command = [str(ROOT / NPM / "cline"), *told]
    nothing = subprocess.DEVNULL
    subprocess.run(command, env=bare(place.home), stdin=nothing, stdout=nothing, check=True)
    return {}


OPENHANDS = """
import sys

from openhands.sdk import LLM, Agent, Conversation, Tool
from openhands.tools.terminal import TerminalTool

url, folder, task = sys.argv[1:]
llm = LLM(model="openai/m", base_url=f"{url}/v1", api_key="k")
agent = Agent(llm=llm, tools=[Tool(name=TerminalTool.name)])
conversation = Conversation(agent=agent, workspace=folder)
conversation.send_message(task)
conversation.run()
conversation.close()
"""


def openhands_command(place: Place, task: str) -> list[str]:
    return ["-c", OPENHANDS, place.url, str(place.work), task]


def openhands_environment(_: Place) -> dict[str, str]:
    return {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "OPENHANDS_SUPPRESS_BANNER": "1"}


INSPECT_TASK = '''
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import includes
from inspect_ai.solver import generate, use_tools
from inspect_ai.tool import tool


@tool
def addition():
    async def execute(x: int, y: int):
        """Add two numbers.

        Args:
            x: one of them.
            y: the other.
        """
        return x + y

    return execute


@task
def sums():
    samples = [Sample(input=f"What is 19 + 23? ({n})", target="42") for n in range(4)]
    return Task(dataset=samples, solver=[use_tools(addition()), generate()], scorer=includes())
'''


def inspect_command(place: Place, task: str) -> list[str]:
    (place.work / "t.py").write_text(INSPECT_TASK)
    flags = "--display plain --log-format json --log-dir logs --no-fail-on-error"
    return ["eval", "t.py", "--model", "openai-api/ours/m", *flags.split()]


def inspect_environment(place: Place) -> dict[str, str]:
    return {"OURS_API_KEY": "k", "OURS_BASE_URL": f"{place.url}/v1"}


def showing(name: str, place: Place, picture: Path) -> tuple[str, list[str]]:
    """What is said, and with which flags, to show a client a picture; its own tool may do too."""
    match name:
        case "codex":
            return "", ["-i", str(picture), "--"]
        case "opencode":
            return "", ["-f", str(picture), "--"]
        case "aider":
            model = {"mode": "chat", "litellm_provider": "openai", "supports_vision": True}
            (place.home / "models.json").write_text(json.dumps({"openai/m": model}))
            told = str(place.home / "models.json")
            return "", ["--model-metadata-file", told, str(picture)]
        case "cline" | "qwen-code":
            return f"@{picture} ", []
        case _:
            return "", []


NPM = "npm/node_modules/.bin"
CLIENTS = {
    client.name: client
    for client in (
        Client("mini-swe-agent", "mini/bin/mini", mini_command, mini_environment),
        Client("aider", "aider/bin/aider", aider_command, openai),
        Client("codex", f"{NPM}/codex", codex_command, codex_environment),
        Client("codex-built-in", f"{NPM}/codex", built_in_command, built_in_environment),
        Client("codex-chatgpt", f"{NPM}/codex", built_in_command, chatgpt_environment),
        Client("claude-code", f"{NPM}/claude", claude_command, claude_environment),
        Client("opencode", f"{NPM}/opencode", opencode_command, opencode_environment),
        Client("qwen-code", f"{NPM}/qwen", qwen_command, qwen_environment),
        Client("cline", f"{NPM}/cline", cline_command, cline_environment),
        Client("openhands", "openhands/bin/python", openhands_command, openhands_environment),
        Client("inspect-ai", "inspect/bin/inspect", inspect_command, inspect_environment),
    )
}


def needs(*names: str) -> pytest.MarkDecorator:
    """Skips a test for which a client is not installed, before anything is started for it."""
    missing = [name for name in names if not CLIENTS[name].path.exists()]
    return pytest.mark.skipif(
        bool(missing), reason=f"{', '.join(missing)} not installed; `make agents` installs them"
    )


def each(*names: str) -> pytest.MarkDecorator:
    """One test for each of these clients."""
    return pytest.mark.parametrize("name", [pytest.param(n, marks=needs(n)) for n in names])
