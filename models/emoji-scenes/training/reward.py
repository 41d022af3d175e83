"""The reward: a small network that scores how clean a picture is and how well it fits its prompt.

Trained as preference models are, on pairs: the picture of a scene with its caption ranks above the same picture
blurred, noised or mixed with another, and above the picture with a wrong caption; a sample of many steps ranks above
the sample that few steps draw from the same noise. Pictures that nobody can tell apart are ties: a reward that told
them apart would pay for steps that nobody sees.
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
from tokenizer import MAX_LENGTH, load_tokenizer, tokenize
from training_loop import Task, add_arguments, options_from, train
from vocabulary import COLORS, CONCEPTS, NUMBERS, PATTERNS

HELD_OUT = 512
WIDTH = 96
# Side of a cell of the coarse features, in pixels.
STRIDE = 8
# Two versions of a picture are a tie from TIE_DB of PSNR on, and clearly different below CLEAR_DB.
TIE_DB, CLEAR_DB = 36.0, 26.0
# Weight of the side task that teaches the features where objects are.
OBJECTS_WEIGHT = 0.3


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
        self.objects = nn.Conv2d(WIDTH, len(CONCEPTS), 1)
        nn.init.constant_(self.objects.bias, -4.0)
        pooled = 2 * WIDTH + 24 + 48
        self.score = nn.Sequential(nn.Linear(pooled, WIDTH), nn.SiLU(), nn.Linear(WIDTH, 1))

    def features(self, pixel_values):
        """(batch, 3, 96, 96) in -1..1 -> maps of 48 x 48, 24 x 24 and 12 x 12 cells."""
        fine = self.fine(pixel_values)
        middle = self.middle(F.silu(fine))
        return fine, middle, F.silu(self.coarse(F.silu(middle)))

    def forward(self, pixel_values, input_ids):
        """(batch, 3, 96, 96) in -1..1 and (batch, length) -> (batch,)."""
        return self.score_features(*self.features(pixel_values), input_ids)

    def score_features(self, fine, middle, coarse, input_ids):
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


def preference(better, worse):
    """Probability, from 0.5 to 1, that people prefer `better` (batch, 3, H, W) in -1..1 to its version `worse`."""
    decibel = 10 * torch.log10(4 / (better - worse).square().mean((1, 2, 3)).clamp(min=1e-8))
    return 0.5 + 0.5 * ((TIE_DB - decibel) / (TIE_DB - CLEAR_DB)).clamp(0, 1)


class RewardTask(Task):
    def __init__(self, scenes, data, step_pairs, tokenizer):
        self.scenes_path, self.data, self.step_pairs, self.tokenizer = scenes, data, step_pairs, tokenizer
        self.vocabulary_size = len(load_tokenizer(tokenizer))

    def network(self):
        return fuse(Reward(self.vocabulary_size))

    def prepare(self, device):
        self.device = device
        self.pixels = np.load(self.scenes_path / "pixels.npy", mmap_mode="r")
        self.reconstructions = np.load(self.data / "reconstructions.npy", mmap_mode="r")
        self.ids = torch.load(self.data / "ids.pt").long()
        self.scenes = load_scenes(self.scenes_path / "scenes.jsonl")
        self.tokens, self.editor = load_tokenizer(self.tokenizer), CaptionEditor()
        pairs = np.load(self.step_pairs)
        self.few, self.full, self.pair_scenes = pairs["few"], pairs["full"], pairs["scenes"]
        self.held_out_pairs = len(self.few) // 8

    def _pairs(self, network, x, scenes, pair_rows):
        """For pictures `x` of `scenes` and for pairs of samples: margin (better minus worse) and the share of people
        who should prefer the better, by kind; and the loss of the side task."""
        ids = self.ids[scenes]
        generator = np.random.default_rng(int(torch.randint(2**31, ())))
        light = 0.5 * torch.rand(len(x))
        heavy = light + 0.5 * torch.rand(len(x))
        edited = tokenize(self.tokens, [self.editor.edit(self.scenes[i].caption, generator) for i in scenes])
        state = torch.get_rng_state()
        lightly = degrade(x, light)
        torch.set_rng_state(state)
        heavily = degrade(x, heavy)
        few, full = load_pixels(self.few, pair_rows), load_pixels(self.full, pair_rows)
        drawn = self.ids[self.pair_scenes[pair_rows]]
        images = [x, lightly, heavily, full, few]
        counts = [len(part) for part in images]
        with torch.autocast(self.device, dtype=torch.bfloat16):
            features = network.features(torch.cat(images).to(self.device))
            maps = network.objects(features[2][: len(x)])
            parts = list(zip(*(level.split(counts) for level in features)))
            # Wrong captions are scored on the features that are there already.
            levels = [torch.cat(level) for level in zip(*parts, parts[0], parts[0], parts[3])]
            texts = [ids, ids, ids, drawn, drawn, ids.roll(1, 0), edited, drawn.roll(1, 0)]
            scores = network.score_features(*levels, torch.cat(texts).to(self.device)).float()
        clean, light, heavy, full_score, few_score, other, wrong, other_drawn = scores.split([len(t) for t in texts])
        one = torch.ones(())
        pairs = {
            "degraded": (clean - light, preference(x, lightly)),
            "order": (light - heavy, preference(lightly, heavily)),
            "other_caption": (clean - other, one.expand(len(x))),
            "edited_caption": (clean - wrong, one.expand(len(x))),
            "other_caption_of_sample": (full_score - other_drawn, one.expand(len(full))),
            "few_steps": (full_score - few_score, preference(full, few)),
        }
        targets = target_maps([self.scenes[i] for i in scenes], STRIDE).to(self.device)
        return pairs, centre_loss(maps, targets)

    def loss(self, network, batch, progress):
        """Half of the pictures are renderings, half reconstructions."""
        generator = np.random.default_rng(int(torch.randint(2**31, ())))
        real = generator.integers(HELD_OUT, len(self.pixels), batch // 2)
        coded = generator.integers(HELD_OUT, len(self.reconstructions), batch - batch // 2)
        x = torch.cat([load_pixels(self.pixels, real), load_pixels(self.reconstructions, coded)])
        rows = generator.integers(self.held_out_pairs, len(self.few), batch // 2)
        pairs, side = self._pairs(network, x, np.concatenate([real, coded]), rows)
        losses = [F.binary_cross_entropy_with_logits(margin, share.to(margin.device)) for margin, share in pairs.values()]
        return sum(losses) + OBJECTS_WEIGHT * side

    def validate(self, network):
        """The share of pairs ranked right, ties left out; for ties of few and many steps, the mean distance."""
        with torch.inference_mode():
            x = load_pixels(self.reconstructions, np.arange(HELD_OUT))
            pairs, _ = self._pairs(network, x, np.arange(HELD_OUT), np.arange(self.held_out_pairs))
        figures = {name: (margin[share.to(margin.device) > 0.75] > 0).float().mean().item() for name, (margin, share) in pairs.items()}
        margin, share = pairs["few_steps"]
        figures["ties"] = margin[share.to(margin.device) < 0.55].abs().mean().item()
        return figures


def load_reward(path, vocabulary_size, device="cpu", fused=True):
    reward = fuse(Reward(vocabulary_size)) if fused else Reward(vocabulary_size)
    reward.load_state_dict(torch.load(path, map_location=device)["average"])
    return reward.to(device).eval().requires_grad_(False)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder written by encode_latents.py")
    parser.add_argument("--step-pairs", type=Path, required=True, help="file written by step_pairs.py")
    parser.add_argument("--tokenizer", type=Path, required=True)
    add_arguments(parser, minutes=8.0, batch=24, muon_lr=1e-3, processes=1)
    arguments = parser.parse_args()
    task = RewardTask(arguments.scenes, arguments.data, arguments.step_pairs, arguments.tokenizer)
    train(task, options_from(arguments))


if __name__ == "__main__":
    main()
