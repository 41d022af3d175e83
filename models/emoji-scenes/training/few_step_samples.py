"""Draws training captions with few steps: the pictures that the reward learns to rank below clean ones."""

import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch

from render import load_scenes
from sampling import Sampler, add_model_arguments, make_noise, to_uint8
from scenes import uses_only
from vocabulary import SHIPPED_NOUNS

STEPS = [4, 5, 6, 8, 10, 12]
CHUNK = 100


def draw(arguments, captions, steps, seed):
    torch.set_num_threads(1)
    noise = make_noise(len(captions), seed)
    sampler = Sampler.from_arguments(arguments)
    return to_uint8(sampler.images(captions, noise, steps, arguments.guidance_scale))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="an .npz file: images, scenes, steps")
    parser.add_argument("--count", type=int, default=2400)
    parser.add_argument("--scene-range", type=int, nargs=2, default=[512, 3000], help="within the reconstructions")
    parser.add_argument("--processes", type=int, default=2)
    add_model_arguments(parser)
    arguments = parser.parse_args()
    scenes = load_scenes(arguments.scenes / "scenes.jsonl")
    captions = [scene.caption for scene in scenes]
    first, last = arguments.scene_range
    rows = [row for row in range(first, last) if uses_only(scenes[row], SHIPPED_NOUNS)]
    chunks = [rows[i : i + CHUNK] for i in range(0, min(len(rows), arguments.count), CHUNK)]
    with ProcessPoolExecutor(arguments.processes) as pool:
        jobs = [
            pool.submit(draw, arguments, [captions[row] for row in chunk], STEPS[i % len(STEPS)], chunk[0])
            for i, chunk in enumerate(chunks)
        ]
        images = np.concatenate([job.result() for job in jobs])
    steps = np.concatenate([[STEPS[i % len(STEPS)]] * len(chunk) for i, chunk in enumerate(chunks)])
    order = np.random.default_rng(0).permutation(len(images))
    drawn = np.concatenate(chunks)
    np.savez(arguments.out, images=images[order], scenes=drawn[order], steps=steps[order])


if __name__ == "__main__":
    main()
