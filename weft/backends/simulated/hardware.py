"""Hardware by name: GPUs, models, and lines fitted to measurements."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from weft.backends.simulated.roofline import Gpu, ModelShape, Roofline
from weft.backends.simulated.step_time import Hardware, Linear
from weft.errors import UnknownName, UsageError

__all__ = [
    "CPU34M",
    "GPUS",
    "LINES",
    "MODELS",
    "Gpu",
    "Hardware",
    "Linear",
    "ModelShape",
    "Roofline",
    "find_hardware",
]

GPUS: Mapping[str, Gpu] = MappingProxyType(
    {
        gpu.name: gpu
        for gpu in (
            Gpu("a100", 312e12, 2.039e12, 80e9),
            Gpu("b200", 2250e12, 7.7e12, 180e9),
            Gpu("h100", 989e12, 3.35e12, 80e9),
            Gpu("h200", 989e12, 4.8e12, 141e9),
            Gpu("l4", 121e12, 0.3e12, 24e9),
            Gpu("l40s", 362e12, 0.864e12, 48e9),
            Gpu("mi300x", 1307e12, 5.3e12, 192e9),
        )
    }
)
"""GPUs by name: NVIDIA's and AMD's datasheets, without sparsity; SXM where there is a choice."""

MODELS: Mapping[str, ModelShape] = MappingProxyType(
    {
        model.name: model
        for model in (
            ModelShape("llama-3.1-8b", 8.03e9, 8.03e9, 32, 32, 8, 128),
            ModelShape("llama-3.1-70b", 70.6e9, 70.6e9, 80, 64, 8, 128),
            ModelShape("qwen3-8b", 8.19e9, 8.19e9, 36, 32, 8, 128),
            ModelShape("qwen3-32b", 32.8e9, 32.8e9, 64, 64, 8, 128),
            ModelShape("qwen3-30b-a3b", 30.5e9, 3.3e9, 48, 32, 4, 128, 128, 8),
            ModelShape("qwen3-coder-30b-a3b", 30.5e9, 3.3e9, 48, 32, 4, 128, 128, 8),
            ModelShape("qwen3-235b-a22b", 235e9, 22e9, 94, 64, 4, 128, 128, 8),
        )
    }
)
"""Models by name, after their published configurations and model cards; weights in BF16."""

CPU34M = Linear(
    "cpu34m",
    kv_tokens=259 * 32,
    fixed=0.004645,
    prefill_token=0.000331,
    prompt=0.0151,
    decode=0.000593,
)
"""A Llama of 34M weights in vLLM 0.32's CPU build, one core, blocks of 32.

`fixed` and `decode` are the least squares of the relative error over the step times of
decoding, 1/181, 8/913, 32/1477 and 64/1280 s at 1, 8, 32 and 64 sequences (residuals of -5, +7,
+9 and -15%). `prefill_token` is the difference of the times to the first token, 516 ms cold
and 29 ms cached at 1500 prompt tokens, over the 1472 that were cached. `prompt` is what remains
of the 29 ms: 29 ms - fixed - 28 prefill_token. Measured contexts were too short for a
`context_token`.
"""

LINES: Mapping[str, Linear] = MappingProxyType({CPU34M.name: CPU34M})
"""Fitted lines by name."""


def find_hardware(gpu: str, model: str = "llama-3.1-8b", parallel: int = 1) -> Hardware:
    """Hardware by name.

    Args:
        gpu: one of `GPUS`, or of `LINES`, whose model is part of them.
        model: one of `MODELS`.
        parallel: tensor parallel degree.

    Raises:
        UnknownName: there is no such GPU or model.
        UsageError: the model does not fit.
    """
    if gpu in LINES:
        return LINES[gpu]
    if gpu not in GPUS:
        raise UnknownName("GPU", gpu, [*GPUS, *LINES])
    if model not in MODELS:
        raise UnknownName("simulated model", model, MODELS)
    if parallel < 1:
        raise UsageError(f"parallel={parallel} must be at least 1")
    return Roofline(GPUS[gpu], MODELS[model], parallel)
