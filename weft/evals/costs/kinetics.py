"""The Kinetics cost model: reading memory counts, not arithmetic alone (Sadhukhan et al. 2025).

Long answers and many samples are bound by attention, which reads the KV cache. So small models
that write much are dearer than their parameters say. Reading the weights is not counted: batches
share it. Nor is the computing of prompts.
"""

from __future__ import annotations

from typing import NamedTuple

from weft.backends.simulated.roofline import ModelShape
from weft.types import Usage

INTENSITY = 562.5
"""FLOP that an accelerator does while it reads a byte: a B200's 2.25e15 FLOP/s by 4e12 byte/s."""


class KineticsCost(NamedTuple):
    """What answers cost.

    Attributes:
        compute: arithmetic, in FLOP.
        memory: KV cache that is read, in bytes.
    """

    compute: float
    memory: float

    @property
    def eflops(self) -> float:
        """Both in FLOP: the reading as what could be computed meanwhile."""
        return self.compute + INTENSITY * self.memory


def kinetics_cost(
    shape: ModelShape, prompt: float, generated: float, trials: float = 1
) -> KineticsCost:
    """The cost of some answers to one prompt, which is read once for all of them.

    Args:
        shape: of the model.
        prompt: tokens of it.
        generated: tokens of each answer.
        trials: how many answers.
    """
    written = generated**2 / 2  # each token attends to all before it
    attention = shape.pair_flops * (prompt * generated + written)
    compute = trials * (2 * shape.active * generated + attention)
    return KineticsCost(compute, shape.kv_token * (prompt * generated + trials * written))


def usage_cost(shape: ModelShape, usage: Usage) -> KineticsCost:
    """The cost of a question's calls, as if all were alike, and went on from one prompt.

    Args:
        shape: of the model.
        usage: of all calls for a question.
    """
    if not usage.calls:
        return KineticsCost(0.0, 0.0)
    calls = usage.calls
    return kinetics_cost(shape, usage.prompt / calls, usage.generated / calls, calls)
