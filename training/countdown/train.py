"""Train the shipped Countdown model: one small Llama, three skills.

    python training/countdown/train.py --out runs/countdown --steps 4500

Each step takes one batch of every skill. Hidden matrices are trained with Muon (Jordan et
al. 2024), the rest with AdamW; the rate is constant after warm-up and falls to zero over
the last `--decay` share of the steps, so a run can be continued from a checkpoint with
another `--steps` as long as its decay has not begun. Losses go to `OUT/train.jsonl`.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

import data
import tokenizer as tokenizers
from muon import Muon

CONTEXT = 2048
LONGEST = 384

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def config(tokenizer: tokenizers.Tokenizer) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=128,
        intermediate_size=448,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        rms_norm_eps=1e-5,
        bos_token_id=None,
        eos_token_id=tokenizer.token_to_id("<|end|>"),
        pad_token_id=tokenizer.token_to_id("<|pad|>"),
    )


def encode(
    make: Callable[[random.Random], data.Example],
    tokenizer: tokenizers.Tokenizer,
    rng: random.Random,
    size: int,
) -> list[tuple[list[int], data.Example]]:
    examples = [make(rng) for _ in range(size)]
    encoded = tokenizer.encode_batch([e.text for e in examples])
    return [(c.ids, e) for c, e in zip(encoded, examples, strict=True) if len(c.ids) <= LONGEST]


def choices(example: data.Example) -> Iterator[tuple[int, Counter[str]]]:
    """Where a solution chooses (tokens from the start of the answer), and among which tokens.

    The sampled solution is one of many: learning from all the good steps at once, rather
    than from the drawn one, takes that noise out of the gradient. Without any token, the
    place is not learned.
    """
    at = 0
    for step, options in example.drawn_from:
        first, then, last = Counter[str](), Counter[str](), Counter[str]()
        for option, weight in options.items():
            first[str(option.a)] += weight
            if option.a == step.a:
                then[f" {option.op}"] += weight
                if option.op == step.op:
                    last[f" {option.b}"] += weight
        yield from ((at, first), (at + 1, then), (at + 2, last))
        at += 7 + len(step.left)  # a op b = result | left ... newline


def collate(rows: list[tuple[list[int], data.Example]], tokenizer: tokenizers.Tokenizer) -> Batch:
    """Ids, the positions that are learned (those after the prompt), and their target rows."""
    width = -(-max(len(ids) for ids, _ in rows) // 8) * 8
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    learned = torch.zeros_like(ids, dtype=torch.bool)
    hard: list[int] = []
    soft: list[tuple[int, int, float]] = []
    vocabulary = tokenizer.get_vocab()
    answer_id = vocabulary["<|assistant|>"]
    for i, (row, example) in enumerate(rows):
        start = row.index(answer_id) + 1
        ids[i, : len(row)] = torch.tensor(row)
        answer = dict(enumerate(row[start:]))
        for at, counts in choices(example):
            if not counts:
                del answer[at]
            place = len(hard) + sum(k < at for k in answer)
            for token, count in counts.items():
                token_id = vocabulary[token.replace(" ", "\u0120")]
                soft.append((place, token_id, count / counts.total()))
        learned[i, [start - 1 + at for at in answer]] = True
        hard += answer.values()
    wanted = torch.nn.functional.one_hot(torch.tensor(hard), tokenizer.get_vocab_size()).float()
    if soft:
        position, token, share = (torch.tensor(column) for column in zip(*soft, strict=True))
        wanted[position] = 0
        wanted[position, token] = share
    return ids, learned, wanted


def short_batches(tokenizer: tokenizers.Tokenizer, size: int, seed: int) -> Iterator[Batch]:
    """Solve and verify examples in one batch: their lengths are alike."""
    rng = random.Random(seed)
    while True:
        rows = encode(data.solve, tokenizer, rng, size)
        rows += encode(data.verify, tokenizer, rng, size * 3 // 4)
        yield collate(rows, tokenizer)


def trace_batches(tokenizer: tokenizers.Tokenizer, size: int, seed: int) -> Iterator[Batch]:
    """Think traces; many are made at once and sorted by length, so that little is padding."""
    rng = random.Random(seed)
    while True:
        rows = sorted(encode(data.think, tokenizer, rng, size * 20), key=lambda row: len(row[0]))
        groups = [rows[i : i + size] for i in range(0, len(rows), size)]
        rng.shuffle(groups)
        for group in groups:
            yield collate(group, tokenizer)


def losses(model: torch.nn.Module, head: torch.nn.Module, batch: Batch) -> torch.Tensor:
    """Mean cross-entropy over the learned tokens of a batch."""
    ids, learned, wanted = batch
    hidden = model(input_ids=ids, use_cache=False).last_hidden_state
    return cross_entropy(head(hidden[learned]), wanted)


def rate(step: int, steps: int, warmup: int, decay: float) -> float:
    """Share of the peak rate at a step: up, constant, then linearly to zero."""
    falling = (steps - step) / max(1, decay * steps)
    return min((step + 1) / warmup, 1.0, falling)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=4500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--peak", type=float, default=3e-3)
    parser.add_argument("--decay", type=float, default=0.3)
    parser.add_argument("--batch", type=int, default=64, help="problems to solve a step")
    parser.add_argument("--traces", type=int, default=12, help="think traces a step")
    parser.add_argument("--resume", type=Path, help="a state.pt to continue from")
    parser.add_argument("--save-every", type=int, default=250)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    args.out.mkdir(parents=True, exist_ok=True)
    tokenizer = tokenizers.save(args.out, context=CONTEXT)
    model = LlamaForCausalLM(config(tokenizer))
    hidden = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    other = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    optimizers = [
        Muon(hidden, lr=args.peak, weight_decay=0.05),
        torch.optim.AdamW(other, lr=args.peak, betas=(0.9, 0.98), weight_decay=0.0),
    ]
    first = 0
    if args.resume:
        state = torch.load(args.resume)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        first = state["step"]
    # Another start means other examples: a resumed run does not see the first ones again.
    seed = args.seed * 1_000_003 + first
    sources = {
        "short": short_batches(tokenizer, args.batch, seed),
        "think": trace_batches(tokenizer, args.traces, seed + 1),
    }
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
    log = (args.out / "train.jsonl").open("a")
    start = time.monotonic()
    sums = dict.fromkeys(sources, 0.0)
    for step in range(first, args.steps):
        scale = rate(step, args.steps, 100, args.decay)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = args.peak * scale
        for name, source in sources.items():
            loss = losses(model.model, model.lm_head, next(source))
            loss.backward()
            sums[name] += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if (step + 1) % 50 == 0:
            row = {"step": step + 1, "seconds": round(time.monotonic() - start, 1)}
            row |= {name: round(total / 50, 4) for name, total in sums.items()}
            sums = dict.fromkeys(sources, 0.0)
            log.write(json.dumps(row) + "\n")
            log.flush()
            print(row, flush=True)
        if (step + 1) % args.save_every == 0 or step + 1 == args.steps:
            model.save_pretrained(args.out)
            torch.save(
                {
                    "model": model.state_dict(),
                    "optimizers": [o.state_dict() for o in optimizers],
                    "step": step + 1,
                },
                args.out / "state.pt",
            )


if __name__ == "__main__":
    main()
