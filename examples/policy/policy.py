"""Learns how many steps a prompt deserves, with a scorer of one's own, and lets the policy decide.

Usage: policy.py PIPELINE_FOLDER PROMPT
"""

import pathlib
import sys
import tempfile

import numpy as np

import adadiff

PROMPTS = ["a red apple", "a cat", "two cats and a tree", "three fruits on a checked blue background", "a pile of apples on the grass"]


def sharpness(scoring: adadiff.Scoring) -> float:
    """A stand-in for a real judge: how much neighbouring pixels differ."""
    return float(np.abs(np.diff(scoring.image.astype(float), axis=1)).mean())


pipeline = adadiff.Pipeline(sys.argv[1])
with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    # Started again after an interruption, this would only make what is missing.
    adadiff.policy.collect(pipeline, PROMPTS, folder / "rewards.csv", step_set=[1, 2, 4], scorer=sharpness)
    adadiff.policy.train(
        pipeline, folder / "rewards.csv", folder / "policy", estimator="expected", learning_rate=1e-3, epochs=20, scale="standard")
    result = pipeline(sys.argv[2], policy=f"learned:path={folder / 'policy'}", seed=42)
decision = result.report["policy"]
print(f"{result.report['steps_planned']} steps:", ", ".join(f"{c} {p:.3f}" for c, p in zip(decision["choices"], decision["probabilities"])))
