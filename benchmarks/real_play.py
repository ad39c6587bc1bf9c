"""replay: plays a workload on real engines, with token ids that share what its blocks share."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import shake_128

from weft.backends.engine import Engine
from weft.concurrency import TaskGroup
from weft.errors import EngineError, UsageError
from weft.orchestrator.call import Call
from weft.orchestrator.decisions.decision import Decision
from weft.orchestrator.dispatch.counters import DispatchCounters
from weft.orchestrator.policy import Policy
from weft.orchestrator.scheduler import Scheduler
from weft.simulation.arrivals import Arrivals
from weft.simulation.play import Play, play
from weft.simulation.records import JobRecord
from weft.simulation.workload import Job, PlannedCall, Workload
from weft.types import Request, Sampling

IDS = range(256, 768)
"""Token ids that prompts are made of; plain tokens in all usual vocabularies."""
BATCHED_TOKENS = 2048
"""Most tokens of a step of a `random_llama`, which is vLLM's own default on a CPU."""


class LiveCall(Call):
    """A call that is to have an answer of a given length, which its scheduler must not know."""

    __slots__ = ()

    @property
    def limit(self) -> int | None:
        """None: what the engine is told is the recorded answer's own length."""
        return None


class Tokens:
    """Makes calls of turns, with prompts of token ids.

    The ids of a block follow from its hash, so prompts share ids just as they share blocks.
    What an engine has generated takes the place of what would follow from the answer's blocks:
    a later prompt that has them holds the answer that was really given, and finds it in the
    cache, as a real program's prompts do. (Tokens behind the last whole block of a context are
    not kept; no engine caches them by themselves.)

    Args:
        model: the name of the model to ask.
        block_size: tokens in a block of the workload.
        ids: token ids to use.
        salt: of the content; what has another salt shares nothing with it.
    """

    def __init__(self, model: str, block_size: int, *, ids: range = IDS, salt: str = "") -> None:
        if len(ids) < 2:
            raise UsageError(f"ids={ids} must hold at least two token ids, to tell blocks apart")
        self._model, self._block_size, self._ids, self._salt = model, block_size, ids, salt
        self._generated: dict[int, tuple[int, ...]] = {}  # by the block's hash

    def call(self, id: str, job: Job, turn: PlannedCall) -> Call:
        """The call of a turn, under an id."""
        how = Sampling(turn.answer, temperature=0.0, ignore_eos=True)
        request = Request(id, self._model, (), tokens=self._prompt(id, turn), sampling=how)
        return LiveCall(request, job.id, stage=turn.stage, tool=turn.tool)

    def _prompt(self, id: str, turn: PlannedCall) -> tuple[int, ...]:
        size = self._block_size
        whole, rest = divmod(turn.prompt, size)
        prompt: list[int] = []
        for block in turn.blocks[:whole]:
            prompt += self._block(block)
        if len(turn.blocks) > whole:
            prompt += self._block(turn.blocks[whole])[:rest]
        elif len(prompt) < turn.prompt:
            prompt += self._made(id, turn.prompt - len(prompt))
        return tuple(prompt)

    def _block(self, block: int) -> tuple[int, ...]:
        return self._generated.get(block) or self._made(f"{block}", self._block_size)

    def _made(self, name: str, count: int) -> tuple[int, ...]:
        """Ids that follow from a name."""
        drawn = array("I", shake_128(f"{self._salt}\0{name}".encode()).digest(4 * count))
        return tuple(self._ids[number % len(self._ids)] for number in drawn)

    def answered(self, call: Call, turn: PlannedCall, answer: Sequence[int]) -> None:
        """Keep what an engine has generated, for later prompts that hold it.

        Raises:
            EngineError: the answer has not the turn's length, so this is not what was to be
                played.
        """
        if len(answer) != turn.answer:
            raise EngineError(
                f"call {call.request.id} got the ids of {len(answer)} tokens where {turn.answer} "
                "were to be generated; replay on engines that report ids and know ignore_eos, "
                "with room for the prompt and the answer"
            )
        assert call.request.tokens is not None
        context = (*call.request.tokens, *answer)
        size = self._block_size
        for at in range(turn.prompt // size, min(len(context) // size, len(turn.blocks))):
            self._generated[turn.blocks[at]] = context[at * size : (at + 1) * size]


@dataclass(frozen=True, slots=True)
class LivePlay:
    """What a workload's play on real engines gave.

    Attributes:
        played: what became of jobs and calls.
        counters: the scheduler's.
    """

    played: Play
    counters: DispatchCounters


async def replay(
    workload: Workload,
    policy: Policy,
    engines: Sequence[Engine],
    arrivals: Arrivals,
    *,
    seed: int = 0,
    ids: range = IDS,
    salt: str = "",
    observe: Callable[[Decision], None] | None = None,
    on_end: Callable[[JobRecord], None] | None = None,
) -> LivePlay:
    """Play `workload` under `policy` on real engines; the counterpart of `simulate`.

    Args:
        workload: what is run; its blocks must be of the engines' size.
        policy: schedules it.
        engines: connected engines that serve one model and take token ids.
        arrivals: when jobs begin.
        seed: of the arrivals.
        ids: token ids that prompts are made of.
        salt: of the content. What earlier plays with other salts left in the engines' caches
            is never hit, and evicted before anything of this play: as good as empty caches.
        observe: told of every decision.
        on_end: told of every job that has ended.

    Raises:
        UsageError: an engine takes no token ids, or has blocks of another size.
    """
    for engine in engines:
        if not engine.takes_tokens:
            raise UsageError(f"{engine.name} takes no token ids; replay on vLLM engines")
        if engine.block_size != workload.block_size:
            raise UsageError(
                f"{engine.name} has blocks of {engine.block_size} tokens and the workload of "
                f"{workload.block_size}; open it with block_size={engine.block_size}"
            )
    scheduler = Scheduler(engines, policy, observe=observe)
    tokens = Tokens(engines[0].model, workload.block_size, ids=ids, salt=salt)
    async with TaskGroup() as group:
        group.start_soon(scheduler.watch)
        played = await play(
            workload,
            scheduler,
            arrivals,
            tokens.call,
            seed=seed,
            on_end=on_end,
            on_answer=tokens.answered,
        )
        group.cancel_scope.cancel()
        return LivePlay(played, scheduler.dispatcher.counters)
    raise AssertionError("unreachable")


def random_llama(kv_tokens: int, block_size: int = 32, max_model_len: int = 4096) -> list[str]:
    """Arguments that make vLLM serve a Llama of 34M random weights in place of a small one.

    Given to `launch` with the shipped model, whose tokenizer it keeps. It is the smallest with
    which a core's time goes into prompts, rather than into serving them.

    Args:
        kv_tokens: of its KV cache.
        block_size: tokens in a block.
        max_model_len: most tokens of prompt and answer.
    """
    shape = {
        "hidden_size": 512,
        "intermediate_size": 2048,
        "num_hidden_layers": 8,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "max_position_embeddings": max_model_len,
    }
    blocks = kv_tokens // block_size + 1  # one is vLLM's null block
    return [
        *("--load-format", "dummy"),
        *("--hf-overrides", json.dumps(shape)),
        *("--block-size", str(block_size)),
        *("--num-gpu-blocks-override", str(blocks)),
        *("--max-model-len", str(max_model_len)),
        *("--max-num-batched-tokens", str(BATCHED_TOKENS)),
    ]
