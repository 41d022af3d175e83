"""Makes the tiny Stable Diffusion pipeline of this folder and the reference runs of diffusers on it.

    python Tests/Fixtures/tiny-sd/make_tiny_sd.py

Random weights (torch seed 0) in the layout that `optimum-cli export onnx` writes; a few hundred KiB in all. The
references are what diffusers' StableDiffusionPipeline computes with the same weights: final latents and pixels per case
of `cases.json`. Needs torch, diffusers, transformers, onnx.
"""

import json
import os
import shutil
import types

import numpy
import torch
from diffusers import (AutoencoderKL, DDIMScheduler, DPMSolverMultistepScheduler, EulerAncestralDiscreteScheduler,
                       PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
OPSET = 17
WINDOW = 16  # tokens that the text encoder sees


def make_tokenizer(folder):
    """A byte-level vocabulary with a few merges: every text has tokens, common words have one."""
    base = list(range(ord("!"), ord("~") + 1)) + list(range(0xA1, 0xAD)) + list(range(0xAE, 0x100))
    characters = [chr(b) for b in base] + [chr(256 + i) for i in range(256 - len(base))]
    merges = ["a p", "ap p", "app l", "appl e</w>", "c a", "ca t</w>", "r e", "re d</w>", "o n</w>", "t w", "tw o</w>"]
    vocabulary = characters + [c + "</w>" for c in characters] + [m.replace(" ", "") for m in merges]
    vocabulary += ["<|startoftext|>", "<|endoftext|>"]
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/vocab.json", "w", encoding="utf-8") as file:
        json.dump({token: index for index, token in enumerate(vocabulary)}, file, ensure_ascii=False)
    with open(f"{folder}/merges.txt", "w", encoding="utf-8") as file:
        file.write("#version: 0.2\n" + "\n".join(merges) + "\n")
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>",
               "unk_token": "<|endoftext|>"}
    with open(f"{folder}/special_tokens_map.json", "w") as file:
        json.dump(special, file, indent=2)
    with open(f"{folder}/tokenizer_config.json", "w") as file:
        json.dump({"add_prefix_space": False, "do_lower_case": True, "errors": "replace", "model_max_length": WINDOW,
                   "tokenizer_class": "CLIPTokenizer", **special}, file, indent=2)
    return len(vocabulary)


def export(module, name, arguments, inputs, outputs, dynamic):
    os.makedirs(f"{HERE}/{name}", exist_ok=True)
    torch.onnx.export(module, arguments, f"{HERE}/{name}/model.onnx", input_names=inputs, output_names=outputs,
                      dynamic_axes=dynamic, opset_version=OPSET, dynamo=False)


class TextEncoder(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids):
        result = self.model(input_ids.long(), output_hidden_states=True, return_dict=True)
        return (result.last_hidden_state, result.pooler_output) + tuple(result.hidden_states)


class UNet(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, sample, timestep, encoder_hidden_states):
        return self.model(sample, timestep, encoder_hidden_states, return_dict=False)[0]


class Decoder(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, latent_sample):
        return self.model.decode(latent_sample, return_dict=False)[0]


class Policy(torch.nn.Module):
    """A stand-in with the signature of a trained policy: masked mean of the features, one linear layer."""

    def __init__(self, features, choices):
        super().__init__()
        self.head = torch.nn.Linear(features, choices)

    def forward(self, last_hidden_state, attention_mask):
        mask = attention_mask.to(last_hidden_state.dtype).unsqueeze(-1)
        return self.head((last_hidden_state * mask).sum(1) / mask.sum(1))


