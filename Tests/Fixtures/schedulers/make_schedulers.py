"""Writes trajectories.json: where diffusers' schedulers arrive with a fake network, over a grid of their options.

Run with a Python that has diffusers and scipy: python make_schedulers.py
Latents and network are float64 where the scheduler allows it (diffusers' coefficients stay float32). Noise is drawn in
float32 from one torch generator per case, first the initial latents, then each draw in order.
"""

import itertools
import json
import logging
import math
import pathlib
import sys
import warnings

import diffusers
import torch

warnings.filterwarnings("ignore")
diffusers.utils.logging.set_verbosity(logging.CRITICAL)

SHAPE = (2, 4, 3, 4)
SEED = 7
STEPS = [1, 2, 5, 10, 25, 50]
SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
BASES = {
    "sd": SD,
    "linear": {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear"},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
    "short": {"num_train_timesteps": 60, "beta_start": 0.001, "beta_end": 0.2, "beta_schedule": "linear"},
    # Not just any betas: diffusers' first integer timestep with exponential sigmas hangs on the last bit of a float32
    # logarithm of the last sigma; with these, every correct or nearly correct logarithm gives the same.
    "trained": {
        "num_train_timesteps": 100,
        "trained_betas": [round(0.001 + 0.0005 * i + 0.0003 * (i % 3), 6) for i in range(100)],
    },
}


def network(x, t):
    """Elementwise, bounded slope: enough to make every coefficient matter."""
    return 0.6 * torch.sin(x + 0.003 * t) + 0.35 * x


def run(name, options, steps, eta=None, mu=None):
    generator = torch.Generator().manual_seed(SEED)

    def draw(shape, generator=None, device=None, dtype=None, layout=None):
        return torch.randn(SHAPE, generator=shared).to(dtype or torch.float32)

    shared = generator
    cls = getattr(diffusers, name)
    module = sys.modules[cls.__module__]
    if hasattr(module, "randn_tensor"):
        module.randn_tensor = draw
    scheduler = cls.from_config(dict(options))
    scheduler.set_timesteps(steps, **({"mu": mu} if mu is not None else {}))
    if hasattr(scheduler, "set_begin_index"):
        # Otherwise a schedule whose first two timesteps are equal starts at the second one and runs out of sigmas.
        scheduler.set_begin_index(0)
    start = torch.randn(SHAPE, generator=generator).double()
    sigma = float(getattr(scheduler, "init_noise_sigma", 1.0))
    x = start * sigma
    original = None
    for t in scheduler.timesteps:
        inputs = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        output = network(inputs.double(), float(t))
        extra = {"eta": eta} if eta is not None else {}
        result = scheduler.step(output, t, x, **extra)
        x = result.prev_sample
        original = getattr(result, "pred_original_sample", None)
    return scheduler.timesteps, sigma, x.double(), original


def product(**axes):
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes.keys(), values))


SPACINGS = ["leading", "trailing", "linspace"]
KARRAS = [{}, {"use_karras_sigmas": True}, {"use_exponential_sigmas": True}, {"use_beta_sigmas": True}]


