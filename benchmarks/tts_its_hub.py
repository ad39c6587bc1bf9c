"""The its_hub side of `tts.py`, run by it with the Python of its_hub's own environment.

Reads one pass a line from standard input, as JSON, and answers each with one line. its_hub
knows one endpoint a language model, so problems alternate between the endpoints, each with a
model of its own; all are gathered at once, as its users do, and the verifier is a reward
model that asks the same prompt of the same endpoint as weft's does.
"""

# pyright: reportMissingImports=false
# its_hub is installed in an environment of its own, by `tts.py`.

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
from collections.abc import Callable
from typing import Any

import aiohttp
from its_hub.api import AbstractOutcomeRewardModel, AbstractProcessRewardModel
from its_hub.core.algorithms.beam_search import BeamSearch
from its_hub.core.algorithms.bon import BestOfN
from its_hub.core.algorithms.particle_gibbs import ParticleFiltering
from its_hub.core.algorithms.self_consistency import SelfConsistency
from its_hub.core.lms.openai_lm import OpenAICompatibleLanguageModel
from its_hub.core.lms.step_generation import StepGeneration
from its_hub.core.orchestrator import LMOrchestrator

from weft.evals.tasks.puzzles.countdown_task import CountdownTask
from weft.search import Answer, Question


class Verifier(AbstractProcessRewardModel, AbstractOutcomeRewardModel):
    """P(yes) / (P(yes) + P(no)) of the task's verify prompt; 0 for an answer without a value.

    weft's strategies never choose an answer without a value; its_hub's have no such notion.
    """

    def __init__(self, session: aiohttp.ClientSession, endpoint: str, model: str) -> None:
        self.session, self.endpoint, self.model = session, endpoint, model
        self.question: Question | None = None

    def about(self, question: Question) -> Verifier:
        """A verifier for one question, on the same connections."""
        other = Verifier(self.session, self.endpoint, self.model)
        other.question = question
        return other

    async def one(self, text: str) -> float:
        assert self.question is not None
        assert self.question.verify is not None
        if self.question.complete(f"{text}\n") and self.question.answer(text) is None:
            return 0.0
        messages = self.question.verify(text).messages
        body = {
            "model": self.model,
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            "max_tokens": 1,
            "logprobs": True,
            "top_logprobs": 20,
        }
        async with self.session.post(f"{self.endpoint}/chat/completions", json=body) as response:
            response.raise_for_status()
            content = (await response.json())["choices"][0]["logprobs"]["content"]
        top = {t["token"]: math.exp(t["logprob"]) for t in content[0]["top_logprobs"]}
        yes, no = top.get("yes", 0.0), top.get("no", 0.0)
        return yes / (yes + no) if yes + no > 0 else 0.5

    async def ascore(self, messages: Any, steps: Any = None, **_: Any) -> list[float]:
        """For step searches partial answers, for best-of-n conversations."""
        texts = steps if steps is not None else [c[-1].content or "" for c in messages]
        return list(await asyncio.gather(*(self.one(text) for text in texts)))

    def score(self, *_: Any, **__: Any) -> list[float]:
        raise NotImplementedError("only the asynchronous interface is used")


def algorithm(name: str, question: Question, verifier: Verifier, shared: dict[str, Any]) -> Any:
    """its_hub's algorithm for one question."""
    # its_hub counts the steps before the one that it makes: this gives max_steps in all.
    steps = StepGeneration(
        max_steps=question.max_steps - 1,
        step_token=question.steps,
        stop_token="answer",
        temperature=shared["temperature"],
    )
    verifier = verifier.about(question)
    match name:
        case "best_of_n":
            return BestOfN(verifier, orchestrator=shared["orchestrator"])
        case "self_consistency":
            # Answers without a value must not unite as one.
            return SelfConsistency(
                lambda text: question.answer(text) or text, orchestrator=shared["orchestrator"]
            )
        case "beam_search":
            return BeamSearch(steps, verifier, beam_width=shared["width"])
        case "particle_filtering":
            return ParticleFiltering(steps, verifier)
    raise ValueError(name)


async def one_pass(wanted: dict[str, Any]) -> dict[str, Any]:
    """Run one strategy over the problems; seconds are those from the first call to the last."""
    task = CountdownTask()
    samples = task.samples(wanted["problems"], wanted["seed"])
    questions = [task.question(sample, 0) for sample in samples]
    endpoints = [f"{url}/v1" for url in wanted["urls"]]
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        models: list[tuple[Any, Verifier, dict[str, Any]]] = []
        for endpoint in endpoints:
            lm = OpenAICompatibleLanguageModel(
                endpoint=endpoint,
                api_key="none",
                model_name=wanted["model"],
                max_completion_tokens=questions[0].max_tokens,
                temperature=wanted["temperature"],
                max_concurrency=wanted["max_concurrency"],
            )
            shared = {
                "temperature": wanted["temperature"],
                "width": wanted["width"],
                "orchestrator": LMOrchestrator(max_concurrency=wanted["max_concurrency"]),
            }
            models.append((lm, Verifier(session, endpoint, wanted["model"]), shared))

        async def solve(index: int) -> str:
            lm, verifier, shared = models[index % len(models)]
            question = questions[index]
            solver = algorithm(wanted["strategy"], question, verifier, shared)
            content = question.prompt.messages[-1].content
            response = await solver.ainfer(lm, content, budget=wanted["n"])
            return str(response["content"])

        begun = time.perf_counter()
        texts = await asyncio.gather(*(solve(i) for i in range(len(questions))))
        seconds = time.perf_counter() - begun
        for lm, _, _ in models:
            await lm.close()
    right: Callable[[int], bool] = lambda i: task.correct(samples[i], Answer(texts[i], None))  # noqa: E731
    return {"seconds": seconds, "correct": sum(map(right, range(len(texts)))) / len(texts)}


def main() -> None:
    for line in sys.stdin:
        try:
            print(json.dumps(asyncio.run(one_pass(json.loads(line)))), flush=True)
        except Exception as error:
            print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore", DeprecationWarning)
    main()
