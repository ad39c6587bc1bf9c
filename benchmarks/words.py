"""A model of random weights whose tokens are words, and texts of a given number of tokens.

Every token but the end is a word of four characters, as a token of English is on average, and
words are split nowhere else. So the text of an answer has just the tokens that were generated,
and a conversation that is sent again as text shares all its blocks with what is cached.
"""

from __future__ import annotations

import json
from functools import lru_cache
from hashlib import shake_128
from itertools import product
from pathlib import Path
from string import ascii_lowercase
from typing import Any

SIZE = 1024  # of the vocabulary
END = "<end>"
ROLES = ("sys", "use", "ass", "too")  # how messages begin
UNKNOWN = " unk"
TEMPLATE = (
    "{% for m in messages %}{{ ' ' + m.role[:3] + m.content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ ' ass' }}{% endif %}"
)


@lru_cache
def words() -> tuple[str, ...]:
    """The words that texts are made of."""
    taken = {*(f" {role}" for role in ROLES), UNKNOWN}
    every = (f" {a}{b}{c}" for a, b, c in product("bcdfghjklmnpqrstvwz", "aeiou", ascii_lowercase))
    return tuple(word for word in every if word not in taken)[: SIZE - len(taken) - 1]


@lru_cache(maxsize=65536)
def text(name: str, count: int) -> str:
    """`count` words that follow from a name."""
    known = words()
    drawn = memoryview(shake_128(name.encode()).digest(4 * count)).cast("I")
    return "".join(known[number % len(known)] for number in drawn)


def model_folder(folder: Path, context: int) -> Path:
    """Write the model's files, which want `--load-format dummy`."""
    vocabulary = [END, UNKNOWN, *(f" {role}" for role in ROLES), *words()]
    end = {"id": 0, "content": END, "special": True, "normalized": False}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{**end, "single_word": False, "lstrip": False, "rstrip": False}],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"Regex": " [a-z]{3}"},
            "behavior": "Isolated",
            "invert": False,
        },
        "post_processor": None,
        "decoder": {"type": "Fuse"},
        "model": {
            "type": "WordLevel",
            "vocab": {word: i for i, word in enumerate(vocabulary)},
            "unk_token": UNKNOWN,
        },
    }
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 512,
        "intermediate_size": 2048,
        "num_hidden_layers": 8,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-05,
        "max_position_embeddings": context,
        "tie_word_embeddings": True,
        "vocab_size": len(vocabulary),
        "bos_token_id": None,
        "eos_token_id": 0,
        "dtype": "float32",
    }
    described: dict[str, dict[str, Any]] = {
        "tokenizer.json": tokenizer,
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": END,
            "model_max_length": context,
            "clean_up_tokenization_spaces": False,
            "chat_template": TEMPLATE,
        },
        "config.json": config,
        "generation_config.json": {"eos_token_id": 0},
    }
    for name, content in described.items():
        (folder / name).write_text(json.dumps(content))
    return folder
