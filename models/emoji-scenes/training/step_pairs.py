"""Draws training captions with few steps and with 50 from the same noise: pairs from which the reward learns what steps add."""

import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch

from render import load_scenes
from sampling import Guidance, Sampler, add_model_arguments, make_noise, to_uint8

FEW_STEPS = [4, 5, 6, 8, 10, 14, 20]
FULL_STEPS = 50
CHUNK = 50


def draw(arguments, captions, steps, seed):
    """Returns uint8 (captions, H, W, 3) twice: few steps, full steps."""
    torch.set_num_threads(1)
    noise = make_noise(len(captions), seed)
    sampler = Sampler.from_arguments(arguments)
    few, full = (sampler.images(captions, noise, count, Guidance.from_arguments(arguments)) for count in (steps, FULL_STEPS))
    return to_uint8(few), to_uint8(full)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="an .npz file: few, full, scenes, steps")
    parser.add_argument("--count", type=int, default=800)
    parser.add_argument("--scene-range", type=int, nargs=2, default=[512, 64000], help="scenes whose captions are drawn")
    parser.add_argument("--processes", type=int, default=2)
    add_model_arguments(parser)
    arguments = parser.parse_args()
    captions = [scene.caption for scene in load_scenes(arguments.scenes / "scenes.jsonl")]
    first, last = arguments.scene_range
    rows = np.random.default_rng(0).choice(np.arange(first, last), arguments.count, replace=False)
    chunks = [rows[i : i + CHUNK] for i in range(0, len(rows), CHUNK)]
    steps = [FEW_STEPS[i % len(FEW_STEPS)] for i in range(len(chunks))]
    with ProcessPoolExecutor(arguments.processes) as pool:
        jobs = [
            pool.submit(draw, arguments, [captions[row] for row in chunk], count, int(chunk[0]))
            for chunk, count in zip(chunks, steps)
        ]
        pairs = [job.result() for job in jobs]
    few, full = (np.concatenate(pictures) for pictures in zip(*pairs))
    order = np.random.default_rng(1).permutation(len(rows))
    np.savez(arguments.out, few=few[order], full=full[order], scenes=rows[order],
             steps=np.repeat(steps, [len(chunk) for chunk in chunks])[order])


if __name__ == "__main__":
    main()
