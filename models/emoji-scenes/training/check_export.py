"""Runs an exported folder with ONNX Runtime and compares its pictures with the PyTorch weights'."""

import argparse
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from autoencoder import psnr
from networks import make_scheduler
from sampling import Guidance, Sampler, add_model_arguments, make_noise, save_sheet
from tokenizer import load_tokenizer, tokenize

PROMPTS = [
    "a red apple on white",
    "two cats and a tree on a green background",
    "a rocket above a house under a starry sky",
    "a pile of fruits on a checked blue background",
]
# Both draw in float32; what differs is that the exported weights are rounded to float16.
PSNR_MIN = 35.0


class ExportedPipeline:
    def __init__(self, folder):
        self.tokenizer = load_tokenizer(folder / "tokenizer")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.text_encoder, self.unet, self.vae_decoder = (
            onnxruntime.InferenceSession(folder / name / "model.onnx", options, ["CPUExecutionProvider"])
            for name in ("text_encoder", "unet", "vae_decoder")
        )

    def encode_text(self, prompts):
        ids = tokenize(self.tokenizer, prompts).numpy()
        return self.text_encoder.run(["last_hidden_state"], {"input_ids": ids})[0]

    def images(self, prompts, noise, steps, guidance):
        context = np.concatenate([self.encode_text([""] * len(prompts)), self.encode_text(prompts)])
        scheduler = make_scheduler()
        scheduler.set_timesteps(steps)
        x = noise
        for timestep in scheduler.timesteps:
            is_guided = guidance.is_on(timestep)
            inputs = {
                "sample": (torch.cat([x, x]) if is_guided else x).numpy(),
                "timestep": timestep.numpy(),
                "encoder_hidden_states": context if is_guided else context[len(prompts) :],
            }
            prediction = torch.from_numpy(self.unet.run(None, inputs)[0])
            if is_guided:
                prediction = guidance.combine(*prediction.chunk(2))
            x = scheduler.step(prediction, timestep, x).prev_sample
        decoded = self.vae_decoder.run(None, {"latent_sample": x.numpy()})[0]
        return torch.from_numpy(decoded).clamp(-1, 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="the exported folder")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--sheet", type=Path, help="write both rows of pictures here")
    add_model_arguments(parser)
    arguments = parser.parse_args()
    noise = make_noise(len(PROMPTS), seed=1)
    sampler = Sampler.from_arguments(arguments, half=False)
    expected = sampler.images(PROMPTS, noise, arguments.steps, Guidance.from_arguments(arguments))
    exported = ExportedPipeline(arguments.model)
    actual = exported.images(PROMPTS, noise, arguments.steps, Guidance.from_arguments(arguments))
    figures = [psnr(a[None], e[None]) for a, e in zip(actual, expected)]
    print("PSNR of ONNX Runtime against PyTorch:", " ".join(f"{figure:.1f}" for figure in figures), "dB")
    if arguments.sheet:
        save_sheet(torch.cat([expected, actual]), len(PROMPTS), arguments.sheet)
    wide = exported.images(PROMPTS[:1], torch.randn(1, noise.shape[1], 12, 16), 2, Guidance())
    if wide.shape != (1, 3, 96, 128):
        sys.exit(f"12 x 16 latents gave {tuple(wide.shape)}")
    if min(figures) < PSNR_MIN:
        sys.exit("the export draws other pictures")


if __name__ == "__main__":
    main()
