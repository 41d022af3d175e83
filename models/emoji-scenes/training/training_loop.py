"""Trains one network with several processes that share parameters and gradients in memory.

On a CPU with other load, n single-thread processes are faster than one process with n threads. Every process
computes gradients for its part of the batch; each then updates its own share of the parameters and of their
exponential moving average. One process is the ordinary loop, also on a GPU.
"""

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.multiprocessing as multiprocessing

from muon import make_optimizers, scale_learning_rates


@dataclass
class Options:
    out: Path
    minutes: float = 30.0
    batch: int = 64
    processes: int = 2
    device: str = "cpu"
    muon_lr: float = 1.5e-3
    adamw_lr: float = 1e-3
    weight_decay: float = 0.01
    ema_decay: float = 0.998
    warmup_iterations: int = 50
    # The learning rate is constant up to this share of the time, then falls along a cosine to `final_lr` of it.
    constant_share: float = 0.35
    final_lr: float = 0.01
    checkpoint_seconds: float = 120.0
    seed: int = 0


def add_arguments(parser, **defaults):
    """Adds every field of Options to an argparse parser; `defaults` override the class's."""
    for name, value in {**vars(Options(Path("run"))), **defaults}.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value) if name != "out" else Path, default=value)


def options_from(arguments: argparse.Namespace):
    return Options(**{name: getattr(arguments, name) for name in vars(Options(Path()))})


class Task:
    """What to train. Subclasses are pickled to every process."""

    def network(self):
        """Returns the module, freshly initialised (or from an earlier stage)."""
        raise NotImplementedError

    def prepare(self, device):
        """Opens the data in the current process."""

    def loss(self, network, batch, progress):
        """Draws `batch` examples and returns their mean loss; `progress` in 0..1."""
        raise NotImplementedError

    def validate(self, network):
        """Returns a dictionary of figures for the log."""
        return {}


def _shares(parameters, processes):
    """Splits parameter indices so that the loads, in elements, are nearly equal."""
    loads, shares = [0] * processes, [[] for _ in range(processes)]
    for index in sorted(range(len(parameters)), key=lambda i: -parameters[i].numel()):
        rank = loads.index(min(loads))
        loads[rank] += parameters[index].numel()
        shares[rank].append(index)
    return shares


def _learning_rate_factor(iteration, progress, options):
    warmup = min(1.0, (iteration + 1) / options.warmup_iterations)
    if progress < options.constant_share:
        return warmup
    phase = (progress - options.constant_share) / (1 - options.constant_share)
    return warmup * (options.final_lr + (1 - options.final_lr) * 0.5 * (1 + math.cos(math.pi * phase)))


def _save(value, path):
    temporary = path.with_suffix(".partial")
    torch.save(value, temporary)
    temporary.replace(path)


def _worker(rank, task, options, network, average, gradients, barrier, clock):
    torch.set_num_threads(1 if options.processes > 1 else torch.get_num_threads())
    start_iteration = int(clock[1])
    torch.manual_seed(options.seed + 1000 * rank + start_iteration)
    task.prepare(options.device)
    named = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
    slices, offset = [], 0
    for _, parameter in named:
        end = offset + parameter.numel()
        slices.append([g[offset:end].view_as(parameter) for g in gradients])
        parameter.grad, offset = slices[-1][rank], end
    mine = _shares([p for _, p in named], options.processes)[rank]
    owned = [(named[i][0], torch.nn.Parameter(named[i][1].data), i) for i in mine]
    averages = dict(average.named_parameters())
    optimizers = make_optimizers(
        [(name, p) for name, p, _ in owned], options.muon_lr, options.adamw_lr, options.weight_decay
    )
    state_path = options.out / f"optimizer-{rank}.pt"
    if start_iteration and state_path.exists():
        for optimizer, state in zip(optimizers, torch.load(state_path)):
            optimizer.load_state_dict(state)

    iteration, budget, begun = start_iteration, options.minutes * 60, time.time() - float(clock[0])
    next_checkpoint, smoothed = float(clock[0]) + options.checkpoint_seconds / 2, None
    while True:
        if rank == 0:
            clock[0] = time.time() - begun
        barrier.wait()
        elapsed = float(clock[0])
        progress = elapsed / budget
        if elapsed >= next_checkpoint or progress >= 1:
            next_checkpoint = elapsed + options.checkpoint_seconds
            _save([optimizer.state_dict() for optimizer in optimizers], state_path)
            if rank == 0:
                clock[1] = iteration
                figures = {"seconds": round(elapsed), "samples": iteration * options.batch, "loss": smoothed or 0.0}
                figures.update(task.validate(average))
                with open(options.out / "log.txt", "a") as log:
                    log.write(" ".join(f"{k} {v:.4f}" if isinstance(v, float) else f"{k} {v}" for k, v in figures.items()) + "\n")
                _save({"network": network.state_dict(), "average": average.state_dict(), "clock": clock.clone()},
                      options.out / "checkpoint.pt")
                begun = time.time() - elapsed
            barrier.wait()
        if progress >= 1:
            return
        scale_learning_rates(optimizers, _learning_rate_factor(iteration, progress, options))
        gradients[rank].zero_()
        loss = task.loss(network, options.batch // options.processes, progress)
        loss.backward()
        barrier.wait()
        for _, parameter, index in owned:
            parameter.grad = torch.stack(slices[index]).mean(0) if options.processes > 1 else slices[index][0]
        for optimizer in optimizers:
            optimizer.step()
        iteration += 1
        decay = min(options.ema_decay, (1 + iteration) / (10 + iteration))
        torch._foreach_lerp_([averages[name] for name, _, _ in owned], [p.data for _, p, _ in owned], 1 - decay)
        smoothed = loss.item() if smoothed is None else 0.98 * smoothed + 0.02 * loss.item()
        barrier.wait()


class _NoBarrier:
    def wait(self):
        pass


def train(task, options):
    """Runs until `minutes` of training are spent, in total over resumed runs; returns the averaged network."""
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    network, average = task.network().to(options.device), task.network().to(options.device)
    average.load_state_dict(network.state_dict())
    average.requires_grad_(False)
    clock = torch.zeros(2, dtype=torch.float64)
    checkpoint = options.out / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=options.device)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        clock = state["clock"].cpu()
    elements = sum(p.numel() for p in network.parameters() if p.requires_grad)
    gradients = torch.zeros(options.processes, elements, device=options.device)
    if options.processes == 1:
        _worker(0, task, options, network, average, gradients, _NoBarrier(), clock)
        return average
    for shared in (network, average, gradients, clock):
        shared.share_memory() if isinstance(shared, torch.nn.Module) else shared.share_memory_()
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(options.processes)
    arguments = (task, options, network, average, gradients, barrier, clock)
    workers = [context.Process(target=_worker, args=(rank, *arguments)) for rank in range(options.processes)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        if worker.exitcode:
            raise SystemExit(f"a training process ended with {worker.exitcode}")
    return average
