"""Where objects are, as one map of cells per noun: what the judge learns, and a side task of the reward."""

import torch
import torch.nn.functional as F

from backgrounds import SIZE
from vocabulary import CONCEPTS


def target_maps(scenes, stride):
    """Gaussians with peak 1 at the centre's cell, as wide as a sixth of the object: (scenes, nouns, cells, cells)."""
    cells = SIZE // stride
    maps = torch.zeros(len(scenes), len(CONCEPTS), cells, cells)
    rows, columns = torch.meshgrid(torch.arange(cells), torch.arange(cells), indexing="ij")
    for index, scene in enumerate(scenes):
        for placement in scene.placements:
            x, y = (min(cells - 1, max(0, int(v / stride))) for v in (placement.x, placement.y))
            width = placement.size / stride / 6
            peak = torch.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * width**2))
            maps[index, placement.concept] = torch.maximum(maps[index, placement.concept], peak)
    return maps


def centre_loss(logits, targets):
    """The focal loss of CenterNet (Zhou et al., 2019), alpha 2 and beta 4."""
    logits = logits.float()
    probability = logits.sigmoid()
    positive = (targets > 0.999).float()
    found = positive * (1 - probability) ** 2 * F.logsigmoid(logits)
    clear = (1 - positive) * (1 - targets) ** 4 * probability**2 * F.logsigmoid(-logits)
    return -(found + clear).sum() / positive.sum().clamp(min=1)
