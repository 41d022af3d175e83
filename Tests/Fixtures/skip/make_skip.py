"""Recorded trajectories and the decisions that plain implementations of the skip rules take on them.

A trajectory is a full DDIM run (Stable Diffusion's schedule) of an exact denoiser, that of a mixture of Gaussians in 48
dimensions. Each rule below is written from its authors' description, on vectors, with no code in common with the library;
decisions are taken along the full trajectory. Usage: python make_skip.py (writes decisions.json beside itself)
"""

import json
from pathlib import Path

import numpy as np

DIMENSION, STEPS = 48, 50
betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
alphas = np.cumprod(1 - betas)
timesteps = [i * (1000 // STEPS) + 1 for i in reversed(range(STEPS))]


def trajectory(seed):
    """Latents before each call and after the last (51, 48), noise predictions (50, 48), float32."""
    generator = np.random.default_rng(seed)
    means = generator.normal(0, 1.5, (6, DIMENSION))
    widths = generator.uniform(0.1, 0.6, 6)
    x = generator.normal(0, 1, DIMENSION)
    xs, outputs = [x], []
    for t in timesteps:
        signal, noise = alphas[t] ** 0.5, (1 - alphas[t]) ** 0.5
        variances = (signal * widths) ** 2 + noise**2
        distances = ((x - signal * means) ** 2).sum(1)
        logits = -distances / (2 * variances) - DIMENSION / 2 * np.log(variances)
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        epsilon = noise * (shares[:, None] * (x - signal * means) / variances[:, None]).sum(0)
        previous = t - 1000 // STEPS
        after = alphas[previous] if previous >= 0 else alphas[0]
        x = after**0.5 * (x - noise * epsilon) / signal + (1 - after) ** 0.5 * epsilon
        xs.append(x)
        outputs.append(epsilon)
    return np.float32(xs), np.float32(outputs)


def mean_abs(x):
    return np.abs(np.float64(x)).mean()


def third_order(xs, outputs, delta, max_skip):
    """AdaptiveDiffusion's pipeline code: `prev_latents` are the latents after each step."""
    latents, changes, mask, run = [], [], [], []
    skip_next = False
    for i in range(STEPS):
        run.append(not skip_next)
        latents.append(xs[i + 1])
        if i >= 1:
            changes.append(mean_abs(latents[-1] - latents[-2]))
        if len(latents) <= 3:
            continue
        if len(mask) > 4 and not any(mask[-max_skip:]):
            skip_next = False
        else:
            value = abs((changes[-1] + changes[-3]) / 2 - changes[-2])
            skip_next = bool(value <= delta * changes[-2])
        mask.append(not skip_next)
    return run


def third_order_vector(xs, outputs, delta, max_skip):
    run, skipped = [], 0
    for call in range(STEPS):
        go = True
        if call >= 4 and skipped < max_skip:
            a, b, c, d = (np.float64(xs[call - k]) for k in range(4))
            go = not mean_abs(a - 3 * b + 3 * c - d) <= delta * mean_abs(a - b)
        run.append(go)
        skipped = 0 if go else skipped + 1
    return run


def zeus(xs, outputs):
    return [not (10 <= step < 45 and step % 3 in (0, 1)) for step in range(STEPS)]


def easycache(xs, outputs, threshold):
    run, error, rate = [], 0.0, None
    last_input = before = last_output = None
    for call in range(STEPS):
        x, go = xs[call], True
        if not int(0.15 * STEPS) <= call < int(0.95 * STEPS):
            error = 0.0
        elif rate is not None:
            error += rate * mean_abs(x - before) / mean_abs(last_output)
            go = error >= threshold
            if go:
                error = 0.0
        if go:
            if last_output is not None:
                rate = mean_abs(outputs[call] - last_output) / mean_abs(x - last_input)
            last_input, last_output = x, outputs[call]
        before = x
        run.append(go)
    return run


def ucache(xs, outputs, threshold):
    """stable-diffusion.cpp's state machine; nothing is kept outside the window."""
    run, error, rate, average, computed, in_a_row = [], 0.0, None, None, 0, 0
    last_input = last_output = None
    for call in range(STEPS):
        active = int(0.15 * STEPS) <= call < int(0.95 * STEPS)
        x, go = xs[call], True
        change = mean_abs(x - last_input) if active and last_input is not None else None
        if change is not None and rate is not None:
            size = mean_abs(last_output)
            scale = np.sqrt(size * (average * 1.6 if average is not None else size))
            error += rate * change / scale * (1 + 0.5 * in_a_row)
            progress = computed / STEPS
            factor = 0.5 if progress < 0.2 else 1.5 if progress > 0.8 else 1
            go = not error < threshold * factor
            if go:
                error = 0.0
        run.append(go)
        if not go:
            in_a_row += 1
            continue
        if not active:
            continue
        computed += 1
        in_a_row = 0
        if last_output is not None:
            difference = mean_abs(outputs[call] - last_output)
            average = difference if average is None else 0.8 * average + 0.2 * difference
            rate = difference / change
        last_input, last_output = x, outputs[call]
    return run


def every(xs, outputs, n):
    return [step % n == 0 for step in range(STEPS)]


def fixed_mask(xs, outputs, mask):
    """As it stands, or its network calls at the same relative places of the longer schedule."""
    run = [False] * STEPS
    for index, letter in enumerate(mask):
        if letter == "R":
            run[int(index * (STEPS - 1) / (len(mask) - 1) + 0.5)] = True
    return run


def sada(xs, outputs):
    """Step skipping of SADA's image pipelines with their defaults for 50 steps: acc_range (10, 47), max_interval 4,
    lagrange_step 24. Gradients are those of y = x / signal by u = noise / signal, in which the solver's ODE is dy = eps du.
    """
    signal = np.array([alphas[t] ** 0.5 for t in timesteps])
    u = np.array([(1 - alphas[t]) ** 0.5 for t in timesteps]) / signal
    run, gradients, last, in_a_row, skip_next = [], [], None, 0, None
    for step in range(STEPS):
        if not 10 <= step < 47 or in_a_row >= 3:
            go = True
        elif step >= 24:
            go = (step - 24) % 4 == 0
        else:
            go = not skip_next
        if go:
            last = np.float64(outputs[step])
        # A skipped step of the first half steps with the old gradient; the second half asks for none.
        gradients.append(last)
        run.append(go)
        in_a_row = 0 if go else in_a_row + 1
        if step >= 2 and step + 1 < STEPS:
            f0, f1, f2 = gradients[-1], gradients[-2], gradients[-3]
            dt = u[step] - u[step + 1]
            extrapolated = xs[step] / signal[step] - 0.625 * dt * f0 - 0.75 * dt * f1 + 0.375 * dt * f2
            criterion = ((xs[step + 1] / signal[step + 1] - extrapolated) * (f0 - 2 * f1 + f2)).mean()
            skip_next = bool(criterion <= 0)
    return run


def step_control(xs, outputs, tolerance, controller="pid", budget=STEPS, longest=6):
    """Network calls as an adaptive solver places its steps. Error of a call: relative distance between its noise prediction
    and the line through the two calls before, in log-SNR, times the length that line had served. The next length is k-diffusion's
    `PIDStepSizeController` with its coefficients (0, 1, 0), order 2 and limiter 1 + atan(x - 1); "embedded": its integral
    part within 1/4 and 4; "third-order": the same with AdaptiveDiffusion's criterion as error. A call is made on the last
    grid point that is no more than half a grid step late, never later than the budget's rest allows."""
    log_snr = [0.5 * np.log(alphas[t] / (1 - alphas[t])) for t in timesteps]
    changes = [0.0] + [mean_abs(xs[i + 1] - xs[i]) for i in range(1, STEPS)]
    run, nodes, length, errors = [], [], None, []

    def error_at(call):
        if controller == "third-order":
            a, b, c = changes[call - 2 : call + 1]
            return abs((c + a) / 2 - b) / b
        known = nodes[:-1][-2:]
        guess = np.float64(outputs[known[-1]])
        if len(known) == 2:
            slope = (guess - outputs[known[0]]) / (log_snr[known[1]] - log_snr[known[0]])
            guess = guess + slope * (log_snr[call] - log_snr[known[1]])
        return mean_abs(outputs[call] - guess) / mean_abs(outputs[call])

    for call in range(STEPS):
        left = budget - len(nodes)
        if call == STEPS - 1 or call < 3:
            go = left > (0 if call == STEPS - 1 else 1) or call == 0
        elif left <= 1:
            go = False
        else:
            last = nodes[-1]
            if length is None or length[0] != last:
                served = log_snr[last] - log_snr[nodes[-2]]
                if controller == "third-order" and last < 3:
                    length = (last, served)
                else:
                    ratio = (tolerance / (error_at(last) * served)) ** 0.5
                    factor = min(4, max(0.25, ratio)) if controller == "embedded" else 1 + np.arctan(ratio - 1)
                    if controller == "third-order":
                        factor = min(4, max(0.25, ratio))
                    length = (last, served * max(0.1, factor))
            half = (log_snr[call + 1] - log_snr[call]) / 2
            go = call - last > longest or log_snr[call] - log_snr[last] + half >= length[1]
            # The calls that are left, spread evenly over the rest.
            if go and call - last <= longest:
                go = call - last >= (STEPS - 1 - last) // left
        run.append(go)
        if go:
            nodes.append(call)
    return run


rules = {
    **{f"third-order:delta={d},max_skip={c}": (third_order, d, c) for d in (0.002, 0.01, 0.03, 0.1) for c in (1, 2, 4, 6)},
    **{
        f"third-order-vector:delta={d},max_skip={c},cap=correct": (third_order_vector, d, c)
        for d in (0.01, 0.05, 0.3)
        for c in (2, 4)
    },
    "zeus": (zeus,),
    **{f"easycache:threshold={t}": (easycache, t) for t in (0.02, 0.05, 0.2)},
    **{f"ucache:threshold={t}": (ucache, t) for t in (0.3, 1, 2)},
    **{f"every:n={n}": (every, n) for n in (2, 3, 7)},
    **{f"fixed-mask:mask={m}": (fixed_mask, m) for m in ("RRR" + "0R00R" * 9 + "0R", "R" + 49 * "0")},
    **{f"fixed-mask:mask={m},resample=true": (fixed_mask, m) for m in ("RRR0R0R00R", "R0R0R0R0R0R0R0R0R0R0R0R0R", 60 * "R0" + "R")},
    "sada": (sada,),
    **{f"step-control:tolerance={t}": (step_control, t) for t in (0.0005, 0.002, 0.01, 0.05)},
    **{f"step-control:tolerance=0.01,budget={b}": (step_control, 0.01, "pid", b) for b in (8, 12, 20)},
    "step-control:tolerance=0.01,max_skip=2": (step_control, 0.01, "pid", STEPS, 2),
    **{
        f"step-control:controller={c},tolerance={t}": (step_control, t, c)
        for c in ("embedded", "third-order")
        for t in (0.002, 0.02)
    },
}
cases = []
for seed in range(3):
    xs, outputs = trajectory(seed)
    decisions = {
        name: "".join("R" if run else "-" for run in rule(xs, outputs, *parameters))
        for name, (rule, *parameters) in rules.items()
    }
    cases.append(
        {
            "latents": [[float(f"{v:.6g}") for v in x] for x in xs],
            "outputs": [[float(f"{v:.6g}") for v in x] for x in outputs],
            "decisions": decisions,
        }
    )
# Decisions of the numbers as they are stored.
for case in cases:
    xs, outputs = np.float32(case["latents"]), np.float32(case["outputs"])
    for name, (rule, *parameters) in rules.items():
        case["decisions"][name] = "".join("R" if run else "-" for run in rule(xs, outputs, *parameters))
Path(__file__).with_name("decisions.json").write_text(json.dumps({"cases": cases}, separators=(",", ":")) + "\n")
for name, mask in cases[0]["decisions"].items():
    print(name, mask)
