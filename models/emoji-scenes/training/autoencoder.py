"""The autoencoder: an AutoencoderKL with f = 8 whose outermost factor of 2 is space-to-depth, and its training.

Pixels (batch, 3, 96, 96) in -1..1; latents (batch, LATENT_CHANNELS, 12, 12), each channel with zero mean and
unit variance after `normalize_latents`.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import nn

from fused_group_norm import fuse
from training_loop import Task, add_arguments, options_from, train

LATENT_CHANNELS = 12
HELD_OUT = 512


class Autoencoder(nn.Module):
    def __init__(self, patch=2, widths=(32, 64, 128), latent_channels=LATENT_CHANNELS):
        super().__init__()
        self.patch, self.widths = patch, widths
        channels = 3 * patch * patch
        self.kl = AutoencoderKL(
            in_channels=channels,
            out_channels=channels,
            down_block_types=("DownEncoderBlock2D",) * len(widths),
            up_block_types=("UpDecoderBlock2D",) * len(widths),
            block_out_channels=widths,
            layers_per_block=1,
            latent_channels=latent_channels,
            norm_num_groups=8,
            mid_block_add_attention=False,
        )

    def encode(self, pixels):
        """Returns the posterior, a DiagonalGaussianDistribution."""
        return self.kl.encode(F.pixel_unshuffle(pixels, self.patch)).latent_dist

    def decode(self, latents):
        return F.pixel_shuffle(self.kl.decode(latents).sample, self.patch)


def load_pixels(pixels, indices):
    """uint8 (count, H, W, 3) rows of an array -> float (len(indices), 3, H, W) in -1..1."""
    chosen = torch.from_numpy(np.array(pixels[indices]))
    return chosen.permute(0, 3, 1, 2).float().div_(127.5).sub_(1).contiguous()


def gradient_difference(a, b):
    """L1 distance of horizontal and vertical differences: keeps edges sharp."""
    horizontal = F.l1_loss(a[..., 1:] - a[..., :-1], b[..., 1:] - b[..., :-1])
    vertical = F.l1_loss(a[..., 1:, :] - a[..., :-1, :], b[..., 1:, :] - b[..., :-1, :])
    return horizontal + vertical


def psnr(a, b):
    """Of images in -1..1, in dB, from the mean squared error over the whole batch."""
    return 10 * math.log10(4 / F.mse_loss(a.clamp(-1, 1), b).item())


def reconstruct(model, pixels, batch=64):
    with torch.inference_mode(), torch.autocast(pixels.device.type, dtype=torch.bfloat16):
        parts = [model.decode(model.encode(part).mean).float() for part in pixels.split(batch)]
    return torch.cat(parts).clamp(-1, 1)


class AutoencoderTask(Task):
    def __init__(self, scenes, kl_weight, patch, widths):
        self.scenes, self.kl_weight, self.patch, self.widths = scenes, kl_weight, patch, widths

    def network(self):
        return fuse(Autoencoder(self.patch, self.widths))

    def prepare(self, device):
        self.device = device
        self.pixels = np.load(self.scenes / "pixels.npy", mmap_mode="r")

    def loss(self, network, batch, progress):
        indices = torch.randint(HELD_OUT, len(self.pixels), (batch,)).sort().values.numpy()
        x = load_pixels(self.pixels, indices).to(self.device)
        with torch.autocast(self.device, dtype=torch.bfloat16):
            posterior = network.encode(x)
            y = network.decode(posterior.sample())
        y = y.float()
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        distortion = F.l1_loss(y, x) + gradient_difference(y, x) + 2 * F.mse_loss(y, x)
        return distortion + self.kl_weight * min(1.0, progress * 20) * kl

    def validate(self, network):
        x = load_pixels(self.pixels, slice(0, 128)).to(self.device)
        return {"psnr": psnr(reconstruct(network, x), x)}


def load_autoencoder(path, device="cpu"):
    """The averaged weights of a training run, or a file written by `encode_latents.py`."""
    state = torch.load(path, map_location=device)
    model = fuse(Autoencoder())
    model.load_state_dict(state.get("average", state))
    return model.to(device).eval().requires_grad_(False)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=Path, required=True, help="folder written by render.py")
    parser.add_argument("--kl-weight", type=float, default=3e-4)
    parser.add_argument("--patch", type=int, default=2)
    parser.add_argument("--widths", type=int, nargs="+", default=[32, 64, 128])
    add_arguments(parser, batch=16, muon_lr=1.5e-3, adamw_lr=2e-3, constant_share=0.3, final_lr=0.02)
    arguments = parser.parse_args()
    task = AutoencoderTask(arguments.scenes, arguments.kl_weight, arguments.patch, tuple(arguments.widths))
    train(task, options_from(arguments))


if __name__ == "__main__":
    main()
