"""A picture from a prompt. Usage: generate.py PIPELINE_FOLDER "a prompt" picture.png"""

import sys

import adadiff

folder, prompt, path = sys.argv[1:4]
pipeline = adadiff.Pipeline(folder)
result = pipeline(prompt, steps="auto", seed=42)
result.save(path)
print(f"{path}: {result.images[0].shape} uint8, report: {', '.join(sorted(result.report))}")
