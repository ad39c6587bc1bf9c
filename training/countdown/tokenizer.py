"""The model's tokenizer: bytes, whole numbers and the words of the task, as a BPE.

The merges are written down rather than learned, so that every number up to 200 is one
token with and without a leading space, and any other text falls back to bytes.
"""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

SPECIAL = ["<|pad|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", "<|end|>"]
TAGS = ["<think>", "</think>"]
WORDS = [
    "solve",
    "think",
    "verify",
    "for",
    "answer",
    "yes",
    "no",
    "wait",
    "but",
    "alternatively",
    "hmm",
    "back",
    "to",
    "try",
    "so",
    "the",
    "a",
    "of",
    "and",
    "is",
    "in",
    "you",
    "are",
    "that",
    "it",
]
MAX_NUMBER = 200

CHAT_TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}"
    "{% if m.role == 'assistant' and not (loop.last and continue_final_message|default(false)) %}"
    "{{ '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def build() -> Tokenizer:
    """Put the tokenizer together from its explicit merges."""
    space = "\u0120"  # how byte-level BPE writes a space
    vocab: dict[str, int] = {}
    merges: list[tuple[str, str]] = []

    def add(token: str) -> None:
        vocab.setdefault(token, len(vocab))

    for token in SPECIAL + TAGS:
        add(token)
    for byte in sorted(pre_tokenizers.ByteLevel.alphabet()):
        add(byte)

    def chain(word: str) -> None:
        """Merge a word from the left, so that each of its prefixes is a token."""
        for end in range(2, len(word) + 1):
            pair = (word[: end - 1], word[end - 1])
            if pair not in merges:
                merges.append(pair)
            add(word[:end])

    for lead in (space, ""):
        for length in (1, 2, 3):
            for number in range(MAX_NUMBER + 1):
                if len(str(number)) == length:
                    chain(lead + str(number))
    merges.append(("1", "10"))  # 110 alone is merged from its end: 10 comes before 11
    for symbol in "+-*/=|":
        chain(space + symbol)
    for word in WORDS:
        chain(space + word)
        chain(word)

    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" ?\d{1,3}| ?[^\s\d]+|\s"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in TAGS])
    return tokenizer


def save(folder: Path, *, context: int) -> Tokenizer:
    """Write tokenizer.json, tokenizer_config.json and the chat template to `folder`."""
    tokenizer = build()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": "<|pad|>",
        "eos_token": "<|end|>",
        "model_max_length": context,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    return tokenizer
