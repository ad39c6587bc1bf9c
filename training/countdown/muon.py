"""Muon (Jordan et al. 2024) in float32.

`torch.optim.Muon` orthogonalises in bfloat16, which CPUs without that arithmetic emulate:
1.5 s a step for this model against 0.05 s here.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonal(g: torch.Tensor, iterations: int = 5) -> torch.Tensor:
    """Newton-Schulz: a stack of matrices (n, rows <= columns) to nearby orthogonal ones."""
    a, b, c = _COEFFICIENTS
    x = g / (g.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, then an orthogonal update scaled to AdamW's usual size."""

    def __init__(
        self,
        params: Iterable[torch.nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            shapes: dict[tuple[int, int], list[torch.nn.Parameter]] = {}
            for p in group["params"]:
                shapes.setdefault((min(p.shape), max(p.shape)), []).append(p)
            for (_, columns), params in shapes.items():
                updates = []
                for p in params:
                    assert p.grad is not None
                    state = self.state[p]
                    buffer = state.setdefault("momentum", torch.zeros_like(p))
                    buffer.lerp_(p.grad, 1 - group["momentum"])
                    update = p.grad.lerp(buffer, group["momentum"])
                    updates.append(update if p.shape[0] <= p.shape[1] else update.mT)
                for p, u in zip(params, orthogonal(torch.stack(updates)), strict=True):
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                    scaled = u if p.shape[0] <= p.shape[1] else u.mT
                    p.add_(scaled, alpha=-group["lr"] * 0.2 * columns**0.5)
