"""Draws training captions with few steps: the pictures that the reward learns to rank below clean ones."""

import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch

from render import load_scenes
from sampling import Sampler, add_model_arguments, make_noise, to_uint8

STEPS = [4, 5, 6, 8, 10, 12]


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
    parser.add_argument("--first-scene", type=int, default=512)
    parser.add_argument("--processes", type=int, default=2)
    add_model_arguments(parser)
    arguments = parser.parse_args()
    captions = [scene.caption for scene in load_scenes(arguments.scenes / "scenes.jsonl")]
    chunk = 100
    begins = range(arguments.first_scene, arguments.first_scene + arguments.count, chunk)
    with ProcessPoolExecutor(arguments.processes) as pool:
        jobs = [
            pool.submit(draw, arguments, captions[begin : begin + chunk], STEPS[i % len(STEPS)], begin)
            for i, begin in enumerate(begins)
        ]
        images = np.concatenate([job.result() for job in jobs])
    scenes = np.concatenate([np.arange(begin, begin + chunk) for begin in begins])
    steps = np.repeat([STEPS[i % len(STEPS)] for i in range(len(jobs))], chunk)
    order = np.random.default_rng(0).permutation(len(images))
    np.savez(arguments.out, images=images[order], scenes=scenes[order], steps=steps[order])


if __name__ == "__main__":
    main()
