"""Encodes the training set once, and folds the latents' statistics into the autoencoder.

Writes into --out: `autoencoder.pt` (weights whose latents have zero mean and unit variance per channel),
`latents.pt` (float16, posterior means), `ids.pt` (int16 tokens), `reconstructions.npy` (uint8 pictures of the
first scenes, what the judge and the reward see as real).
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch

from autoencoder import HELD_OUT, load_autoencoder, load_pixels, psnr, reconstruct
from render import load_scenes
from sampling import to_uint8
from tokenizer import load_tokenizer, tokenize

CHUNK = 2000
BATCH = 125


def encode_chunk(checkpoint, scenes, begin):
    """Posterior means of one chunk, float32 (CHUNK, channels, height, width)."""
    torch.set_num_threads(1)
    model, pixels = load_autoencoder(checkpoint), np.load(scenes / "pixels.npy", mmap_mode="r")
    means = []
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        for start in range(begin, min(begin + CHUNK, len(pixels)), BATCH):
            means.append(model.encode(load_pixels(pixels, slice(start, start + BATCH))).mean.float())
    return torch.cat(means).numpy()


@torch.no_grad()
def normalize_latents(model, mean, deviation):
    """Makes the encoder emit, and the decoder expect, (latents - mean) / deviation per channel."""
    encode, decode, channels = model.kl.quant_conv, model.kl.post_quant_conv, len(mean)
    encode.weight[:channels] /= deviation.view(-1, 1, 1, 1)
    encode.bias[:channels] = (encode.bias[:channels] - mean) / deviation
    encode.bias[channels:] -= 2 * deviation.log()
    decode.bias += decode.weight[:, :, 0, 0] @ mean
    decode.weight *= deviation.view(1, -1, 1, 1)


def write_reconstructions(model, scenes, count, path):
    pixels = np.load(scenes / "pixels.npy", mmap_mode="r")
    parts = [to_uint8(reconstruct(model, load_pixels(pixels, slice(i, i + 500)))) for i in range(0, count, 500)]
    np.save(path, np.concatenate(parts))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--autoencoder", type=Path, required=True, help="checkpoint of autoencoder.py")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--reconstructions", type=int, default=3000)
    parser.add_argument("--as-is", action="store_true", help="the latents of --autoencoder are normalized already")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    scenes = load_scenes(arguments.scenes / "scenes.jsonl")
    begins = range(0, len(scenes), CHUNK)
    with ProcessPoolExecutor(arguments.processes) as pool:
        jobs = [pool.submit(encode_chunk, arguments.autoencoder, arguments.scenes, begin) for begin in begins]
        latents = torch.from_numpy(np.concatenate([job.result() for job in jobs]))
    mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    print("mean", mean, "\ndeviation", deviation)
    model = load_autoencoder(arguments.autoencoder)
    if not arguments.as_is:
        normalize_latents(model, mean, deviation)
        latents = (latents - mean.view(1, -1, 1, 1)) / deviation.view(1, -1, 1, 1)
    torch.save(model.state_dict(), arguments.out / "autoencoder.pt")
    torch.save(latents.half(), arguments.out / "latents.pt")
    tokens = load_tokenizer(arguments.tokenizer)
    torch.save(tokenize(tokens, [scene.caption for scene in scenes]).short(), arguments.out / "ids.pt")

    pixels = load_pixels(np.load(arguments.scenes / "pixels.npy", mmap_mode="r"), slice(0, HELD_OUT))
    print(f"held-out PSNR {psnr(reconstruct(model, pixels), pixels):.2f} dB")
    write_reconstructions(model, arguments.scenes, arguments.reconstructions, arguments.out / "reconstructions.npy")


if __name__ == "__main__":
    main()
