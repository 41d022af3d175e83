"""Times whole pictures: AdaDiff with a skip mask and a precision, and OpenVINO running every step of the same schedule.

    pip install -r bench/requirements.txt
    python bench/end_to_end.py FOLDER --precision int8 --skip "fixed-mask:mask=R0R…"

FOLDER has the layout of `optimum-cli export onnx` with DDIM as its scheduler. Both make one picture from the same latents
with guidance, text encoder and VAE decoder included, models loaded and warm; runs alternate. OpenVINO computes in bfloat16
with static shapes (--openvino-precision f32 otherwise); its loop is the one below. Run it on an idle machine.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np

from peers import machine


class OpenVINOPipeline:
    """Text encoder, `steps` DDIM steps (Song et al. 2021; leading spacing, offset 1, epsilon) and VAE decoder."""

    def __init__(self, folder, tokens, side, threads, precision):
        import openvino

        core = openvino.Core()
        options = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}

        def compiled(name, shapes):
            model = core.read_model(folder / name / "model.onnx")
            model.reshape({port: shapes[port.get_any_name()] for port in model.inputs})
            return core.compile_model(model, "CPU", options)

        self.tokens = tokens
        network = core.read_model(folder / "unet" / "model.onnx")
        time_shape = [1] if len(network.input("timestep").partial_shape) else []
        width = network.input("encoder_hidden_states").partial_shape[2].get_length()
        self.text = compiled("text_encoder", {"input_ids": [2, tokens.shape[1]]})
        self.network = compiled(
            "unet",
            {"sample": [2, 4, side, side], "timestep": time_shape, "encoder_hidden_states": [2, tokens.shape[1], width]},
        )
        self.decoder = compiled("vae_decoder", {"latent_sample": [1, 4, side, side]})
        self.time_shape = time_shape
        schedule = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
        betas = np.linspace(schedule["beta_start"] ** 0.5, schedule["beta_end"] ** 0.5, 1000) ** 2
        self.signal = np.cumprod(1 - betas)
        self.scaling = json.loads((folder / "vae_decoder" / "config.json").read_text())["scaling_factor"]

    def __call__(self, latents, steps, guidance):
        states = self.text({"input_ids": self.tokens})[0]
        x, stride = latents, 1000 // steps
        for index in reversed(range(steps)):
            now, before = index * stride + 1, (index - 1) * stride + 1
            feeds = {
                "sample": np.concatenate([x, x]),
                "timestep": np.full(self.time_shape, now, np.int64),
                "encoder_hidden_states": states,
            }
            plain, conditional = np.split(self.network(feeds)[0], 2)
            noise = plain + guidance * (conditional - plain)
            a, b = self.signal[now], self.signal[max(before, 0)]
            clean = (x - (1 - a) ** 0.5 * noise) / a**0.5
            x = (b**0.5 * clean + (1 - b) ** 0.5 * noise).astype(np.float32)
        return self.decoder({"latent_sample": x / self.scaling})[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--skip", help="AdaDiff's skip rule; none: every step")
    parser.add_argument("--precision", default="int8", choices=["float32", "bfloat16", "int8"])
    parser.add_argument("--openvino-precision", default="bf16", choices=["f32", "bf16"])
    parser.add_argument("--guidance", type=float, default=7.5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--prompt", default="a red apple on a table")
    arguments = parser.parse_args()

    import adadiff

    pipeline = adadiff.Pipeline(arguments.folder, threads=arguments.threads, precision=arguments.precision)
    tokens = np.concatenate([pipeline.tokenize(text)["input_ids"] for text in ("", arguments.prompt)]).astype(np.int64)
    side = json.loads((arguments.folder / "unet" / "config.json").read_text())["sample_size"]
    latents = np.random.default_rng(0).standard_normal((1, 4, side, side)).astype(np.float32)
    peer = OpenVINOPipeline(
        arguments.folder, tokens, side, arguments.threads, arguments.openvino_precision
    )

    def ours(steps, **options):
        report = pipeline(
            arguments.prompt, steps=steps, latents=latents, guidance_scale=arguments.guidance, scheduler="ddim", **options
        ).report
        return report["network_calls"]

    ours(2)
    peer(latents, 2, arguments.guidance)
    seconds = {"AdaDiff": [], "OpenVINO": []}
    rule = {"skip": arguments.skip} if arguments.skip else {}
    for _ in range(arguments.runs):
        begin = time.perf_counter()
        calls = ours(arguments.steps, **rule)
        middle = time.perf_counter()
        peer(latents, arguments.steps, arguments.guidance)
        seconds["AdaDiff"].append(middle - begin)
        seconds["OpenVINO"].append(time.perf_counter() - middle)
    own, other = (statistics.median(times) for times in seconds.values())
    print(f"{machine()}; {arguments.threads} threads, {8 * side}² pixels, guidance in a batch of two\n")
    print("| | network calls | seconds | ratio |\n|---|---|---|---|")
    print(f"| OpenVINO {arguments.openvino_precision}, {arguments.steps} steps | {arguments.steps} | {other:.1f} | 1 |")
    print(f"| AdaDiff {arguments.precision}, {arguments.steps} steps | {calls} | {own:.1f} | {other / own:.2f} times faster |")


if __name__ == "__main__":
    main()
