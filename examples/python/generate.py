"""A picture from a prompt. Usage: generate.py PIPELINE_FOLDER "a prompt" picture.png"""

import sys

import adadiff

folder, prompt, path = sys.argv[1:4]
pipeline = adadiff.Pipeline(folder)
result = pipeline(prompt, steps="auto", seed=42)
result.save(path)
height, width, _ = result.images[0].shape
report = result.report
print(f"{path}: {width} x {height} pixels, {report['steps_planned']} steps ({report['policy']['name']}), {report['total_ms']:.0f} ms")
