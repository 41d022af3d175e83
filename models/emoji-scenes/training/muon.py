"""Muon for matrices and convolutions, AdamW for everything else.

Muon (Jordan et al., 2024) replaces the momentum of a matrix by its nearest orthogonal matrix. The update is
scaled to the root mean square of an AdamW update, so that both optimizers share a learning rate scale.
"""

import torch

# Quintic Newton-Schulz coefficients of the reference implementation of Muon.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_ITERATIONS = 5
ADAMW_UPDATE_RMS = 0.2

# Layers at the edge of a network, where single rows have a meaning of their own, train with AdamW.
EDGE_LAYERS = ("conv_in", "conv_out", "embedding", "quant_conv")


def orthogonalize(matrices):
    """(count, rows, columns) -> the same shape, singular values near 1."""
    a, b, c = NEWTON_SCHULZ
    x = matrices.bfloat16()
    transposed = x.size(-2) > x.size(-1)
    if transposed:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(NEWTON_SCHULZ_ITERATIONS):
        gram = x @ x.mT
        x = a * x + torch.baddbmm(gram, gram, gram, beta=b, alpha=c) @ x
    return x.mT if transposed else x


class Muon(torch.optim.Optimizer):
    """Matrices of one shape are orthogonalized in one batch."""

    def __init__(self, parameters, lr=1e-3, momentum=0.95, weight_decay=0.0):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            by_shape = {}
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                update = parameter.grad.lerp(state["momentum"], group["momentum"])
                shape = (parameter.shape[0], parameter[0].numel())
                by_shape.setdefault(shape, []).append((parameter, update))
            for (rows, columns), entries in by_shape.items():
                stacked = torch.stack([update.reshape(rows, columns) for _, update in entries])
                updates = orthogonalize(stacked).float() * (ADAMW_UPDATE_RMS * max(rows, columns) ** 0.5)
                for (parameter, _), update in zip(entries, updates):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(update.view_as(parameter), alpha=-group["lr"])


def make_optimizers(named_parameters, muon_lr, adamw_lr, weight_decay=0.01):
    """Splits the parameters by shape and name; returns [Muon, AdamW], each group with its `base_lr`."""
    matrices, others = [], []
    for name, parameter in named_parameters:
        is_matrix = parameter.ndim >= 2 and min(parameter.shape[0], parameter[0].numel()) >= 8
        is_edge = any(edge in name for edge in EDGE_LAYERS)
        (matrices if is_matrix and not is_edge else others).append(parameter)
    optimizers = [
        Muon(matrices, muon_lr, weight_decay=weight_decay),
        torch.optim.AdamW(others, adamw_lr, betas=(0.9, 0.99), weight_decay=0.0),
    ]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["base_lr"] = group["lr"]
    return optimizers


def scale_learning_rates(optimizers, factor):
    """Sets every group's learning rate to `factor` times its base."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = factor * group["base_lr"]
