"""Writes a GGUF file as a folder that vLLM can load: run as a file, never imported by weft.

It needs the package gguf on the path, which is no dependency of weft. For Llamas with a
byte-level BPE tokenizer that splits digits, such as SmolLM2; weights become float32.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType]
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

Array = np.ndarray[Any, np.dtype[np.float32]]

OUTER = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""The tensors' names in GGUF, and in Hugging Face's form of a Llama."""

CONTROL = 3
"""The kind of a token that is no text."""


def tensor_name(name: str) -> str:
    """A tensor's name in Hugging Face's form."""
    if found := re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", name):
        return f"model.layers.{found[1]}.{LAYER[found[2]]}.weight"
    return f"{OUTER[name.removesuffix('.weight')]}.weight"


def unrotated(weight: Array, heads: int) -> Array:
    """Undo the order that GGUF gives the rows of queries and keys, for its way of rotating."""
    rows, width = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, width).swapaxes(1, 2).reshape(rows, width)


class GGUFFile:
    """A GGUF file."""

    def __init__(self, path: str) -> None:
        self._gguf: Any = importlib.import_module("gguf")
        self._reader: Any = self._gguf.GGUFReader(path)

    def get(self, name: str) -> Any:
        """The value of a field."""
        return self._reader.fields[name].contents()

    def weights(self) -> dict[str, Array]:
        """All tensors, as float32."""
        heads = {"attn_q": "head_count", "attn_k": "head_count_kv"}
        found: dict[str, Array] = {}
        for tensor in self._reader.tensors:
            shape = [int(size) for size in tensor.shape[::-1]]
            flat: Any = self._gguf.dequantize(tensor.data, tensor.tensor_type)
            weight: Array = np.asarray(flat, np.float32).reshape(shape)
            for part, count in heads.items():
                if f".{part}." in tensor.name:
                    weight = unrotated(weight, self.get(f"llama.attention.{count}"))
            found[tensor_name(tensor.name)] = np.ascontiguousarray(weight)
        return found

    def token(self, kind: str) -> str:
        """The special token of a kind, such as `eos`."""
        return self.get("tokenizer.ggml.tokens")[self.get(f"tokenizer.ggml.{kind}_token_id")]

    def tokenizer(self) -> Tokenizer:
        """The tokenizer."""
        tokens: list[str] = self.get("tokenizer.ggml.tokens")
        kinds: list[int] = self.get("tokenizer.ggml.token_type")
        merges = [tuple(pair.split(" ")) for pair in self.get("tokenizer.ggml.merges")]
        vocabulary = {token: at for at, token in enumerate(tokens)}
        made = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))  # pyright: ignore
        made.pre_tokenizer = pre_tokenizers.Sequence(  # pyright: ignore
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
            ]
        )
        made.decoder = decoders.ByteLevel()  # pyright: ignore
        special = [t for t, kind in zip(tokens, kinds, strict=True) if kind == CONTROL]
        made.add_special_tokens(  # pyright: ignore[reportUnknownMemberType]
            [AddedToken(one, special=True, normalized=False) for one in special]
        )
        return made

    def config(self, tied: bool) -> dict[str, Any]:
        """The model's shape."""
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_act": "silu",
            "hidden_size": self.get("llama.embedding_length"),
            "intermediate_size": self.get("llama.feed_forward_length"),
            "num_hidden_layers": self.get("llama.block_count"),
            "num_attention_heads": self.get("llama.attention.head_count"),
            "num_key_value_heads": self.get("llama.attention.head_count_kv"),
            "head_dim": self.get("llama.rope.dimension_count"),
            "vocab_size": self.get("llama.vocab_size"),
            "max_position_embeddings": self.get("llama.context_length"),
            "rms_norm_eps": self.get("llama.attention.layer_norm_rms_epsilon"),
            "rope_theta": self.get("llama.rope.freq_base"),
            "tie_word_embeddings": tied,
            "torch_dtype": "float32",
            **self.ends(),
        }

    def ends(self) -> dict[str, int]:
        """The tokens that begin and end texts."""
        return {f"{k}_token_id": self.get(f"tokenizer.ggml.{k}_token_id") for k in ("bos", "eos")}


def main(source: str, folder: str) -> None:
    """Write the file `source` as `folder`."""
    file, into = GGUFFile(source), Path(folder)
    into.mkdir(parents=True)
    weights = file.weights()
    save_file(weights, into / "model.safetensors", metadata={"format": "pt"})
    file.tokenizer().save(str(into / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": file.token("bos"),
        "eos_token": file.token("eos"),
        "pad_token": file.token("eos"),
        "clean_up_tokenization_spaces": False,
        "model_max_length": file.get("llama.context_length"),
        "chat_template": file.get("tokenizer.chat_template"),
    }
    config = file.config("lm_head.weight" not in weights)
    files = {"tokenizer_config": settings, "config": config, "generation_config": file.ends()}
    for name, content in files.items():
        (into / f"{name}.json").write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
