"""A small server that speaks vLLM's protocol over a real tokenizer and a chat template.

What it answers is given; how it makes text of tokens is vLLM's way, with the same library:
text is decoded as tokens come, starting from the prompt, and cut behind a stop string though
tokens are not. So it has the faults of that way, too: of a prompt that ends within a
character the first text is the whole prompt's.
"""

from __future__ import annotations

import json
import math
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import jinja2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from byte_bpe import byte_bpe
from chat_templates import ENDS, SPECIAL, TEMPLATES

TAG = "GO-ON-HERE "


def refuse(text: str) -> None:
    raise ValueError(text)


@dataclass
class Model:
    """What the server serves.

    Attributes:
        answers: what is answered, by a text that the prompt holds; a text, or its tokens.
            Of an answer that has been begun, the rest is given.
        template: which chat template.
        likely: log-probabilities of the next token, by token, when they are asked for.
        interval: tokens in an event.
        detokenizes: whether it has `/detokenize`.
        marks: tokens that are no text.
    """

    answers: Mapping[str, str | Sequence[int]] = field(default_factory=dict)
    template: str = "llama"
    likely: Mapping[int, float] = field(default_factory=dict)
    interval: int = 1
    detokenizes: bool = True
    tokenizer: Tokenizer = field(default_factory=byte_bpe)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        made = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
        made.globals["raise_exception"] = refuse
        self._written = made.from_string(TEMPLATES[self.template])
        self.end = self.ids(ENDS[self.template])[0]
        self.marks = {self.ids(one)[0] for one in SPECIAL}

    def ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def sent(self) -> list[list[int]]:
        """The prompts of the requests to generate."""
        return [body["prompt"] for path, body in self.asked if path == "v1/completions"]

    def count(self, path: str) -> int:
        return sum(one == path for one, _ in self.asked)

    def render(
        self, messages: list[dict[str, str]], *, open: bool, add: bool, tools: Any = None
    ) -> list[int]:
        """A conversation's tokens; an open answer is found as transformers finds it."""
        how = {"add_generation_prompt": add, "tools": tools}
        if not open:
            return self.ids(self._written.render(messages=messages, **how))
        said = messages[-1]["content"]
        messages = [*messages[:-1], {**messages[-1], "content": said + TAG}]
        text = self._written.render(messages=messages, **how)
        if said.strip() not in text or TAG.strip() not in text:
            raise ValueError("the final message does not appear in the chat")
        at = text.rindex(TAG.strip())
        whole = text[at : at + len(TAG)] == TAG
        return self.ids(text[:at] if whole else text[:at].rstrip())

    def answer(self, prompt: list[int]) -> list[int]:
        """What follows the prompt; the token that ends the answer is its last."""
        text = self.tokenizer.decode(prompt, skip_special_tokens=False)
        found = max((key for key in self.answers if key in text), key=text.rindex, default="")
        given = self.answers.get(found, "")
        whole = [*(self.ids(given) if isinstance(given, str) else given), self.end]
        begun = next(n for n in range(len(whole), -1, -1) if not n or prompt[-n:] == whole[:n])
        return whole[begun:]


class Decoding:
    """Makes text of the tokens of one answer, and sees where it ends."""

    def __init__(
        self, tokenizer: Tokenizer, prompt: list[int], stops: list[str], skips: bool = True
    ) -> None:
        self._tokenizer, self._stops = tokenizer, stops
        self._stream = DecodeStream(ids=prompt, skip_special_tokens=skips)
        self.text, self.stop = "", ""

    def add(self, token: int) -> str:
        """The text that a token adds; `stop` is set if a stop string ends it."""
        new = self._stream.step(self._tokenizer, token) or ""
        before, self.text = len(self.text), self.text + new
        ends: list[tuple[int, str]] = []
        for stop in self._stops if new else ():
            at = self.text.find(stop, max(0, before + 1 - len(stop)))
            if at >= 0:
                ends.append((at + len(stop), stop))
        if ends:
            end, self.stop = min(ends)
            self.text = self.text[:end]
        return self.text[before:]


