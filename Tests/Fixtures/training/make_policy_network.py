"""Logits, loss and gradients of a small step-selection network as PyTorch computes them: writes policy_network.json.

    python make_policy_network.py        (torch 2.x)

Parameters lie in one vector in the order of Sources/Training/Network/NetworkShape.swift, matrices as (inputs, outputs).
"""

import json
from pathlib import Path

import torch
from torch import nn

FEATURES, CHOICES, LAYERS, HEADS, FEED_FORWARD, HEAD_HIDDEN = 8, 4, 2, 2, 12, 6
LENGTHS = [3, 5, 1, 2]


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            FEATURES, HEADS, FEED_FORWARD, dropout=0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, LAYERS, norm=nn.LayerNorm(FEATURES), enable_nested_tensor=False)
        self.hidden, self.logits = nn.Linear(FEATURES, HEAD_HIDDEN), nn.Linear(HEAD_HIDDEN, CHOICES)

    def forward(self, x, mask):
        y = self.encoder(x, src_key_padding_mask=mask == 0) * mask[..., None]
        return self.logits(torch.relu(self.hidden(y.sum(1) / mask.sum(1, keepdim=True))))

    def ordered(self):
        for layer in self.encoder.layers:
            yield from (layer.norm1.weight, layer.norm1.bias)
            yield from (layer.self_attn.in_proj_weight, layer.self_attn.in_proj_bias)
            yield from (layer.self_attn.out_proj.weight, layer.self_attn.out_proj.bias)
            yield from (layer.norm2.weight, layer.norm2.bias)
            yield from (layer.linear1.weight, layer.linear1.bias, layer.linear2.weight, layer.linear2.bias)
        yield from (self.encoder.norm.weight, self.encoder.norm.bias)
        yield from (self.hidden.weight, self.hidden.bias, self.logits.weight, self.logits.bias)


def flat(tensors):
    return torch.cat([(t.T if t.ndim == 2 else t).reshape(-1) for t in tensors]).tolist()


def main():
    torch.manual_seed(0)
    policy = Policy().double()
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    # The Swift side reads float32.
    policy = policy.float().double()
    length = max(LENGTHS)
    x = torch.randn(len(LENGTHS), length, FEATURES).double().float().double()
    mask = torch.tensor([[i < n for i in range(length)] for n in LENGTHS]).double()
    rewards = torch.randn(len(LENGTHS), CHOICES).double()
    logits = policy(x, mask)
    log_probabilities = logits.log_softmax(-1)
    probabilities = log_probabilities.exp()
    entropy = -(probabilities * log_probabilities).sum(-1)
    loss = -((probabilities * rewards).sum(-1) + 0.1 * entropy).mean()
    loss.backward()
    actions = torch.tensor([1, 3, 0, 2])
    expected = flat(p.grad for p in policy.ordered())
    policy.zero_grad()
    drawn = rewards.gather(1, actions[:, None])[:, 0]
    (-(policy(x, mask).log_softmax(-1).gather(1, actions[:, None])[:, 0] * drawn).mean()).backward()
    result = {
        "features": FEATURES, "choices": CHOICES, "layers": LAYERS, "heads": HEADS, "feed_forward": FEED_FORWARD,
        "head_hidden": HEAD_HIDDEN, "lengths": LENGTHS, "entropy_weight": 0.1, "actions": actions.tolist(),
        "rows": torch.cat([x[i, :n] for i, n in enumerate(LENGTHS)]).tolist(), "rewards": rewards.tolist(),
        "parameters": flat(p.detach() for p in policy.ordered()), "logits": logits.tolist(), "loss": loss.item(),
        "expected_gradient": expected, "reinforce_gradient": flat(p.grad for p in policy.ordered()),
    }
    rounded = json.loads(json.dumps(result), parse_float=lambda text: float(f"{float(text):.9g}"))
    (Path(__file__).parent / "policy_network.json").write_text(json.dumps(rounded) + "\n")


if __name__ == "__main__":
    main()