def grid():
    """(class, base name, options, eta, mu)"""
    predictions = ["epsilon", "v_prediction", "sample"]
    # The alpha family.
    for base, o in itertools.product(BASES, product(prediction_type=predictions, timestep_spacing=SPACINGS)):
        yield "DDIMScheduler", base, {**o, "clip_sample": False}, None, None
    for o in product(prediction_type=predictions, set_alpha_to_one=[True, False], steps_offset=[0, 1]):
        yield "DDIMScheduler", "sd", {**o, "clip_sample": False}, None, None
    for eta, o in itertools.product([0.3, 1.0], product(prediction_type=predictions, clip_sample=[True, False])):
        yield "DDIMScheduler", "sd", o, eta, None
    for o in product(clip_sample=[True], clip_sample_range=[1.0, 2.5], prediction_type=predictions):
        yield "DDIMScheduler", "sd", o, None, None
    for cls in ["DDIMScheduler", "DDPMScheduler", "LCMScheduler", "DPMSolverMultistepScheduler", "UniPCMultistepScheduler",
                "DPMSolverSinglestepScheduler"]:
        for o in product(thresholding=[True], dynamic_thresholding_ratio=[0.995, 0.8], sample_max_value=[1.0, 1.6]):
            yield cls, "sd", o, None, None
    for spacing in SPACINGS:
        zero = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction", "timestep_spacing": spacing}
        for cls in ["DDIMScheduler", "DDPMScheduler", "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler",
                    "DPMSolverMultistepScheduler", "UniPCMultistepScheduler"]:
            yield cls, "sd", {**zero, "clip_sample": False}, None, None
    for o in product(prediction_type=predictions, timestep_spacing=SPACINGS, clip_sample=[True, False]):
        yield "DDPMScheduler", "sd", o, None, None
    for o in product(variance_type=["fixed_small", "fixed_small_log", "fixed_large"], clip_sample=[False]):
        for base in BASES:
            yield "DDPMScheduler", base, o, None, None
    for schedule in ["sigmoid", "laplace"]:
        yield "DDPMScheduler", "sd", {"beta_schedule": schedule}, None, None
    for o in product(prediction_type=predictions[:2], timestep_spacing=SPACINGS, skip_prk_steps=[True, False],
                     set_alpha_to_one=[True, False]):
        yield "PNDMScheduler", "sd", o, None, None
    for base in ["linear", "cosine"]:
        for o in product(skip_prk_steps=[True, False], steps_offset=[0, 1]):
            yield "PNDMScheduler", base, o, None, None
    for o in product(prediction_type=predictions, original_inference_steps=[50, 100], clip_sample=[True, False]):
        yield "LCMScheduler", "sd", o, None, None
    for o in product(timestep_scaling=[1.0, 0.05], set_alpha_to_one=[False], rescale_betas_zero_snr=[False, True],
                     prediction_type=["v_prediction"]):
        yield "LCMScheduler", "sd", o, None, None
    for eta, o in itertools.product([0.0, 0.3, 1.0], product(prediction_type=predictions)):
        yield "TCDScheduler", "sd", o, eta, None
    yield "TCDScheduler", "sd", {"original_inference_steps": 100}, None, None

    # The sigma family.
    for cls in ["EulerDiscreteScheduler", "HeunDiscreteScheduler", "LMSDiscreteScheduler"]:
        for k, o in itertools.product(KARRAS, product(prediction_type=predictions, timestep_spacing=SPACINGS)):
            yield cls, "sd", {**k, **o}, None, None
        for base, k in itertools.product(BASES, KARRAS):
            yield cls, base, k, None, None
        yield cls, "sd", {"timestep_spacing": "leading", "steps_offset": 1}, None, None
    for k, o in itertools.product(KARRAS, product(final_sigmas_type=["zero", "sigma_min"],
                                                  interpolation_type=["linear", "log_linear"])):
        yield "EulerDiscreteScheduler", "sd", {**k, **o}, None, None
    for k in KARRAS[1:]:
        yield "EulerDiscreteScheduler", "sd", {**k, "sigma_min": 0.05, "sigma_max": 20.0}, None, None
    yield "EulerDiscreteScheduler", "sd", {"timestep_type": "continuous", "prediction_type": "v_prediction"}, None, None
    for o in product(clip_sample=[True], clip_sample_range=[1.0, 3.0], prediction_type=predictions):
        yield "HeunDiscreteScheduler", "sd", o, None, None
    yield "HeunDiscreteScheduler", "sd", {"beta_schedule": "exp"}, None, None
    for base, o in itertools.product(BASES, product(prediction_type=predictions[:2], timestep_spacing=SPACINGS)):
        yield "EulerAncestralDiscreteScheduler", base, o, None, None

    # DPM-Solver.
    multi, single, unipc = "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler", "UniPCMultistepScheduler"
    algorithms = [("dpmsolver++", "zero"), ("dpmsolver++", "sigma_min"), ("sde-dpmsolver++", "zero"),
                  ("sde-dpmsolver++", "sigma_min"), ("dpmsolver", "sigma_min"), ("sde-dpmsolver", "sigma_min")]
    for (algorithm, final), o in itertools.product(algorithms, product(solver_order=[1, 2, 3],
                                                                       solver_type=["midpoint", "heun"],
                                                                       prediction_type=predictions)):
        o = {**o, "algorithm_type": algorithm, "final_sigmas_type": final}
        yield multi, "sd", o, None, None
        if algorithm != "sde-dpmsolver":
            yield single, "sd", o, None, None
    for k, o in itertools.product(KARRAS + [{"use_lu_lambdas": True}], product(timestep_spacing=SPACINGS,
                                                                               lower_order_final=[True, False],
                                                                               euler_at_final=[True, False])):
        yield multi, "sd", {**k, **o}, None, None
    for k, o in itertools.product(KARRAS, product(lower_order_final=[True, False], solver_order=[2, 3],
                                                  final_sigmas_type=["zero", "sigma_min"])):
        yield single, "sd", {**k, **o}, None, None
    for cls, base, k in itertools.product([multi, single, unipc], BASES, KARRAS):
        yield cls, base, k, None, None
    for cls in [multi, single]:
        yield cls, "cosine", {"lambda_min_clipped": -5.1}, None, None
        yield cls, "sd", {"algorithm_type": "deis", "solver_type": "logrho"}, None, None
        yield cls, "sd", {"use_flow_sigmas": True, "flow_shift": 3.0, "prediction_type": "flow_prediction"}, None, None
    for o in product(steps_offset=[1], timestep_spacing=["leading"], solver_order=[2, 3]):
        yield multi, "sd", o, None, None
        yield unipc, "sd", o, None, None

    # UniPC.
    for o in product(solver_type=["bh1", "bh2"], solver_order=[1, 2, 3, 4], prediction_type=predictions,
                     predict_x0=[True, False]):
        for final in ["zero", "sigma_min"]:
            yield unipc, "sd", {**o, "final_sigmas_type": final}, None, None
    for k, o in itertools.product(KARRAS, product(timestep_spacing=SPACINGS, lower_order_final=[True, False],
                                                  final_sigmas_type=["zero", "sigma_min"])):
        yield unipc, "sd", {**k, **o}, None, None
    yield unipc, "sd", {"disable_corrector": [0, 1, 2]}, None, None
    for k in [{}, {"use_karras_sigmas": True}]:
        yield unipc, "sd", {**k, "use_flow_sigmas": True, "flow_shift": 3.0, "prediction_type": "flow_prediction"}, None, None

    # Flow matching.
    flow = "FlowMatchEulerDiscreteScheduler"
    for k, shift in itertools.product(KARRAS, [1.0, 3.0]):
        yield flow, None, {**k, "shift": shift}, None, None
    for kind in ["exponential", "linear"]:
        for terminal in [None, 0.1]:
            yield flow, None, {"use_dynamic_shifting": True, "time_shift_type": kind, "shift_terminal": terminal}, None, 0.8
    yield flow, None, {"stochastic_sampling": True, "shift": 3.0}, None, None
    yield flow, None, {"invert_sigmas": True}, None, None


