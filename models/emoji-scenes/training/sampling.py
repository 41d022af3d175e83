"""Draws pictures from the PyTorch weights with diffusers' DDIM, many prompts at once."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from autoencoder import LATENT_CHANNELS, load_autoencoder
from networks import LATENT_SIZE, SCHEDULER, load_diffusion, make_scheduler
from tokenizer import load_tokenizer, tokenize


@dataclass
class Guidance:
    """Classifier-free guidance from pure noise on, until the share `stop` of the noise schedule (Kynkäänniemi et al. 2024)."""

    scale: float = 4.0
    stop: float = 0.45

    @classmethod
    def from_arguments(cls, arguments):
        return cls(arguments.guidance_scale, arguments.guidance_stop)

    def is_on(self, timestep):
        return 1 - int(timestep) / SCHEDULER["num_train_timesteps"] < self.stop - 1e-9

    def combine(self, unconditional, conditional):
        return unconditional + self.scale * (conditional - unconditional)


def add_model_arguments(parser):
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--autoencoder", type=Path, required=True, help="file written by encode_latents.py")
    parser.add_argument("--diffusion", type=Path, required=True, help="checkpoint of train_diffusion.py")
    parser.add_argument("--guidance-scale", type=float, default=Guidance.scale)
    parser.add_argument("--guidance-stop", type=float, default=Guidance.stop, help="share of the noise schedule, 0 to 1")
    parser.add_argument("--device", default="cpu")


class Sampler:
    """`half`: networks run in bfloat16 where that is faster."""

    def __init__(self, tokenizer, autoencoder, diffusion, device="cpu", half=True):
        self.device, self.half = device, half
        self.tokenizer = load_tokenizer(tokenizer)
        self.autoencoder = load_autoencoder(autoencoder, device)
        self.diffusion = load_diffusion(diffusion, len(self.tokenizer), device=device)

    @classmethod
    def from_arguments(cls, arguments, half=True):
        return cls(arguments.tokenizer, arguments.autoencoder, arguments.diffusion, arguments.device, half)

    def _precision(self):
        return torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.half)

    def ids(self, prompts):
        return tokenize(self.tokenizer, prompts).to(self.device)

    @torch.inference_mode()
    def latents(self, prompts, noise, steps, guidance, batch=64):
        """noise (len(prompts), LATENT_CHANNELS, LATENT_SIZE, LATENT_SIZE) -> latents of the same shape."""
        parts = []
        for begin in range(0, len(prompts), batch):
            scheduler = make_scheduler()
            scheduler.set_timesteps(steps)
            x = noise[begin : begin + batch].to(self.device)
            with self._precision():
                text = self.diffusion.encode_text(self.ids(prompts[begin : begin + batch]))
                empty = self.diffusion.encode_text(self.ids([""])).expand_as(text)
            context = torch.cat([empty, text])
            for timestep in scheduler.timesteps:
                is_guided = guidance.is_on(timestep)
                with self._precision():
                    prediction = self.diffusion.unet(
                        torch.cat([x, x]) if is_guided else x, timestep, context if is_guided else text
                    ).sample.float()
                if is_guided:
                    prediction = guidance.combine(*prediction.chunk(2))
                x = scheduler.step(prediction, timestep, x).prev_sample
            parts.append(x)
        return torch.cat(parts)

    @torch.inference_mode()
    def decode(self, latents, batch=64):
        """Returns images (count, 3, H, W) in -1..1."""
        with self._precision():
            parts = [self.autoencoder.decode(part).float() for part in latents.split(batch)]
        return torch.cat(parts).clamp(-1, 1)

    def images(self, prompts, noise, steps, guidance):
        return self.decode(self.latents(prompts, noise, steps, guidance))


def make_noise(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, LATENT_CHANNELS, LATENT_SIZE, LATENT_SIZE, generator=generator)


def to_uint8(images):
    """(count, 3, H, W) in -1..1 -> uint8 (count, H, W, 3)."""
    return ((images.cpu() + 1) * 127.5).round().clamp(0, 255).permute(0, 2, 3, 1).numpy().astype(np.uint8)


def save_sheet(images, columns, path):
    """Writes the images row by row, without gaps."""
    pixels = to_uint8(images)
    rows = [np.concatenate(list(pixels[i : i + columns]), axis=1) for i in range(0, len(pixels), columns)]
    Image.fromarray(np.concatenate(rows)).save(path, optimize=True)
