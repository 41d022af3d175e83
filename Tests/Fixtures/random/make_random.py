"""Writes torch.json: what torch's CPU generator draws, as float32 bit patterns, for Tests/SupportTests.

Run with a Python that has torch: python make_random.py
"""

import json
import pathlib

import numpy as np
import torch

SEEDS = [0, 1, 42, 123456789, 2**32 + 5, 2**64 - 1]
SIZES = [*range(1, 41), 47, 48, 49, 100]
LARGE = [4096, 16384, 16389]


def bits(tensor):
    return [int(v) for v in tensor.numpy().view(np.uint32)]


def fnv1a(tensor):
    """FNV-1a over the little-endian bytes: one number that changes when any bit does."""
    value = 0xCBF29CE484222325
    for byte in tensor.numpy().tobytes():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return str(value)


def generator(seed):
    g = torch.Generator()
    return g.manual_seed(seed if seed < 2**63 else seed - 2**64)


normal, large, sequences, uniform, double = [], [], [], [], []
for index, seed in enumerate(SEEDS):
    for size in SIZES if index < 3 else [3, 15, 16, 17, 33]:
        normal.append({"seed": str(seed), "size": size, "bits": bits(torch.randn(size, generator=generator(seed)))})
    for size in LARGE:
        values = torch.randn(size, generator=generator(seed))
        large.append(
            {"seed": str(seed), "size": size, "fnv1a": fnv1a(values), "head": bits(values[:8]), "tail": bits(values[-8:])}
        )
    # Draws that follow each other: the scalar path keeps a second value, the vector path does not use it.
    g, parts = generator(seed), []
    for size in [3, 16, 1, 2, 20, 5]:
        parts.append({"size": size, "bits": bits(torch.randn(size, generator=g))})
    sequences.append({"seed": str(seed), "parts": parts})
    uniform.append({"seed": str(seed), "bits": bits(torch.rand(20, generator=generator(seed)))})
    for size in [1, 2, 3, 15, 16, 17, 33]:
        values = torch.randn(size, dtype=torch.float64, generator=generator(seed))
        double.append({"seed": str(seed), "size": size, "values": [repr(float(v)) for v in values]})

document = {"normal": normal, "large": large, "sequences": sequences, "uniform": uniform, "double": double}
path = pathlib.Path(__file__).with_name("torch.json")
path.write_text(json.dumps(document, separators=(",", ":")) + "\n")
print(path, path.stat().st_size)
