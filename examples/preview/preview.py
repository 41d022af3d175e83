"""How the picture comes out of the noise. Usage: preview.py PIPELINE_FOLDER "a prompt"

Prints, after every step, how far the latents and the predicted clean latents still are from the final ones
(relative L2 distance): the prediction settles long before the last step, which is what adaptive sampling uses.
"""

import sys

import numpy as np

import adadiff

folder, prompt = sys.argv[1:3]
previews: list[adadiff.Preview] = []
result = adadiff.Pipeline(folder)(prompt, steps=8, seed=1, preview=previews.append)


def distance(latents: np.ndarray | None) -> str:
    if latents is None:
        return "-"
    return f"{np.linalg.norm(latents - result.latents) / np.linalg.norm(result.latents):.3f}"


for preview in previews:
    print(
        f"step {preview.step + 1}/{preview.total}  timestep {preview.timestep:6.1f}  {preview.action:<12}"
        f"latents {distance(preview.latents)}  predicted {distance(preview.predicted_original)}"
    )
