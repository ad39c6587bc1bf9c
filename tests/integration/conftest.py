"""Real vLLM: replicas for the whole session, all from one launch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from tokenizers import Tokenizer

from byte_bpe import byte_bpe, words
from chat_templates import ENDS, QWEN
from weft.backends.local import launch as launching
from weft.backends.local.launch import LocalReplica, launch
from weft.backends.local.ports import free_ports
from weft.backends.local.shipped import shipped_model

KV_BYTES = 128 * 2**20

Fleet = dict[str, list[LocalReplica]]


@pytest.fixture(scope="session")
def countdown() -> Path:
    """The folder of the shipped model."""
    folder = shipped_model("countdown")
    assert folder is not None
    return folder


@pytest.fixture(scope="session")
def bpe_tokenizer() -> Tokenizer:
    """A tokenizer of real size."""
    return byte_bpe(words(30_000))


def write_bpe_model(folder: Path, tokenizer: Tokenizer) -> Path:
    """A model with this tokenizer, without weights."""
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "vocab_size": tokenizer.get_vocab_size(),
        "max_position_embeddings": 2048,
        "eos_token_id": tokenizer.token_to_id(ENDS["qwen"]),
        "tie_word_embeddings": True,
    }
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": ENDS["qwen"],
        "clean_up_tokenization_spaces": False,
        "chat_template": QWEN,
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def arguments(name: str, folder: Path) -> list[list[str]]:
    """What each replica behind a fixture is started with, beside what all are."""
    match name:
        case "replicas":
            return [[], []]
        case "small_replica":
            events, replay = free_ports(2)
            config = {
                "enable_kv_cache_events": True,
                "endpoint": f"tcp://*:{events}",
                "replay_endpoint": f"tcp://*:{replay}",
                "topic": "kv",
            }
            args = ["--num-gpu-blocks-override", "65"]  # one is vLLM's null block
            args += ["--prefix-caching-hash-algo", "sha256_cbor"]
            return [[*args, "--kv-events-config", json.dumps(config)]]
        case "bpe_replica":
            args = ["--model", str(folder), "--served-model-name", "bpe"]
            return [[*args, "--load-format", "dummy", "--trust-request-chat-template"]]
        case _:
            return [[]]


@pytest.fixture(scope="session")
def fleet(
    request: pytest.FixtureRequest, countdown: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    """The replicas that the chosen tests use, by the names of fixtures.

    Starting one is importing vLLM before all, and that is done once a launch.
    """
    chosen = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    names = [n for n in ("replicas", "victim", "small_replica", "bpe_replica") if n in chosen]
    folder = tmp_path_factory.mktemp("bpe")
    if "bpe_replica" in names:
        write_bpe_model(folder, request.getfixturevalue("bpe_tokenizer"))
    own = [(name, args) for name in names for args in arguments(name, folder)]
    shares = launching.shares

    def with_arguments(device: str, replicas: int) -> Iterator[tuple[list[int], Any, list[str]]]:
        for (cores, env, args), (_, more) in zip(shares(device, replicas), own, strict=True):
            yield cores, env, [*args, *more]

    told: list[str] = []
    with pytest.MonkeyPatch.context() as patch, start_blocking_portal() as portal:
        patch.setenv("WEFT_HOME", str(tmp_path_factory.mktemp("weft")))
        patch.setattr(launching, "shares", with_arguments)
        begun = launch(countdown, len(own), kv_cache_bytes=KV_BYTES, on_progress=told.append)
        with portal.wrap_async_context_manager(begun) as replicas:
            patch.undo()
            assert told[-1].startswith(f"{len(own)} of {len(own)} replicas ready")
            found: Fleet = {name: [] for name in names}
            for (name, _), replica in zip(own, replicas, strict=True):
                found[name].append(replica)
            yield found


@pytest.fixture(scope="session")
def replicas(fleet: Fleet) -> list[str]:
    """Addresses of two replicas that serve `countdown`."""
    return [one.url for one in fleet["replicas"]]


@pytest.fixture(scope="session")
def victim(fleet: Fleet) -> LocalReplica:
    """Another such replica, which one test may kill."""
    return fleet["victim"][0]


@pytest.fixture(scope="session")
def small_replica(fleet: Fleet) -> str:
    """The address of a replica whose cache holds 64 blocks of 32 tokens, and tells of them."""
    return fleet["small_replica"][0].url


@pytest.fixture(scope="session")
def bpe_replica(fleet: Fleet) -> str:
    """The address of a replica of a tiny random model with `bpe_tokenizer`."""
    return fleet["bpe_replica"][0].url
