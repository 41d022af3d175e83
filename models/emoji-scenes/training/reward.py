"""The reward: a small network that scores how clean a picture is and how well it fits its prompt.

Trained as preference models are, on pairs: the picture of a scene with its caption ranks above the same picture
blurred, noised or mixed with another, above a sample that few steps drew for the caption, and above the picture
with a wrong caption.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from autoencoder import load_pixels
from fused_group_norm import fuse
from render import load_scenes
from tokenizer import MAX_LENGTH, load_tokenizer, tokenize
from training_loop import Task, add_arguments, options_from, train
from vocabulary import COLORS, CONCEPTS, NUMBERS, PATTERNS

HELD_OUT = 512
WIDTH = 96


class _Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.convolution = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x):
        return x + self.convolution(F.silu(self.norm(x)))


class Reward(nn.Module):
    def __init__(self, vocabulary_size, text_width=64):
        super().__init__()
        self.padding_id = vocabulary_size - 1
        self.fine = nn.Sequential(nn.Conv2d(3, 24, 3, 2, 1), _Residual(24))
        self.middle = nn.Sequential(nn.Conv2d(24, 48, 3, 2, 1), _Residual(48))
        self.coarse = nn.Sequential(nn.Conv2d(48, WIDTH, 3, 2, 1), _Residual(WIDTH), _Residual(WIDTH))
        self.tokens = nn.Embedding(vocabulary_size, text_width)
        self.neighbours = nn.Conv1d(text_width, text_width, 5, padding=2)
        self.query = nn.Linear(text_width, WIDTH)
        self.key, self.value = nn.Conv2d(WIDTH, WIDTH, 1), nn.Conv2d(WIDTH, WIDTH, 1)
        self.match = nn.Sequential(nn.Linear(text_width + WIDTH, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH), nn.SiLU())
        pooled = 2 * WIDTH + 24 + 48
        self.score = nn.Sequential(nn.Linear(pooled, WIDTH), nn.SiLU(), nn.Linear(WIDTH, 1))

    def forward(self, pixel_values, input_ids):
        """(batch, 3, 96, 96) in -1..1 and (batch, length) -> (batch,)."""
        fine = self.fine(pixel_values)
        middle = self.middle(F.silu(fine))
        coarse = F.silu(self.coarse(F.silu(middle)))

        embedded = self.tokens(input_ids)
        text = embedded + F.silu(self.neighbours(embedded.transpose(1, 2)).transpose(1, 2))
        attention = (self.query(text) @ self.key(coarse).flatten(2)) * WIDTH**-0.5  # (batch, length, cells)
        seen = attention.softmax(-1) @ self.value(coarse).flatten(2).transpose(1, 2)
        matched = self.match(torch.cat([text, seen], -1))
        mask = (input_ids != self.padding_id).to(matched.dtype).unsqueeze(-1)
        matched = (matched * mask).sum(1) / mask.sum(1).clamp(min=1)

        levels = [F.silu(fine).mean((2, 3)), F.silu(middle).mean((2, 3)), coarse.mean((2, 3))]
        return self.score(torch.cat([matched, *levels], -1)).squeeze(-1)


def _blur(images, strength):
    """Gaussian blur; strength (batch,) in 0..1 is a deviation of 0.4 to 2 pixels."""
    offsets = torch.arange(-5, 6, dtype=torch.float32)
    kernels = torch.exp(-0.5 * (offsets / (0.4 + 1.6 * strength)[:, None]) ** 2)
    kernels = (kernels / kernels.sum(1, keepdim=True)).repeat_interleave(3, 0)
    x = images.reshape(1, -1, *images.shape[2:])
    x = F.conv2d(F.pad(x, (5, 5, 0, 0), "reflect"), kernels[:, None, None, :], groups=x.shape[1])
    x = F.conv2d(F.pad(x, (0, 0, 5, 5), "reflect"), kernels[:, None, :, None], groups=x.shape[1])
    return x.reshape(images.shape)


def degrade(images, strength):
    """One random degradation per image, heavier with strength (batch,) in 0..1."""
    s = strength.view(-1, 1, 1, 1)
    shifted = torch.roll(images, (int(torch.randint(-9, 10, ())), int(torch.randint(3, 10, ()))), (2, 3))
    options = torch.stack([
        _blur(images, strength),
        images + (0.03 + 0.25 * s) * torch.randn_like(images),
        images + (0.12 + 0.4 * s) * F.interpolate(torch.randn(len(images), 3, 24, 24), scale_factor=4, mode="bilinear"),
        torch.lerp(images, images.roll(1, 0), 0.12 + 0.38 * s),
        torch.lerp(images, shifted, 0.15 + 0.35 * s),
    ])
    chosen = torch.randint(len(options), (len(images),))
    return options[chosen, torch.arange(len(images))].clamp(-1, 1)


class CaptionEditor:
    """Makes a wrong caption: swaps one noun, colour, pattern or number for another of its kind."""

    def __init__(self):
        kinds = [[c.noun for c in CONCEPTS], [c.plural for c in CONCEPTS], list(COLORS), PATTERNS, list(NUMBERS.values())]
        self.alternatives = {word: kind for kind in reversed(kinds) for word in kind}

    def edit(self, caption, generator):
        words = caption.replace(",", " ,").split()
        places = [i for i, word in enumerate(words) if word in self.alternatives]
        if places:
            place = int(generator.choice(places))
            words[place] = str(generator.choice([w for w in self.alternatives[words[place]] if w != words[place]]))
        return " ".join(words).replace(" ,", ",")


class RewardTask(Task):
    def __init__(self, scenes, data, few_step, tokenizer):
        self.scenes_path, self.data, self.few_step, self.tokenizer = scenes, data, few_step, tokenizer
        self.vocabulary_size = len(load_tokenizer(tokenizer))

    def network(self):
        return fuse(Reward(self.vocabulary_size))

    def prepare(self, device):
        self.device = device
        self.images = np.load(self.data / "reconstructions.npy", mmap_mode="r")
        self.ids = torch.load(self.data / "ids.pt").long()
        self.captions = [scene.caption for scene in load_scenes(self.scenes_path / "scenes.jsonl")[: len(self.images)]]
        self.tokens, self.editor = load_tokenizer(self.tokenizer), CaptionEditor()
        samples = np.load(self.few_step)
        self.samples, self.sample_scenes = samples["images"], samples["scenes"]

    def _pairs(self, network, scenes, sample_rows):
        """Returns margins (better minus worse) by kind for pictures of `scenes` and for few-step samples."""
        x, ids = load_pixels(self.images, scenes), self.ids[scenes]
        generator = np.random.default_rng(int(torch.randint(2**31, ())))
        light = 0.5 * torch.rand(len(x))
        heavy = light + 0.5 * torch.rand(len(x))
        edited = tokenize(self.tokens, [self.editor.edit(self.captions[i], generator) for i in scenes])
        drawn = self.sample_scenes[sample_rows]
        state = torch.get_rng_state()
        lightly = degrade(x, light)
        torch.set_rng_state(state)
        heavily = degrade(x, heavy)
        images = [x, lightly, heavily, x, x, load_pixels(self.images, drawn), load_pixels(self.samples, sample_rows)]
        texts = [ids, ids, ids, ids.roll(1, 0), edited, self.ids[drawn], self.ids[drawn]]
        with torch.autocast(self.device, dtype=torch.bfloat16):
            scores = network(torch.cat(images).to(self.device), torch.cat(texts).to(self.device)).float()
        clean, light, heavy, other, wrong, real, sample = scores.split([len(part) for part in images])
        return {"degraded": clean - light, "order": light - heavy, "other_caption": clean - other,
                "edited_caption": clean - wrong, "few_step": real - sample}

    def loss(self, network, batch, progress):
        scenes = np.random.default_rng(int(torch.randint(2**31, ()))).integers(HELD_OUT, len(self.images), batch)
        rows = torch.randint(len(self.samples) // 8, len(self.samples), (batch,)).numpy()
        return sum(-F.logsigmoid(margin).mean() for margin in self._pairs(network, scenes, rows).values())

    def validate(self, network):
        with torch.inference_mode():
            margins = self._pairs(network, np.arange(HELD_OUT), np.arange(len(self.samples) // 8))
        return {name: (margin > 0).float().mean().item() for name, margin in margins.items()}


def load_reward(path, vocabulary_size, device="cpu", fused=True):
    reward = fuse(Reward(vocabulary_size)) if fused else Reward(vocabulary_size)
    reward.load_state_dict(torch.load(path, map_location=device)["average"])
    return reward.to(device).eval().requires_grad_(False)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder written by encode_latents.py")
    parser.add_argument("--few-step", type=Path, required=True, help="file written by few_step_samples.py")
    parser.add_argument("--tokenizer", type=Path, required=True)
    add_arguments(parser, minutes=8.0, batch=24, muon_lr=1e-3, processes=1)
    arguments = parser.parse_args()
    task = RewardTask(arguments.scenes, arguments.data, arguments.few_step, arguments.tokenizer)
    train(task, options_from(arguments))


if __name__ == "__main__":
    main()