def number(value):
    return float(f"{value:.6g}")


def main():
    cases, skipped, seen = [], {}, set()
    for index, (name, base, options, eta, mu) in enumerate(grid()):
        key = json.dumps([name, base, options, eta, mu], sort_keys=True)
        if key in seen:
            continue
        seen.add(key)
        # Two step counts per combination, in rotation: neighbours in the grid get different ones.
        for steps in sorted({STEPS[index % len(STEPS)], STEPS[(index * 5 + 2) % len(STEPS)]}):
            merged = {**(BASES[base] if base else {}), **options}
            label = f"{name} {base} {options} {steps}"
            try:
                timesteps, sigma, x, original = run(name, merged, steps, eta, mu)
            except Exception as error:  # what diffusers itself cannot run is no reference
                skipped[f"{type(error).__name__}: {str(error)[:90]}"] = label
                continue
            if not torch.isfinite(x).all():
                skipped["not finite: " + label] = label
                continue
            case = {"class": name, "options": options, "steps": steps, "sigma": number(sigma)}
            if base:
                case["base"] = base
            if eta is not None:
                case["eta"] = eta
            if mu is not None:
                case["mu"] = mu
            case["timesteps"] = [number(float(t)) for t in timesteps]
            case["latents"] = [number(float(v)) for v in x.flatten()[::3]]
            if original is not None:
                case["original"] = [number(float(v)) for v in original.double().flatten()[:3]]
            cases.append(case)
    document = {"shape": SHAPE, "seed": SEED, "diffusers": diffusers.__version__, "bases": BASES, "cases": cases}
    path = pathlib.Path(__file__).with_name("trajectories.json")
    path.write_text(json.dumps(document, separators=(",", ":"), allow_nan=False) + "\n")
    print(len(cases), "cases", path.stat().st_size, "bytes")
    print(len(skipped), "kinds of combination that diffusers itself cannot run")
    for reason, label in skipped.items():
        if not reason.startswith("not finite"):
            print("skipped", reason, "|", label)


main()
