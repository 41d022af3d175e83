"""Trains the decoder further on frozen latents, lightly noised; the latents that the UNet learns stay valid."""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from autoencoder import HELD_OUT, gradient_difference, load_autoencoder, load_pixels, psnr, reconstruct
from encode_latents import write_reconstructions
from training_loop import Task, add_arguments, options_from, train


class Decoder(nn.Module):
    """The trained part of an autoencoder, under the same parameter names."""

    def __init__(self, autoencoder):
        super().__init__()
        self.kl = nn.Module()
        self.kl.post_quant_conv, self.kl.decoder = autoencoder.kl.post_quant_conv, autoencoder.kl.decoder
        self.patch = autoencoder.patch
        self.requires_grad_(True)

    def forward(self, latents):
        return F.pixel_shuffle(self.kl.decoder(self.kl.post_quant_conv(latents)), self.patch)


class DecoderTask(Task):
    def __init__(self, scenes, latents, autoencoder, noise):
        self.scenes, self.latents_path, self.autoencoder, self.noise = scenes, latents, autoencoder, noise

    def network(self):
        return Decoder(load_autoencoder(self.autoencoder))

    def prepare(self, device):
        self.device = device
        self.pixels = np.load(self.scenes / "pixels.npy", mmap_mode="r")
        self.latents = torch.load(self.latents_path, mmap=True)

    def decode(self, network, latents):
        with torch.autocast(self.device, dtype=torch.bfloat16):
            return network(latents.float().to(self.device)).float()

    def loss(self, network, batch, progress):
        indices = torch.randint(HELD_OUT, len(self.pixels), (batch,)).sort().values
        x = load_pixels(self.pixels, indices.numpy()).to(self.device)
        latents = self.latents[indices].float()
        y = self.decode(network, latents + self.noise * torch.randn_like(latents))
        return F.l1_loss(y, x) + gradient_difference(y, x) + 4 * F.mse_loss(y, x)

    def validate(self, network):
        x = load_pixels(self.pixels, slice(0, 128)).to(self.device)
        with torch.inference_mode():
            return {"psnr": psnr(self.decode(network, self.latents[:128]), x)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--latents", type=Path, required=True)
    parser.add_argument("--autoencoder", type=Path, required=True, help="file written by encode_latents.py")
    parser.add_argument("--result", type=Path, required=True, help="the whole autoencoder with the new decoder")
    parser.add_argument("--reconstructions", type=Path, help="rewrite reconstructions.npy with the new decoder")
    parser.add_argument("--reconstruction-count", type=int, default=3000)
    parser.add_argument("--noise", type=float, default=0.05)
    add_arguments(parser, minutes=8.0, batch=8, adamw_lr=1e-3, constant_share=0.2)
    arguments = parser.parse_args()
    task = DecoderTask(arguments.scenes, arguments.latents, arguments.autoencoder, arguments.noise)
    decoder = train(task, options_from(arguments))
    state = load_autoencoder(arguments.autoencoder).state_dict()
    state.update(decoder.state_dict())
    torch.save(state, arguments.result)
    model = load_autoencoder(arguments.result)
    pixels = load_pixels(np.load(arguments.scenes / "pixels.npy", mmap_mode="r"), slice(0, HELD_OUT))
    print(f"held-out PSNR {psnr(reconstruct(model, pixels), pixels):.2f} dB")
    if arguments.reconstructions:
        write_reconstructions(model, arguments.scenes, arguments.reconstruction_count, arguments.reconstructions)


if __name__ == "__main__":
    main()
