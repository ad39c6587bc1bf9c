"""Rooflines: how long steps take for a model on GPUs, from published specifications."""

from __future__ import annotations

import math
from dataclasses import dataclass

from weft.backends.simulated.step_time import Hardware, ramp
from weft.errors import UsageError


@dataclass(frozen=True, slots=True)
class Gpu:
    """What a vendor's datasheet says of a GPU.

    Attributes:
        flops: dense BF16 operations a second.
        bandwidth: bytes of memory read a second.
        memory: bytes.
    """

    name: str
    flops: float
    bandwidth: float
    memory: float


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What a model's configuration says that matters for its speed.

    Attributes:
        name: for people.
        params: all weights.
        active: weights used for one token; fewer than `params` in mixtures of experts.
        layers, heads, kv_heads, head_dim: of its attention.
        experts, chosen: experts in a layer, and how many a token goes through; 1 if dense.
        weight_bytes: bytes a weight.
        kv_bytes: bytes an element of the KV cache.
    """

    name: str
    params: float
    active: float
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    experts: int = 1
    chosen: int = 1
    weight_bytes: float = 2.0
    kv_bytes: float = 2.0

    @property
    def kv_token(self) -> float:
        """Bytes of KV cache a token."""
        return 2 * self.layers * self.kv_heads * self.head_dim * self.kv_bytes

    @property
    def pair_flops(self) -> float:
        """Operations of attention for one token that attends to one token."""
        return 4.0 * self.layers * self.heads * self.head_dim

    def weights_read(self, tokens: int) -> float:
        """Bytes of weights that a step of so many tokens reads.

        Each token goes to `chosen` of the experts, taken as drawn evenly and independently.
        """
        if self.experts == self.chosen:
            return self.params * self.weight_bytes
        share = self.chosen / self.experts
        routed = (self.params - self.active) / (1.0 - share)  # weights of all experts
        touched = 1.0 - (1.0 - share) ** tokens
        return (self.params - routed + routed * touched) * self.weight_bytes


class Roofline(Hardware):
    """A model on GPUs after the roofline model (Williams, Waterman and Patterson 2009).

    A step takes as long as its arithmetic or its memory traffic, whichever is longer, and an
    overhead. Arithmetic is 2 operations a token and active weight, and attention; traffic is
    the weights, once a step, and the KV cache of every sequence. Tensor parallelism divides
    both; its communication is not modelled, nor is pipeline or expert parallelism.

    The efficiencies and the overhead are assumptions, chosen in the middle of what is commonly
    reported for tuned serving kernels: fit them where measurements exist.

    Args:
        gpu: which.
        model: which.
        parallel: tensor parallel degree.
        compute_efficiency: share of the peak arithmetic rate that is reached.
        bandwidth_efficiency: share of the peak memory bandwidth that is reached.
        overhead: seconds of every step for scheduling, launching and sampling.
        memory_share: share of the memory for weights and KV cache (vLLM's default is 0.9).

    Raises:
        UsageError: the model does not fit.
    """

    def __init__(
        self,
        gpu: Gpu,
        model: ModelShape,
        parallel: int = 1,
        *,
        compute_efficiency: float = 0.55,
        bandwidth_efficiency: float = 0.8,
        overhead: float = 0.002,
        memory_share: float = 0.9,
    ) -> None:
        self.gpu, self.model, self.parallel, self.overhead = gpu, model, parallel, overhead
        self.name = (
            f"{model.name} on {parallel} {gpu.name}"
            if parallel > 1
            else (f"{model.name} on {gpu.name}")
        )
        weights = model.params * model.weight_bytes
        room = memory_share * gpu.memory * parallel - weights
        self.kv_tokens = int(room / model.kv_token)
        if self.kv_tokens <= 0:
            least = math.ceil(weights / (memory_share * gpu.memory))
            raise UsageError(
                f"the weights of {model.name} take {weights / 1e9:.0f} GB, which {parallel} "
                f"{gpu.name} can't hold; use a tensor parallel degree above {least - 1}"
            )
        rate = gpu.flops * compute_efficiency * parallel
        bandwidth = gpu.bandwidth * bandwidth_efficiency * parallel
        self._token = 2.0 * model.active / rate
        self._pair = model.pair_flops / rate
        self._kv = model.kv_token / bandwidth
        self._byte = 1.0 / bandwidth

    def step_seconds(
        self, prefill: int, attended: int, decodes: int, context: int, prompts: int = 1
    ) -> float:
        """Seconds of one step."""
        tokens = prefill + decodes
        compute = self._token * tokens + self._pair * attended
        memory = self.model.weights_read(tokens) * self._byte + self._kv * context
        return max(compute, memory) + self.overhead

    def decode_seconds(self, decodes: int, context: int, steps: int) -> float:
        """Seconds of steps of decoding: both limits are lines, so their maximum is two ramps."""
        compute = self._token * decodes + self._pair * context
        memory = self.model.weights_read(decodes) * self._byte + self._kv * context
        more_compute, more_memory = self._pair * decodes, self._kv * decodes
        gap, narrowing = compute - memory, more_memory - more_compute
        crossing = steps
        if gap * narrowing > 0:
            crossing = min(steps, math.ceil(gap / narrowing))
        if gap < 0 or (gap == 0 and narrowing > 0):
            compute, memory = memory, compute
            more_compute, more_memory = more_memory, more_compute
        # `compute` is the longer of the two up to the crossing.
        total = ramp(compute, more_compute, crossing)
        if crossing < steps:
            total += ramp(memory + crossing * more_memory, more_memory, steps - crossing)
        return total + self.overhead * steps
