"""Trains an encoder for a decoder and a UNet that are given: the shipped ones, whose encoder is in no file.

Pixels alone leave an encoder much freedom: many latents decode to nearly the same picture, and the UNet knows only those of
the encoder it was trained with. Its own denoising loss, as a prior on the latents (Vahdat et al. 2021,
https://arxiv.org/abs/2106.05931), leads the new encoder to them.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from autoencoder import HELD_OUT, Autoencoder, gradient_difference, load_pixels, psnr, reconstruct
from fused_group_norm import fuse
from networks import load_diffusion, make_scheduler
from render import load_scenes
from tokenizer import load_tokenizer, tokenize
from training_loop import Task, add_arguments, options_from, train


class EncoderTask(Task):
    def __init__(self, scenes, tokenizer, decoder, diffusion, prior_weight):
        self.scenes, self.decoder, self.diffusion, self.prior_weight = scenes, decoder, diffusion, prior_weight
        tokens = load_tokenizer(tokenizer)
        self.vocabulary_size = len(tokens)
        self.ids = tokenize(tokens, [scene.caption for scene in load_scenes(scenes / "scenes.jsonl")]).short()

    def network(self):
        model = Autoencoder()
        model.load_state_dict(torch.load(self.decoder)["average"], strict=False)
        for part in (model.kl.decoder, model.kl.post_quant_conv):
            part.requires_grad_(False)
        return fuse(model)

    def prepare(self, device):
        self.device = device
        self.pixels = np.load(self.scenes / "pixels.npy", mmap_mode="r")
        self.prior = load_diffusion(self.diffusion, self.vocabulary_size, device=device)
        self.alphas_cumprod = make_scheduler().alphas_cumprod.float().to(device)

    def _denoising_loss(self, latents, ids, timesteps, noise):
        alphas = self.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
        signal, sigma = alphas.sqrt(), (1 - alphas).sqrt()
        velocity = self.prior(signal * latents + sigma * noise, timesteps, ids).float()
        return (velocity - (signal * noise - sigma * latents)).square().mean()

    def loss(self, network, batch, progress):
        indices = torch.randint(HELD_OUT, len(self.pixels), (batch,)).sort().values
        x = load_pixels(self.pixels, indices.numpy()).to(self.device)
        timesteps = ((torch.randperm(batch) + torch.rand(batch)) / batch * 1000).long().clamp(max=999).to(self.device)
        with torch.autocast(self.device, dtype=torch.bfloat16):
            latents = network.encode(x).mean
            y = network.decode(latents).float()
            latents = latents.float()
            prior = self._denoising_loss(latents, self.ids[indices].long().to(self.device), timesteps, torch.randn_like(latents))
        return F.l1_loss(y, x) + gradient_difference(y, x) + 2 * F.mse_loss(y, x) + self.prior_weight * prior

    def validate(self, network):
        x, ids = load_pixels(self.pixels, slice(0, 256)).to(self.device), self.ids[:256].long().to(self.device)
        generator = torch.Generator().manual_seed(1)
        timesteps = torch.randint(0, 1000, (len(x),), generator=generator).to(self.device)
        with torch.inference_mode(), torch.autocast(self.device, dtype=torch.bfloat16):
            latents = torch.cat([network.encode(part).mean.float() for part in x.split(64)])
            noise = torch.randn(latents.shape, generator=generator).to(self.device)
            parts = zip(*(tensor.split(64) for tensor in (latents, ids, timesteps, noise)))
            prior = torch.stack([self._denoising_loss(*part) for part in parts]).mean()
        deviation = latents.std((0, 2, 3))
        return {"psnr": psnr(reconstruct(network, x), x), "denoising": prior.item(),
                "deviation_min": deviation.min().item(), "deviation_max": deviation.max().item()}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=Path, required=True, help="folder written by render.py")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--decoder", type=Path, required=True, help="decoder.pt of restore.py")
    parser.add_argument("--diffusion", type=Path, required=True, help="diffusion.pt of restore.py")
    parser.add_argument("--prior-weight", type=float, default=0.1)
    add_arguments(parser, minutes=10.0, batch=32, muon_lr=1.5e-3, adamw_lr=2e-3, constant_share=0.3, final_lr=0.02)
    arguments = parser.parse_args()
    train(
        EncoderTask(arguments.scenes, arguments.tokenizer, arguments.decoder, arguments.diffusion, arguments.prior_weight),
        options_from(arguments),
    )


if __name__ == "__main__":
    main()
