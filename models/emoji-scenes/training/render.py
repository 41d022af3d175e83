"""Draws scenes with the Noto Color Emoji font, and writes a training set: pixels.npy and scenes.jsonl."""

import argparse
import dataclasses
import functools
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from backgrounds import SIZE, draw_background
from scenes import KINDS, Placement, Scene, make_scene
from vocabulary import GLYPHS

FONT_PATH = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
# The bitmaps of Noto Color Emoji exist at this one size, in pixels per em.
FONT_SIZE = 109
SHARD = 2000


@functools.cache
def glyph_image(index):
    """A square RGBA image whose picture touches at least two opposite sides."""
    font = ImageFont.truetype(FONT_PATH, FONT_SIZE)
    canvas = Image.new("RGBA", (160, 160), (0, 0, 0, 0))
    ImageDraw.Draw(canvas).text((10, 10), GLYPHS[index][2], font=font, embedded_color=True)
    cropped = canvas.crop(canvas.getchannel("A").getbbox())
    side = max(cropped.size)
    square = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    square.paste(cropped, ((side - cropped.width) // 2, (side - cropped.height) // 2))
    return square


@functools.cache
def resized_glyph(index, size):
    return glyph_image(index).resize((size, size), Image.Resampling.LANCZOS)


def render(scene, rng):
    """Returns uint8 (SIZE, SIZE, 3)."""
    jitter = 0.0 if scene.kind == "icon" else 0.03
    background = draw_background(scene.background, scene.color, rng, jitter)
    image = Image.fromarray((background * 255 + 0.5).astype(np.uint8)).convert("RGBA")
    for placement in scene.placements:
        glyph = resized_glyph(placement.glyph, placement.size)
        if placement.tilt:
            glyph = glyph.rotate(placement.tilt, Image.Resampling.BICUBIC, expand=True)
        left, top = round(placement.x - glyph.width / 2), round(placement.y - glyph.height / 2)
        image.paste(glyph, (left, top), glyph)
    return np.asarray(image.convert("RGB"))


def make_shard(seed, count, kind=None, shares=None):
    """uint8 (count, SIZE, SIZE, 3) and their scenes, of one `kind` or a mixture by `shares` (default: the scenes' own)."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice(list(shares), count, p=list(shares.values())) if shares else [kind] * count
    scenes = [make_scene(rng, kind) for kind in kinds]
    return np.stack([render(scene, rng) for scene in scenes]), scenes


def load_scenes(path):
    with open(path) as lines:
        records = [json.loads(line) for line in lines]
    for record in records:
        record["placements"] = [Placement(**placement) for placement in record["placements"]]
    return [Scene(**record) for record in records]


def write_sheet(path, columns=8):
    """A picture of a few scenes of every kind, with the captions on standard output."""
    rows = []
    for kind in KINDS:
        pixels, scenes = make_shard(7, columns, kind)
        rows.append(np.concatenate(list(pixels), axis=1))
        print("\n".join(f"{kind}: {scene.caption}" for scene in scenes))
    Image.fromarray(np.concatenate(rows)).save(path)


def parse_shares(texts):
    """["icon=0.4", "three=0.6"] -> shares by kind, scaled to a sum of 1."""
    shares = {kind: float(share) for kind, share in (text.split("=") for text in texts)}
    unknown = sorted(set(shares) - set(KINDS))
    if unknown:
        raise SystemExit(f"unknown kinds of scene {unknown}; known are {sorted(KINDS)}")
    return {kind: share / sum(shares.values()) for kind, share in shares.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="folder for pixels.npy and scenes.jsonl")
    parser.add_argument("--count", type=int, default=60000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--shares", nargs="+", default=[], metavar="KIND=SHARE", help="another mixture of kinds of scene")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet here instead of a training set")
    arguments = parser.parse_args()
    if arguments.sheet:
        write_sheet(arguments.sheet)
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    shards = arguments.count // SHARD
    seeds = [(arguments.seed, shard) for shard in range(shards)]
    draw = functools.partial(make_shard, shares=parse_shares(arguments.shares))
    shape = (shards * SHARD, SIZE, SIZE, 3)
    pixels = np.lib.format.open_memmap(arguments.out / "pixels.npy", "w+", np.uint8, shape)
    with ProcessPoolExecutor(arguments.processes) as pool, open(arguments.out / "scenes.jsonl", "w") as lines:
        for shard, (images, scenes) in enumerate(pool.map(draw, seeds, [SHARD] * shards)):
            pixels[shard * SHARD : (shard + 1) * SHARD] = images
            for scene in scenes:
                lines.write(json.dumps(dataclasses.asdict(scene)) + "\n")


if __name__ == "__main__":
    main()
