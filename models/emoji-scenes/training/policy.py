"""Trains the step policy on a reward table by the exact expected policy gradient, and exports it.

The reward of `t` steps for a prompt is (1 - t / max) + lambda * Q where the quality Q is among the best `top_k`
of the prompt's step counts, and (1 - t / max) - gamma elsewhere (AdaDiff, Zhang et al., 2025). With one decision
per prompt the expectation over step counts is a sum, so its gradient needs no samples.
"""

import argparse
import datetime
import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from torch import nn

from networks import SCHEDULER, TEXT_WIDTH, load_diffusion
from onnx_files import export_onnx
from reward_table import STEP_SET
from tokenizer import MAX_LENGTH, attention_mask, load_tokenizer, tokenize


class _Layer(nn.Module):
    """Pre-norm self-attention and feed-forward."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.attention_norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def _split(self, x):
        return x.reshape(x.shape[0], -1, self.heads, x.shape[2] // self.heads).transpose(1, 2)

    def forward(self, x, bias):
        y = self.attention_norm(x)
        query, key, value = (self._split(layer(y)) for layer in (self.query, self.key, self.value))
        weights = (query @ key.transpose(2, 3) * query.shape[-1] ** -0.5 + bias).softmax(-1)
        x = x + self.out((weights @ value).transpose(1, 2).reshape(x.shape))
        return x + self.feed(self.feed_norm(x))


class Policy(nn.Module):
    def __init__(self, width=TEXT_WIDTH, layers=2, heads=4, choices=len(STEP_SET), dropout=0.2):
        super().__init__()
        self.layers = nn.ModuleList(_Layer(width, heads) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, choices))

    def forward(self, last_hidden_state, attention_mask):
        """(batch, length, width) and int64 (batch, length) -> logits (batch, choices)."""
        mask = attention_mask.to(last_hidden_state.dtype)
        bias = (mask[:, None, None, :] - 1) * 1e4
        x = self.dropout(last_hidden_state)
        for layer in self.layers:
            x = layer(x, bias)
        pooled = (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return self.head(self.dropout(self.norm(pooled)))


def step_rewards(quality, reward_weight, top_k, penalty):
    """quality (prompts, choices) -> the policy's reward for every choice, same shape."""
    steps = np.array(STEP_SET)
    rank = (-quality).argsort(1).argsort(1)
    return (1 - steps / steps.max()) + np.where(rank < top_k, reward_weight * quality, -penalty)


@torch.no_grad()
def text_features(diffusion, tokens, captions):
    ids = tokenize(tokens, captions)
    return diffusion.encode_text(ids), attention_mask(ids, tokens.eos_token_id)


def train_policy(features, mask, rewards, arguments):
    torch.manual_seed(arguments.seed)
    policy = Policy()
    optimizer = torch.optim.AdamW(policy.parameters(), arguments.lr, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, arguments.iterations)
    for iteration in range(arguments.iterations):
        rows = torch.randint(len(rewards), (64,))
        log_probability = policy(features[rows], mask[rows]).log_softmax(-1)
        probability = log_probability.exp()
        expected = (probability * rewards[rows]).sum(1).mean()
        entropy = -(probability * log_probability).sum(1).mean()
        loss = -expected - arguments.entropy_weight * (1 - iteration / arguments.iterations) * entropy
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return policy.eval()


def summarize(name, choices, rewards, quality, kinds):
    """choices (prompts,) are indices into STEP_SET; returns the figures and prints them."""
    rows = np.arange(len(choices))
    steps = np.array(STEP_SET)[choices]
    figures = {"mean_steps": steps.mean(), "mean_reward": rewards[rows, choices].mean(),
               "mean_quality": quality[rows, choices].mean()}
    by_kind = "  ".join(f"{kind} {steps[kinds == kind].mean():.1f}" for kind in dict.fromkeys(kinds))
    print(f"{name:12}", "  ".join(f"{key} {value:.3f}" for key, value in figures.items()), " | steps:", by_kind)
    return {key: round(float(value), 4) for key, value in figures.items()}


def export_policy(policy, folder):
    inputs = [torch.randn(2, MAX_LENGTH, TEXT_WIDTH), torch.ones(2, MAX_LENGTH, dtype=torch.long)]
    axes = {"last_hidden_state": {0: "batch", 1: "sequence"}, "attention_mask": {0: "batch", 1: "sequence"},
            "logits": {0: "batch"}}
    export_onnx(policy, inputs, folder / "policy.onnx", ["last_hidden_state", "attention_mask"], ["logits"], axes)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, required=True, help="folder written by reward_table.py")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--diffusion", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True, help="exported folder; policy/ is written into it")
    parser.add_argument("--guidance-scale", type=float, required=True)
    parser.add_argument("--reward-weight", type=float, default=2.0, help="lambda")
    parser.add_argument("--top-k", type=int, default=3)
    parser.add_argument("--penalty", type=float, default=0.5, help="gamma")
    parser.add_argument("--entropy-weight", type=float, default=0.05)
    parser.add_argument("--iterations", type=int, default=1500)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    prompts = json.loads((arguments.table / "prompts.json").read_text())
    captions, kinds = [p["caption"] for p in prompts], np.array([p["kind"] for p in prompts])
    table = np.load(arguments.table / "table.npz")["rewards"]
    # Q in 0..1: the logistic of the reward, centred and scaled over the whole table.
    quality = 1 / (1 + np.exp(-(table - table.mean()) / table.std()))
    rewards = step_rewards(quality, arguments.reward_weight, arguments.top_k, arguments.penalty)

    tokens = load_tokenizer(arguments.tokenizer)
    features, mask = text_features(load_diffusion(arguments.diffusion, len(tokens)), tokens, captions)
    held_out = np.arange(len(prompts)) % 5 == 0
    rows = torch.from_numpy(np.flatnonzero(~held_out))
    targets = torch.from_numpy(rewards).float()
    policy = train_policy(features[rows], mask[rows], targets[rows], arguments)
    with torch.no_grad():
        choices = policy(features, mask).argmax(1).numpy()

    held = (rewards[held_out], quality[held_out], kinds[held_out])
    results = {"policy": summarize("policy", choices[held_out], *held)}
    for index, steps in enumerate(STEP_SET):
        results[f"fixed_{steps}"] = summarize(f"fixed {steps}", np.full(held_out.sum(), index), *held)
    results["best_per_prompt"] = summarize("best", held[0].argmax(1), *held)

    folder = arguments.model / "policy"
    export_policy(policy, folder)
    encoder = (arguments.model / "text_encoder" / "model.onnx").read_bytes()
    description = {
        "format": 1,
        "name": "emoji-scenes-steps",
        "step_set": STEP_SET,
        "policy": "policy.onnx",
        "text_encoder": {"hidden_size": TEXT_WIDTH, "sha256": hashlib.sha256(encoder).hexdigest()},
        "scheduler": "DDIMScheduler",
        "timestep_spacing": SCHEDULER["timestep_spacing"],
        "guidance_scale": arguments.guidance_scale,
        "training": {
            "reward": "reward/model.onnx, logistic of the standardised score",
            "lambda": arguments.reward_weight,
            "top_k": arguments.top_k,
            "gamma": arguments.penalty,
            "prompts": int((~held_out).sum()),
            "held_out_prompts": int(held_out.sum()),
            "noise_seeds_per_prompt": 1,
            "date": datetime.date.today().isoformat(),
            "held_out": results,
        },
    }
    (folder / "policy.json").write_text(json.dumps(description, indent=2) + "\n")


if __name__ == "__main__":
    main()
