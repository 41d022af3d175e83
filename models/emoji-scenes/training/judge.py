"""The judge: finds objects in a picture, and says whether they are those that a prompt names.

A convolutional network marks the centres of objects, one map of 24 x 24 cells per noun, and is trained on
rendered scenes and their reconstructions. It only evaluates; no other network is trained with it.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from autoencoder import load_pixels
from fused_group_norm import fuse
from object_maps import centre_loss, target_maps
from render import load_scenes
from training_loop import Task, add_arguments, options_from, train
from vocabulary import CONCEPTS

STRIDE = 4
THRESHOLD = 0.35


def _block(inputs, outputs, stride=1, dilation=1):
    convolution = nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(8, outputs), nn.ReLU())


class Judge(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.stem = nn.Sequential(_block(3, 32, 2), _block(32, 64, 2), _block(64, width))
        self.body = nn.ModuleList(_block(width, width, dilation=d) for d in (1, 2, 4, 2, 1))
        self.head = nn.Conv2d(width, len(CONCEPTS), 1)
        nn.init.constant_(self.head.bias, -4.0)

    def forward(self, images):
        """(batch, 3, 96, 96) in -1..1 -> logits (batch, nouns, 24, 24)."""
        x = self.stem(images)
        for layer in self.body:
            x = x + layer(x)
        return self.head(x)


@torch.inference_mode()
def count_objects(judge, images, batch=128):
    """Returns int64 (count, nouns): the local maxima above the threshold."""
    counts = []
    for part in images.split(batch):
        scores = judge(part).float().sigmoid()
        peaks = (scores == F.max_pool2d(scores, 5, 1, 2)) & (scores > THRESHOLD)
        counts.append(peaks.sum((2, 3)).cpu())
    return torch.cat(counts)


def verdicts(counts, scenes):
    """Per scene: whether every named word has all its objects (found), and whether no count differs (exact)."""
    found, exact = [], []
    for row, scene in zip(counts.tolist(), scenes):
        named = {}
        for index, concept in enumerate(CONCEPTS):
            words = [word for word, _ in scene.required]
            word = concept.noun if concept.noun in words else concept.category if concept.category in words else None
            named[word] = named.get(word, 0) + row[index]
        found.append(all(named.get(word, 0) >= count for word, count in scene.required))
        exact.append(all(named.get(word, 0) == count for word, count in scene.required) and not named.get(None, 0))
    return np.array(found), np.array(exact)


class JudgeTask(Task):
    def __init__(self, scenes, reconstructions):
        self.scenes_path, self.reconstructions_path = scenes, reconstructions

    def network(self):
        return fuse(Judge())

    def prepare(self, device):
        self.device = device
        self.pixels = np.load(self.scenes_path / "pixels.npy", mmap_mode="r")
        self.reconstructions = np.load(self.reconstructions_path, mmap_mode="r")
        self.scenes = load_scenes(self.scenes_path / "scenes.jsonl")

    def loss(self, network, batch, progress):
        real = np.random.default_rng(int(torch.randint(2**31, ()))).integers(512, len(self.pixels), batch // 2)
        coded = 512 + real[: batch - batch // 2] % (len(self.reconstructions) - 512)
        x = torch.cat([load_pixels(self.pixels, real), load_pixels(self.reconstructions, coded)])
        x = x + 0.08 * torch.rand(batch, 1, 1, 1) * torch.randn_like(x)
        targets = target_maps([self.scenes[i] for i in (*real, *coded)], STRIDE)
        with torch.autocast(self.device, dtype=torch.bfloat16):
            logits = network(x.to(self.device))
        return centre_loss(logits, targets.to(self.device))

    def validate(self, network):
        x = load_pixels(self.reconstructions, slice(0, 512)).to(self.device)
        scenes = self.scenes[:512]
        figures = {}
        found, exact = verdicts(count_objects(network, x), scenes)
        for kind in ("icon", "one", "two", "three", "four", "five"):
            chosen = np.array([scene.kind == kind for scene in scenes])
            figures[f"{kind}_found"], figures[f"{kind}_exact"] = float(found[chosen].mean()), float(exact[chosen].mean())
        return figures


def load_judge(path, device="cpu"):
    judge = fuse(Judge())
    judge.load_state_dict(torch.load(path, map_location=device)["average"])
    return judge.to(device).eval().requires_grad_(False)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--reconstructions", type=Path, required=True)
    add_arguments(parser, minutes=8.0, batch=32, muon_lr=1e-3, processes=1)
    arguments = parser.parse_args()
    train(JudgeTask(arguments.scenes, arguments.reconstructions), options_from(arguments))


if __name__ == "__main__":
    main()
