"""Draws a fixed list of prompts at a few step counts: the sheet that the README shows."""

import argparse
from pathlib import Path

import torch

from sampling import Guidance, Sampler, add_model_arguments, make_noise, save_sheet

# Nine columns; each is drawn from the same noise at every step count.
PROMPTS = [
    "a red apple on white",
    "a cat face on blue",
    "a strawberry on yellow",
    "a car on a green background",
    "two cats and a tree on a green background",
    "a star and a frog under a starry sky",
    "three fruits on a checked blue background",
    "two pigs and a heart in front of a brick wall",
    "a pile of apples on the grass",
]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, nargs="+", default=[50, 50, 10, 5], help="one row each")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 1, 1], help="noise of each row")
    add_model_arguments(parser)
    arguments = parser.parse_args()
    sampler = Sampler.from_arguments(arguments)
    rows = [
        sampler.images(PROMPTS, make_noise(len(PROMPTS), seed), steps, Guidance.from_arguments(arguments))
        for steps, seed in zip(arguments.steps, arguments.seeds)
    ]
    save_sheet(torch.cat(rows), len(PROMPTS), arguments.out)


if __name__ == "__main__":
    main()
