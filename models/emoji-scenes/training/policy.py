"""Trains the step policy from a reward table with `adadiff policy train` and compares it with `adadiff policy eval`.

The table to learn from is one of `adadiff policy collect`. The one of other prompts to compare on comes from reward_table.py and
becomes a CSV file in the columns that docs/adaptive-steps.md describes: the reward, and the judge's verdicts, which never
enter training.
"""

import argparse
import csv
import itertools
import json
import subprocess
from pathlib import Path

import numpy as np

from reward_table import STEP_SET
from sampling import Guidance


def read_rows(table):
    """Rows (caption, kind, steps, reward, found, exact) of a folder of reward_table.py."""
    prompts = json.loads((table / "prompts.json").read_text())
    values = np.load(table / "table.npz")
    columns = [values[name] for name in ("rewards", "found", "exact")]
    rows = {}
    for index, prompt in enumerate(prompts):
        rows[prompt["caption"]] = [
            [prompt["caption"], 0, steps, prompt["kind"], *(float(column[index, place]) for column in columns)]
            for place, steps in enumerate(STEP_SET)
        ]
    return rows


def write_csv(header, rows, path):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    return path


def write_others(table, captions, path):
    """Copies the rows of a CSV table whose prompts are not among `captions`."""
    with table.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    place = header.index("prompt")
    return write_csv(header, [row for row in rows if row[place] not in captions], path)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=Path, required=True, help="CSV file of `adadiff policy collect --metrics reward` to learn from")
    parser.add_argument("--table", type=Path, required=True, help="folder of reward_table.py to compare policies on")
    parser.add_argument("--model", type=Path, required=True, help="exported folder; policy/ is written into it")
    parser.add_argument("--guidance-scale", type=float, default=Guidance.scale)
    parser.add_argument("--guidance-stop", type=float, default=Guidance.stop)
    parser.add_argument("--adadiff", default="adadiff", help="the command")
    parser.add_argument("options", nargs="*", help="after --: further arguments of `adadiff policy train`")
    arguments = parser.parse_args()
    held_out = read_rows(arguments.table)
    train_file = write_others(arguments.train, held_out, arguments.table / "train.csv")
    header = ["prompt", "seed", "steps", "group", "reward", "found", "exact"]
    held_out_file = write_csv(header, itertools.chain.from_iterable(held_out.values()), arguments.table / "held-out.csv")
    common = ["--model", str(arguments.model)]
    # The reward counts every picture's quality (no gate): (1 - t / 50) + 1.2 * reward. An entropy weight that stays keeps the
    # logits in proportion to the rewards; the strong decay keeps the network from learning single pictures' luck.
    # docs/adaptive-steps.md has the figures.
    subprocess.run(
        [arguments.adadiff, "policy", "train", str(train_file), *common, "--estimator", "expected", "--lr", "1e-3",
         "--batch", "64", "--epochs", "60", "--metrics", "reward", "--lambda", "1.2", "--entropy", "0.5",
         "--option", "train_final_entropy_weight=0.5", "--option", "reward_gate=threshold",
         "--option", "reward_threshold=-1e9", "--option", "train_dropout=0.2", "--option", "train_weight_decay=12",
         "--option", "train_held_out=0.2",
         "--option", f"guidance_scale={arguments.guidance_scale}",
         "--option", f"guidance_stop={arguments.guidance_stop}", *arguments.options], check=True)  # fmt: skip
    (arguments.model / "policy" / "checkpoint.bin").unlink()
    subprocess.run(
        [arguments.adadiff, "policy", "eval", str(held_out_file), *common, "--output",
         str(arguments.table / "evaluation.json")], check=True)  # fmt: skip


if __name__ == "__main__":
    main()
