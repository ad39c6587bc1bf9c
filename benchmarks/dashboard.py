"""The picture of the dashboard in the documentation, from a run that is real.

    python benchmarks/dashboard.py docs/images/dashboard.png

`weft serve` stands before two vLLM replicas on this machine, which serve the shipped model with
16,384 tokens of KV each and run 6 requests at once. For `--seconds`, 36 agents of three tenants
play: calls with tools whose conversations grow, pauses as of tools, sub-agents in between. Then
Chromium takes the picture, and one as of a phone. Needs vLLM, Playwright and Chromium.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import async_playwright

from weft.backends.local.launch import launch
from weft.backends.local.ports import free_ports
from weft.backends.local.shipped import shipped_model
from weft.service.config.api_key import hash_key

MODEL = "countdown"
KV = 16_384 * 4096  # bytes; 4096 a token
TENANTS = {"platform": 18, "research": 12, "ci": 6}  # agents of each
CLIENTS = {"claude-code": 0.4, "codex": 0.25, "opencode": 0.2, "mini-swe-agent": 0.15}
TOOLS = ("bash", "edit", "read", "search")
LONGEST = 1600  # tokens of a prompt, of the 2048 that the model takes
ADMIN = "key-of-the-admin-of-this-run"


class Agent:
    """One agent after another, until cancelled."""

    def __init__(self, http: httpx.AsyncClient, tenant: str, number: int) -> None:
        self.http, self.tenant = http, tenant
        self.random = random.Random(f"{tenant}{number}")

    async def run(self) -> None:
        """Play."""
        await asyncio.sleep(self.random.uniform(0, 20))
        while True:
            name = self.random.choices(list(CLIENTS), list(CLIENTS.values()))[0]
            await self.play(name, f"{name}-{self.random.randrange(16**6):06x}", "")

    async def play(self, name: str, program: str, parent: str) -> None:
        """One program, to its end."""
        chance = self.random
        messages = [{"role": "user", "content": self.text(50 if parent else 150)}]
        for _ in range(3 if parent else chance.randint(5, 12)):
            tool = chance.choice(TOOLS)
            answer, prompt = await self.call(name, program, parent, messages, tool)
            messages.append({"role": "assistant", "content": answer})
            if prompt > LONGEST:
                break
            if not parent and chance.random() < 0.15:
                async with asyncio.TaskGroup() as group:
                    for number in range(2):
                        helper = f"{program}/{tool}-{number + 1}"
                        group.create_task(self.play(name, helper, program))
            else:
                await asyncio.sleep(min(30, chance.lognormvariate(0.7, 1.0)))
            messages.append({"role": "user", "content": self.text(chance.randint(10, 60))})
        await self.http.delete(f"/v1/programs/{program}", headers=self.head(name, program, parent))

    async def call(
        self, name: str, program: str, parent: str, messages: list[Any], tool: str
    ) -> tuple[str, int]:
        """An answer and the tokens of its prompt; a refused call comes again."""
        most = self.random.randint(60, 300)
        function = {"name": tool, "strict": True, "parameters": {"type": "object"}}
        body: dict[str, Any] = {
            "model": MODEL,
            "messages": messages,
            "max_tokens": most,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self.random.random() < 0.4:
            body["tools"] = [{"type": "function", "function": function}]
            body["tool_choice"] = {"type": "function", "function": {"name": tool}}
        while True:
            said = await self.http.post(
                "/v1/chat/completions", json=body, headers=self.head(name, program, parent)
            )
            if said.status_code in (429, 503):
                print(said.status_code, said.text[:300])
                await asyncio.sleep(float(said.headers.get("retry-after", 1)))
                continue
            said.raise_for_status()
            prompts = re.findall(r'"prompt_tokens": ?(\d+)', said.text)
            return self.text(most // 4), int(prompts[-1])

    def head(self, name: str, program: str, parent: str) -> dict[str, str]:
        """What the client says of itself."""
        head = {"x-api-key": key(self.tenant), "x-weft-name": name, "x-weft-program": program}
        return head | ({"x-weft-parent": parent} if parent else {})

    def text(self, words: int) -> str:
        """Something to say."""
        return " ".join(str(self.random.randrange(100)) for _ in range(words))


def key(tenant: str) -> str:
    return f"key-of-{tenant}-of-this-run"


async def pictures(url: str, target: Path) -> None:
    """Take them."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for name, width, height, scale in (("", 1280, 760, 1), ("-phone", 360, 780, 2)):
            page = await chromium.new_page(
                viewport={"width": width, "height": height}, device_scale_factor=scale
            )
            await page.goto(url)
            await page.get_by_label("Admin key").fill(ADMIN)
            await page.get_by_label("Admin key").press("Enter")
            await page.locator("#placements tr").first.wait_for()
            await page.wait_for_timeout(1500)
            if name:
                await page.evaluate("document.querySelector('#h-programs').scrollIntoView()")
            path = target.with_name(target.stem + name + target.suffix)
            await page.screenshot(path=path, full_page=not name)
        await chromium.close()


async def main() -> None:
    """Run the whole."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("target", type=Path)
    parser.add_argument("--seconds", type=float, default=75)
    options = parser.parse_args()
    tools = ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"]
    model, (port,) = shipped_model(MODEL), free_ports(1)
    assert model is not None
    with tempfile.TemporaryDirectory() as folder:
        async with launch(model, 2, MODEL, KV, extra_args=tools, on_progress=print) as replicas:
            config = {
                "listen": {"port": port},
                "engines": [
                    {"spec": replica.url, "name": f"cpu-{number}", "concurrency": 6}
                    for number, replica in enumerate(replicas, 1)
                ],
                "tenants": [{"name": t, "keys": [hash_key(key(t))]} for t in TENANTS],
                "admin": {"keys": [hash_key(ADMIN)]},
            }
            path = Path(folder) / "serve.yaml"
            path.write_text(json.dumps(config))
            weft = str(Path(sys.executable).with_name("weft"))
            service = await asyncio.create_subprocess_exec(
                weft, "serve", str(path), stderr=asyncio.subprocess.DEVNULL
            )
            try:
                await played(f"http://127.0.0.1:{port}", options.seconds, options.target)
            finally:
                service.terminate()
                await service.wait()


async def played(url: str, seconds: float, target: Path) -> None:
    """Have the agents play, and take the pictures while they do."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=600) as http:
        while True:
            try:
                if (await http.get("/ready")).is_success:
                    break
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.2)
        async with asyncio.TaskGroup() as group:
            agents = [
                group.create_task(Agent(http, tenant, number).run())
                for tenant, count in TENANTS.items()
                for number in range(count)
            ]
            await asyncio.sleep(seconds)
            await pictures(url, target)
            for agent in agents:
                agent.cancel()


if __name__ == "__main__":
    asyncio.run(main())
