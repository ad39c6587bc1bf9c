"""How large a model is, where its configuration lies on this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from weft.backends.local.packaged import MODELS, folder_of
from weft.backends.local.shipped import shipped_model
from weft.backends.simulated.roofline import ModelShape


def shape_from(config: Mapping[str, Any], name: str = "") -> ModelShape | None:
    """The shape of a decoder that a Hugging Face `config.json` describes.

    Counted are embeddings, attention and gated feed-forward layers, as Llama, Mistral and Qwen
    have them. None is given where a number is missing.

    Args:
        config: what is in the file.
        name: of the model, for people.
    """
    config = config.get("text_config", config)
    try:
        layers, hidden, heads, vocabulary, inner = (
            int(config[name])
            for name in (
                "num_hidden_layers",
                "hidden_size",
                "num_attention_heads",
                "vocab_size",
                "intermediate_size",
            )
        )
        grouped = int(config.get("num_key_value_heads") or heads)
        size = int(config.get("head_dim") or hidden // heads)
        chosen = int(config.get("num_experts_per_tok") or 1)
        experts = int(config.get("num_experts") or config.get("num_local_experts") or 1)
        inner = int(config.get("moe_intermediate_size") or inner)
    except (KeyError, TypeError, ValueError):
        return None
    embeddings = vocabulary * hidden * (1 if config.get("tie_word_embeddings") else 2)
    attention = 2 * hidden * size * (heads + grouped)
    all_weights, active = (
        float(embeddings + layers * (attention + 3 * hidden * inner * many))
        for many in (max(experts, chosen), chosen)
    )
    return ModelShape(
        name, all_weights, active, layers, heads, grouped, size, max(experts, chosen), chosen
    )


def find_shape(names: Iterable[str]) -> ModelShape | None:
    """The shape of the first model whose configuration is found; None if none is.

    Looked at are folders, the models that come with weft, and the cache of the Hugging Face hub.
    Nothing is downloaded.

    Args:
        names: of a model, as an engine's spec or a server may have them.
    """
    for name in names:
        for path in _places(name):
            try:
                config: Any = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
            if not isinstance(config, dict):
                continue
            if (shape := shape_from(cast("dict[str, Any]", config), name)) is not None:
                return shape
    return None


def _places(name: str) -> Iterable[Path]:
    """Where a model's configuration may lie."""
    yield Path(name).expanduser() / "config.json"
    if (folder := shipped_model(name)) is not None:
        yield folder / "config.json"
    if name in MODELS:
        yield folder_of(name) / "config.json"
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    cached = home / "hub" / f"models--{name.replace('/', '--')}" / "snapshots"
    yield from sorted(cached.glob("*/config.json"))
