"""Draws prompts at every step count from the same noise, and tabulates reward and judge verdicts.

Writes `table.npz` (rewards, found and exact of shape (prompts, step counts)) and `prompts.json`, and prints the
step curve of every kind of prompt with standard errors.
"""

import argparse
import dataclasses
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch

from judge import count_objects, load_judge, verdicts
from reward import load_reward
from sampling import Guidance, Sampler, add_model_arguments, make_noise, to_uint8
from scenes import make_scene

STEP_SET = [5, 10, 15, 20, 30, 50]
PROMPTS_PER_KIND = {"icon": 40, "one": 40, "two": 24, "three": 40, "four": 16, "five": 16, "pile": 40}


def make_prompts(seed, scale):
    """Scenes with distinct captions, `scale` times PROMPTS_PER_KIND of each kind."""
    rng, scenes = np.random.default_rng(seed), []
    for kind, count in PROMPTS_PER_KIND.items():
        drawn = {}
        while len(drawn) < int(count * scale):
            scene = make_scene(rng, kind)
            drawn.setdefault(scene.caption, scene)
        scenes += drawn.values()
    return scenes


def draw(arguments, captions, noise, steps):
    torch.set_num_threads(1)
    sampler = Sampler.from_arguments(arguments)
    return to_uint8(sampler.images(captions, noise, steps, Guidance.from_arguments(arguments)))


def draw_table(arguments, captions):
    """Returns uint8 (prompts, step counts, H, W, 3)."""
    noise, chunk = make_noise(len(captions), arguments.seed), 50
    with ProcessPoolExecutor(arguments.processes) as pool:
        jobs = [
            [pool.submit(draw, arguments, captions[i : i + chunk], noise[i : i + chunk], steps) for steps in STEP_SET]
            for i in range(0, len(captions), chunk)
        ]
        return np.concatenate([np.stack([job.result() for job in row], 1) for row in jobs])


@torch.inference_mode()
def score(images, scenes, reward, judge, ids):
    """images uint8 (prompts, H, W, 3) -> rewards, found, exact, each (prompts,)."""
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    rewards = torch.cat([reward(a, b) for a, b in zip(x.split(64), ids.split(64))]).numpy()
    found, exact = verdicts(count_objects(judge, x), scenes)
    return rewards, found, exact


def steps_needed(rewards, tolerance):
    """Per prompt, the smallest step count from which on the reward stays within `tolerance` of the last one."""
    near = rewards >= rewards[:, -1:] - tolerance
    stays = np.flip(np.logical_and.accumulate(np.flip(near, 1), 1), 1)
    return np.array(STEP_SET)[stays.argmax(1)]


def standard_error(values):
    return values.std(ddof=1) / len(values) ** 0.5


def print_curves(rewards, found, exact, kinds, tolerance):
    for kind in dict.fromkeys(kinds):
        rows = kinds == kind
        part = rewards[rows]
        columns = [f"{steps}: {column.mean():.2f}±{standard_error(column):.2f}" for steps, column in zip(STEP_SET, part.T)]
        print(f"{kind:6} reward  " + "  ".join(columns))
        gaps = [part[:, -1] - column for column in part.T[:-1]]
        columns = [f"{s}: {gap.mean():.2f} ({gap.mean() / standard_error(gap):+.1f} se)" for s, gap in zip(STEP_SET, gaps)]
        needed = steps_needed(part, tolerance)
        print("       below 50  " + "  ".join(columns) + f"  steps needed {needed.mean():.1f}±{standard_error(needed):.1f}")
        columns = [f"{steps}: {f:.2f}/{e:.2f}" for steps, f, e in zip(STEP_SET, found[rows].mean(0), exact[rows].mean(0))]
        print("       found/exact  " + "  ".join(columns))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reward", type=Path, required=True, help="checkpoint of reward.py")
    parser.add_argument("--judge", type=Path, required=True, help="checkpoint of judge.py")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the number of prompts")
    parser.add_argument("--seed", type=int, default=12345)
    parser.add_argument("--tolerance", type=float, default=0.5, help="reward difference that counts as equal: 62 against 38 % preference")
    parser.add_argument("--processes", type=int, default=2)
    add_model_arguments(parser)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    scenes = make_prompts(arguments.seed, arguments.scale)
    captions = [scene.caption for scene in scenes]
    pictures = arguments.out / "pictures.npy"
    if not pictures.exists():
        np.save(pictures, draw_table(arguments, captions))
    images = np.load(pictures)
    tokens = Sampler.from_arguments(arguments)
    reward, judge = load_reward(arguments.reward, len(tokens.tokenizer)), load_judge(arguments.judge)
    columns = [score(images[:, i], scenes, reward, judge, tokens.ids(captions)) for i in range(len(STEP_SET))]
    rewards, found, exact = (np.stack(values, 1) for values in zip(*columns))
    np.savez(arguments.out / "table.npz", rewards=rewards, found=found, exact=exact)
    (arguments.out / "prompts.json").write_text(json.dumps([dataclasses.asdict(scene) for scene in scenes]))
    print_curves(rewards, found, exact, np.array([scene.kind for scene in scenes]), arguments.tolerance)


if __name__ == "__main__":
    main()
