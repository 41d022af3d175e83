"""Trains text encoder and UNet on the latents of `encode_latents.py`: v prediction, min-SNR weights."""

import argparse
from pathlib import Path

import numpy as np
import torch

from networks import Diffusion, make_scheduler, start_from
from render import load_scenes, parse_shares
from tokenizer import load_tokenizer, tokenize
from training_loop import Task, add_arguments, options_from, train

HELD_OUT = 512
SIGNAL_TO_NOISE_LIMIT = 5.0
# From this timestep on the network decides what is where; below it draws.
HIGH_NOISE = 400


def kind_weights(scenes, shares):
    """float64 (scenes,): how often each is drawn, so that the kinds have the given shares; other kinds never."""
    kinds = np.array([scene.kind for scene in load_scenes(scenes / "scenes.jsonl")])
    weights = np.zeros(len(kinds))
    for kind, share in shares.items():
        weights[kinds == kind] = share / (kinds == kind).sum()
    return torch.from_numpy(weights)


class DiffusionTask(Task):
    def __init__(self, data, tokenizer, text_dropout, start, high_noise_share, scenes, shares):
        self.data, self.start, self.text_dropout, self.high_noise_share = data, start, text_dropout, high_noise_share
        self.bounds = kind_weights(scenes, shares)[HELD_OUT:].cumsum(0) if shares else None
        tokens = load_tokenizer(tokenizer)
        self.vocabulary_size = len(tokens)
        self.empty_prompt = tokenize(tokens, [""])

    def network(self):
        model = Diffusion(self.vocabulary_size)
        if self.start:
            start_from(model, torch.load(self.start)["average"])
        return model

    def prepare(self, device):
        self.device = device
        self.latents = torch.load(self.data / "latents.pt", mmap=True)
        self.ids = torch.load(self.data / "ids.pt")
        self.alphas_cumprod = make_scheduler().alphas_cumprod.float().to(device)

    def _example_losses(self, network, latents, ids, timesteps, noise):
        """Weighted squared error of the velocity, per example."""
        latents, ids, timesteps, noise = (t.to(self.device) for t in (latents.float(), ids.long(), timesteps, noise))
        alphas = self.alphas_cumprod[timesteps]
        signal, sigma = alphas.sqrt().view(-1, 1, 1, 1), (1 - alphas).sqrt().view(-1, 1, 1, 1)
        with torch.autocast(self.device, dtype=torch.bfloat16):
            velocity = network(signal * latents + sigma * noise, timesteps, ids)
        errors = (velocity.float() - (signal * noise - sigma * latents)).square().mean((1, 2, 3))
        ratio = alphas / (1 - alphas)
        return errors * (ratio + 1).clamp(max=SIGNAL_TO_NOISE_LIMIT + 1) / (ratio + 1)

    def _draw(self, batch):
        """Indices of examples behind the held-out ones."""
        if self.bounds is None:
            return torch.randint(HELD_OUT, len(self.ids), (batch,))
        return HELD_OUT + torch.searchsorted(self.bounds, torch.rand(batch, dtype=torch.float64) * self.bounds[-1])

    def loss(self, network, batch, progress):
        chosen = self._draw(batch)
        ids = torch.where(torch.rand(batch, 1) < self.text_dropout, self.empty_prompt, self.ids[chosen])
        # Stratified: one timestep from each of `batch` ranges of equal probability.
        position = (torch.arange(batch) + torch.rand(batch)) / batch
        low = 1 - self.high_noise_share
        timesteps = torch.where(
            position < low, position / low * HIGH_NOISE, HIGH_NOISE + (position - low) / (1 - low) * (1000 - HIGH_NOISE)
        )
        timesteps = timesteps.long().clamp(max=999)
        latents = self.latents[chosen]
        return self._example_losses(network, latents, ids, timesteps, torch.randn(latents.shape)).mean()

    def validate(self, network):
        """Loss on held-out scenes at fixed timesteps and noise: mean, and by thirds of the timesteps."""
        generator = torch.Generator().manual_seed(1)
        latents, ids = self.latents[:HELD_OUT], self.ids[:HELD_OUT]
        timesteps = torch.randint(0, 1000, (len(ids),), generator=generator)
        noise = torch.randn(latents.shape, generator=generator)
        with torch.inference_mode():
            parts = zip(*(tensor.split(128) for tensor in (latents, ids, timesteps, noise)))
            losses = torch.cat([self._example_losses(network, *part).cpu() for part in parts])
        third = timesteps * 3 // 1000
        figures = {"held_out": losses.mean().item()}
        figures.update({name: losses[third == i].mean().item() for i, name in enumerate(("low", "middle", "high"))})
        return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with latents.pt and ids.pt")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--text-dropout", type=float, default=0.1)
    parser.add_argument("--start", type=Path, help="checkpoint whose averaged weights to start from; may lack attention blocks")
    parser.add_argument(
        "--high-noise-share", type=float, default=1 - HIGH_NOISE / 1000, help=f"of examples at timesteps from {HIGH_NOISE} on"
    )
    parser.add_argument("--shares", nargs="+", default=[], metavar="KIND=SHARE", help="draw kinds of scene in other shares than the data's")
    parser.add_argument("--scenes", type=Path, help="folder of the scenes, which --shares needs")
    add_arguments(parser, minutes=60.0, batch=64)
    arguments = parser.parse_args()
    if arguments.shares and not arguments.scenes:
        parser.error("--shares needs --scenes")
    task = DiffusionTask(
        arguments.data, arguments.tokenizer, arguments.text_dropout, arguments.start, arguments.high_noise_share,
        arguments.scenes, parse_shares(arguments.shares))  # fmt: skip
    train(task, options_from(arguments))


if __name__ == "__main__":
    main()
