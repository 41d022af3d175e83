"""The same picture with fewer network calls. Usage: skip.py PIPELINE_FOLDER "a prompt"

Prints, for several rules, what each step did (R run, S reuse, E extrapolate, P partial) and how far the final latents are from
those of the run in which the network ran at every step (relative L2 distance).
"""

import sys

import numpy as np

import adadiff

folder, prompt = sys.argv[1:3]
pipeline = adadiff.Pipeline(folder)
full = pipeline(prompt, steps=20, seed=1)
for options in (
    {"skip": "third-order"},
    {"skip": "every:n=2,order=0,correct=false"},
    {"skip": "every:n=2"},
    {"skip": "step-control:tolerance=0.02"},
    {"cache": "deepcache:interval=2"},
):
    result = pipeline(prompt, steps=20, seed=1, **options)
    error = np.linalg.norm(result.latents - full.latents) / np.linalg.norm(full.latents)
    print(f"{result.report['mask']}  {result.report['network_calls']:2} calls  error {error:.4f}  {options}")