def events(model: Model, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """An answer's events."""
    prompt: list[int] = body["prompt"]
    skips = body.get("skip_special_tokens", True)
    decoding = Decoding(model.tokenizer, prompt, body.get("stop") or [], skips)
    most = body.get("max_tokens") or 1000
    text, ids, logprobs = "", [], []
    answer = model.answer(prompt)[:most]
    for count, token in enumerate(answer, 1):
        ended = token == model.end
        if not ended or body.get("include_stop_str_in_output"):
            text += decoding.add(token)
        ids.append(token)
        logprobs.append(-0.1 * count)
        finish = "stop" if ended or decoding.stop else "length" if count == len(answer) else None
        if finish is None and len(ids) < model.interval:
            continue
        choice = {"index": 0, "text": text, "token_ids": ids, "finish_reason": finish}
        choice["stop_reason"] = decoding.stop or None
        if body.get("logprobs") is not None:
            shown = ["" if "\ufffd" in (t := model.tokenizer.decode([i])) else t for i in ids]
            tops = [{one: value} for one, value in zip(shown, logprobs, strict=True)]
            choice["logprobs"] = {
                "tokens": shown,
                "token_logprobs": logprobs,
                "top_logprobs": tops,
            }
        yield {"choices": [choice]}
        text, ids, logprobs = "", [], []
        if finish:
            break
    used = {"prompt_tokens": len(prompt), "completion_tokens": count}
    yield {"choices": [], "usage": used | {"total_tokens": len(prompt) + count}}


def asked(model: Model, body: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request for the log-probabilities of given tokens."""
    top = {f"token_id:{one}": model.likely.get(one, -9999.0) for one in body["logprob_token_ids"]}
    logprobs = {"tokens": ["token_id:0"], "token_logprobs": [-1.0], "top_logprobs": [top]}
    choice = {"index": 0, "text": "", "token_ids": [0], "finish_reason": "length"}
    usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": 1}
    return {"choices": [choice | {"stop_reason": None, "logprobs": logprobs}], "usage": usage}


class Host:
    """Serves any number of models, each under a path of its own."""

    def __init__(self) -> None:
        self.url = ""
        self._models: list[Model] = []
        get, post = ["GET"], ["POST"]
        routes = [
            Route("/{at:int}/v1/models", self._card, methods=get),
            Route("/{at:int}/health", self._empty, methods=get),
            Route("/{at:int}/metrics", self._empty, methods=get),
            Route("/{at:int}/tokenize", self._tokenize, methods=post),
            Route("/{at:int}/detokenize", self._detokenize, methods=post),
            Route("/{at:int}/v1/completions", self._completions, methods=post),
        ]
        self.app = Starlette(routes=routes)

    def add(self, model: Model) -> str:
        """Serve a model; gives its address."""
        self._models.append(model)
        return f"{self.url}/{len(self._models) - 1}"

    async def _asked(self, request: Request) -> tuple[Model, dict[str, Any]]:
        model = self._models[request.path_params["at"]]
        body = await request.json()
        model.asked.append((request.url.path.partition("/")[2].partition("/")[2], body))
        return model, body

    async def _card(self, _: Request) -> Response:
        card = {"id": "bpe", "object": "model", "max_model_len": 4096}
        return JSONResponse({"object": "list", "data": [card]})

    async def _empty(self, _: Request) -> Response:
        return PlainTextResponse("")

    async def _tokenize(self, request: Request) -> Response:
        model, body = await self._asked(request)
        if "prompt" in body:
            return JSONResponse({"tokens": model.ids(body["prompt"])})
        open, add = body["continue_final_message"], body["add_generation_prompt"]
        try:
            ids = model.render(body["messages"], open=open, add=add, tools=body.get("tools"))
        except ValueError as error:
            return JSONResponse({"error": {"message": str(error), "code": 400}}, 400)
        return JSONResponse({"tokens": ids})

    async def _detokenize(self, request: Request) -> Response:
        model, body = await self._asked(request)
        if not model.detokenizes:
            return Response(status_code=404)
        text = model.tokenizer.decode(body["tokens"], skip_special_tokens=False)
        return JSONResponse({"prompt": text})

    async def _completions(self, request: Request) -> Response:
        model, body = await self._asked(request)
        if "logprob_token_ids" in body:
            return JSONResponse(asked(model, body))
        lines = "".join(f"data: {json.dumps(one)}\n\n" for one in events(model, body))
        return StreamingResponse(iter([lines + "data: [DONE]\n\n"]), media_type="text/event-stream")


@contextmanager
def hosting() -> Iterator[Host]:
    """A host on a free port, served from a thread of its own."""
    host = Host()
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        host.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(host.app, log_level="critical", lifespan="off")
        server = uvicorn.Server(config)
        run = threading.Thread(
            target=lambda: anyio.run(lambda: server.serve(sockets=[listener])), daemon=True
        )
        run.start()
        try:
            yield host
        finally:
            server.should_exit = server.force_exit = True
            run.join()


def chances(model: Model, shares: Mapping[str, float]) -> dict[int, float]:
    """Log-probabilities for `Model.likely` of texts that are one token each."""
    found: dict[int, float] = {}
    for text, share in shares.items():
        (token,) = model.ids(text)
        found[token] = math.log(share)
    return found
