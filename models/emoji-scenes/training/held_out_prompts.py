"""Writes captions that no table was made of, one per line, in random order: `held_out_prompts.py OUT --seed 31415 --count 500`."""

import argparse
from pathlib import Path

import numpy as np

from reward_table import PROMPTS_PER_KIND, make_prompts

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=31415)
    parser.add_argument("--count", type=int, default=500, help="in the proportions of the reward tables, rounded down")
    arguments = parser.parse_args()
    scenes = make_prompts(arguments.seed, arguments.count / sum(PROMPTS_PER_KIND.values()))
    captions = np.random.default_rng(arguments.seed).permutation([scene.caption for scene in scenes])
    arguments.out.write_text("\n".join(captions) + "\n")