def main():
    torch.manual_seed(0)
    torch.set_grad_enabled(False)
    vocabulary_size = make_tokenizer(f"{HERE}/tokenizer")
    tokenizer = CLIPTokenizer.from_pretrained(f"{HERE}/tokenizer")
    text = CLIPTextModel(CLIPTextConfig(
        vocab_size=vocabulary_size, hidden_size=32, intermediate_size=37, num_hidden_layers=3, num_attention_heads=4,
        max_position_embeddings=WINDOW, bos_token_id=vocabulary_size - 2, eos_token_id=vocabulary_size - 1,
        pad_token_id=vocabulary_size - 1, projection_dim=32)).eval()
    # The initial range makes features that hardly differ; larger weights make the prompt matter.
    for parameter in text.parameters():
        if parameter.ndim > 1:
            parameter.mul_(8)
    norm = (getattr(text, "text_model", None) or text).final_layer_norm
    norm.weight.uniform_(0.5, 1.5)
    norm.bias.uniform_(-0.5, 0.5)
    unet = UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32, attention_head_dim=2, norm_num_groups=4).eval()
    vae = AutoencoderKL(
        in_channels=3, out_channels=3, block_out_channels=(8, 8), latent_channels=4, norm_num_groups=4, layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        scaling_factor=0.2).eval()
    scheduler_options = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000,
                             clip_sample=False, set_alpha_to_one=False, steps_offset=1, timestep_spacing="leading")
    scheduler = DDIMScheduler(**scheduler_options)

    for name in ["text_encoder", "unet", "vae_decoder", "scheduler", "policy"]:
        shutil.rmtree(f"{HERE}/{name}", ignore_errors=True)
    features = text.config.hidden_size
    export(TextEncoder(text), "text_encoder", (torch.zeros(1, WINDOW, dtype=torch.int32),), ["input_ids"],
           ["last_hidden_state", "pooler_output"] + [f"hidden_states.{i}" for i in range(4)],
           {"input_ids": {0: "batch_size", 1: "sequence_length"}})
    export(UNet(unet), "unet",
           (torch.zeros(2, 4, 8, 8), torch.tensor([1], dtype=torch.int64), torch.zeros(2, WINDOW, features)),
           ["sample", "timestep", "encoder_hidden_states"], ["out_sample"],
           {"sample": {0: "batch_size", 2: "height", 3: "width"}, "timestep": {0: "steps"},
            "encoder_hidden_states": {0: "batch_size", 1: "sequence_length"}})
    export(Decoder(vae), "vae_decoder", (torch.zeros(1, 4, 8, 8),), ["latent_sample"], ["sample"],
           {"latent_sample": {0: "batch_size", 2: "height", 3: "width"}})
    choices = [5, 10, 20, 50]
    export(Policy(features, len(choices)), "policy",
           (torch.zeros(1, WINDOW, features), torch.ones(1, WINDOW, dtype=torch.int64)),
           ["last_hidden_state", "attention_mask"], ["logits"],
           {"last_hidden_state": {0: "batch", 1: "length"}, "attention_mask": {0: "batch", 1: "length"}})
    os.rename(f"{HERE}/policy/model.onnx", f"{HERE}/policy/policy.onnx")
    with open(f"{HERE}/policy/policy.json", "w") as file:
        json.dump({"format": 1, "name": "tiny", "step_set": choices, "policy": "policy.onnx",
                   "text_encoder": {"hidden_size": features}, "scheduler": "DDIMScheduler", "guidance_scale": 5.0,
                   "training": {}}, file, indent=2)
    for model, name in [(text, "text_encoder"), (unet, "unet"), (vae, "vae_decoder")]:
        config = dict(model.config) if name != "text_encoder" else model.config.to_dict()
        config = {key: value for key, value in config.items() if key != "_name_or_path"}
        with open(f"{HERE}/{name}/config.json", "w") as file:
            json.dump(config, file, indent=1, default=str)
    scheduler.save_pretrained(f"{HERE}/scheduler")
    with open(f"{HERE}/model_index.json", "w") as file:
        json.dump({"_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.42.1",
                   "scheduler": ["diffusers", "DDIMScheduler"], "text_encoder": ["optimum", "ORTModelTextEncoder"],
                   "tokenizer": ["transformers", "CLIPTokenizer"], "unet": ["optimum", "ORTModelUnet"],
                   "vae_decoder": ["optimum", "ORTModelVaeDecoder"]}, file, indent=2)

    pipeline = StableDiffusionPipeline(vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet, scheduler=scheduler,
                                       safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    # diffusers 0.42 looks for the final normalisation where transformers 4 had it.
    if not hasattr(text, "text_model"):
        object.__setattr__(text, "text_model", types.SimpleNamespace(final_layer_norm=norm))
    schedulers = {"DDIMScheduler": DDIMScheduler, "EulerAncestralDiscreteScheduler": EulerAncestralDiscreteScheduler,
                  "DPMSolverMultistepScheduler": DPMSolverMultistepScheduler, "PNDMScheduler": PNDMScheduler}
    cases = [
        {"name": "ddim_50", "prompt": "two red apples on a cat", "seed": 42, "steps": 50, "guidance_scale": 7.5},
        {"name": "negative", "prompt": "a cat", "negative_prompt": "apple", "seed": 7, "steps": 10, "guidance_scale": 5.0},
        {"name": "unguided", "prompt": "a cat", "seed": 3, "steps": 10, "guidance_scale": 1.0},
        {"name": "two_images_wide", "prompt": "red", "seed": 1, "steps": 5, "guidance_scale": 7.5, "count": 2, "width": 32,
         "height": 16},
        {"name": "eta", "prompt": "red apple", "seed": 5, "steps": 10, "guidance_scale": 7.5, "eta": 1.0},
        {"name": "ancestral", "prompt": "red apple", "seed": 5, "steps": 10, "guidance_scale": 7.5,
         "scheduler": "EulerAncestralDiscreteScheduler"},
        {"name": "multistep", "prompt": "two cats", "seed": 6, "steps": 12, "guidance_scale": 7.5,
         "scheduler": "DPMSolverMultistepScheduler"},
        {"name": "pndm", "prompt": "two cats", "seed": 6, "steps": 10, "guidance_scale": 7.5, "scheduler": "PNDMScheduler"},
        {"name": "rescale", "prompt": "a cat on", "seed": 8, "steps": 10, "guidance_scale": 7.5, "guidance_rescale": 0.7},
        {"name": "clip_skip", "prompt": "a red cat", "seed": 9, "steps": 5, "guidance_scale": 7.5, "clip_skip": 1},
        {"name": "long_prompt", "prompt": "two apples on two red apples and a very red cat on a very long apple",
         "seed": 10, "steps": 5, "guidance_scale": 7.5},
        {"name": "empty_prompt", "prompt": "", "seed": 11, "steps": 5, "guidance_scale": 7.5},
    ]
    os.makedirs(f"{HERE}/references", exist_ok=True)
    for case in cases:
        name = case.get("scheduler", "DDIMScheduler")
        pipeline.scheduler = schedulers[name].from_config(scheduler.config)
        arguments = dict(
            prompt=case["prompt"], negative_prompt=case.get("negative_prompt"), num_inference_steps=case["steps"],
            guidance_scale=case["guidance_scale"], num_images_per_prompt=case.get("count", 1), width=case.get("width"),
            height=case.get("height"), eta=case.get("eta", 0.0), guidance_rescale=case.get("guidance_rescale", 0.0),
            clip_skip=case.get("clip_skip"))
        latents = pipeline(generator=torch.Generator().manual_seed(case["seed"]), output_type="latent", **arguments).images
        pixels = pipeline(generator=torch.Generator().manual_seed(case["seed"]), output_type="np", **arguments).images
        case["latent_shape"] = list(latents.shape)
        numpy.ascontiguousarray(latents.numpy(), "<f4").tofile(f"{HERE}/references/{case['name']}.latents")
        (pixels * 255).round().astype(numpy.uint8).tofile(f"{HERE}/references/{case['name']}.pixels")
    # The policy's probabilities for one prompt.
    ids = tokenizer("a red cat", padding="max_length", max_length=WINDOW, truncation=True, return_tensors="pt")
    import onnxruntime
    session = onnxruntime.InferenceSession(f"{HERE}/policy/policy.onnx")
    hidden = text(ids.input_ids).last_hidden_state
    logits = session.run(["logits"], {"last_hidden_state": hidden.numpy(),
                                      "attention_mask": ids.attention_mask.numpy()})[0][0]
    probabilities = numpy.exp(logits - logits.max()) / numpy.exp(logits - logits.max()).sum()
    with open(f"{HERE}/references/cases.json", "w") as file:
        json.dump({"cases": cases, "policy": {"prompt": "a red cat", "probabilities": probabilities.tolist(),
                                              "steps": choices[int(probabilities.argmax())],
                                              "input_ids": ids.input_ids[0].tolist(),
                                              "attention_mask": ids.attention_mask[0].tolist()}}, file, indent=1)


if __name__ == "__main__":
    main()
