"""Times AdaDiff, ONNX Runtime and OpenVINO in turn on the same ONNX files and inputs, and prints a Markdown table.

    pip install -r bench/requirements.txt
    python bench/peers.py models/emoji-scenes/unet --set batch=2 height=12 width=12 sequence=24 --output emoji.md
    python bench/peers.py unet --precision bf16 int8

--precision stands for the rows of that precision: ours, and OpenVINO's (int8: quantised by NNCF on the same inputs, which
its load time includes), with OpenVINO's bfloat16 as the baseline.

A model folder holds model.onnx and, optionally, io.npz with its inputs; otherwise, and with --set, inputs are drawn at random with
the declared shapes, free dimensions taken from --set. Every runtime has a process of its own, which loads from a warm file cache.
By default one is measured after the other, in each round; with --in-turn all are loaded first, which takes the memory of all,
and then called one after the other, so that a slow minute of the machine falls on all of them: for calls of a second and
more, as each finds its caches empty. Run it on an idle machine: it warns when other work is running.
"""

import argparse
import datetime
import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from runtimes import NAMES

HERE = Path(__file__).parent
REFERENCE = "onnxruntime-fp32"


def random_inputs(path, sizes):
    """Normal numbers for floats, zeros to nine for integers; the free dimensions named in `sizes`."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    generator, feed = np.random.default_rng(0), {}
    for port in session.get_inputs():
        missing = [d for d in port.shape if not isinstance(d, int) and d not in sizes]
        if missing:
            raise SystemExit(f"{path}: input {port.name} has free dimensions: give --set {' '.join(f'{d}=N' for d in missing)}")
        shape = [d if isinstance(d, int) else sizes[d] for d in port.shape]
        kind = port.type.removeprefix("tensor(").removesuffix(")")
        if kind in ("float", "float16", "double"):
            dtype = {"float": np.float32, "float16": np.float16, "double": np.float64}[kind]
            feed[port.name] = generator.standard_normal(shape).astype(dtype)
        else:
            feed[port.name] = generator.integers(0, 10, shape).astype(kind)
    return feed


def weight_bytes(folder):
    """Bytes of the model's float32 weights, as stored in its files (float16 counts twice)."""
    import onnx

    model = onnx.load(folder / "model.onnx", load_external_data=False)
    return 4 * sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer)


def machine():
    """The processor's name, its cores and the vector extensions that matter here."""
    fields = dict(
        (part.strip() for part in line.split(":", 1)) for line in open("/proc/cpuinfo") if ":" in line
    )
    flags = fields.get("flags", "").split()
    vectors = [f for f in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16") if f in flags]
    model = f"{fields.get('model name', platform.processor())} (family {fields.get('cpu family')}, model {fields.get('model')})"
    return f"{model}, {os.cpu_count()} CPUs, {' '.join(vectors)}"


def versions(names):
    packages = {"adadiff": "adadiff", "onnxruntime": "onnxruntime", "openvino": "openvino"}
    found = []
    for runtime in dict.fromkeys(name.split("-")[0] for name in names):
        try:
            found.append(f"{runtime} {importlib.metadata.version(packages[runtime])}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{runtime} from the source tree")
    return ", ".join(found)


class Runtime:
    """A process of runtimes.py, loaded when this returns. `failed`: the end of what it said, if it is no more."""

    def __init__(self, name, folder, feed, output, arguments):
        self.name, self.output, self.seconds = name, output, []
        known = [",".join(arguments.constant), ",".join(arguments.repeated)]
        values = [name, folder / "model.onnx", feed, output, arguments.threads, arguments.touch_memory, *known]
        command = [sys.executable, str(HERE / "runtimes.py"), *map(str, values)]
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True, bufsize=1)
        self.failed = None
        self.first = self.answer()

    def answer(self):
        """The next line that is a number; runtimes may print lines of their own."""
        for line in self.process.stdout:
            try:
                return float(line)
            except ValueError:
                continue
        self.process.wait()
        self.errors.seek(0)
        self.failed = self.errors.read().strip().splitlines()[-1:] or [f"exit status {self.process.returncode}"]
        return None

    def run(self):
        if not self.failed:
            try:
                self.process.stdin.write("\n")
            except BrokenPipeError:
                pass  # the answer says why
            self.seconds.append(self.answer())

    def finish(self, folder):
        """What was measured; None, and a message, where it failed."""
        if not self.failed:
            self.process.stdin.close()
            peak = self.answer()
        if self.failed:
            print(f"{self.name} failed on {folder}: {self.failed[0]}", file=sys.stderr)
            return None
        self.process.wait()
        return {"first": self.first, "seconds": self.seconds, "peak": peak}


def compare(folder, arguments):
    """Returns the Markdown rows of one model."""
    stored = folder / "io.npz"
    feed = dict(np.load(stored)) if stored.exists() and not arguments.set else random_inputs(folder / "model.onnx", arguments.set)
    for name in arguments.repeated:
        half = len(feed[name]) // 2
        feed[name] = np.concatenate([feed[name][:half]] * 2)
    results, outputs = {}, {}
    with tempfile.TemporaryDirectory() as scratch:
        np.savez(f"{scratch}/feed.npz", **feed)

        def measure(names):
            runtimes = [Runtime(name, folder, f"{scratch}/feed.npz", f"{scratch}/{name}.npy", arguments) for name in names]
            for _ in range(arguments.runs):
                for runtime in runtimes:
                    if len(runtimes) > 1:
                        time.sleep(0.1)  # threads of the runtime before may still spin
                    runtime.run()
            for runtime in runtimes:
                if result := runtime.finish(folder):
                    results.setdefault(runtime.name, []).append(result)
                    outputs[runtime.name] = np.load(runtime.output)

        for _ in range(arguments.rounds):
            for names in [arguments.runtimes] if arguments.in_turn else [[name] for name in arguments.runtimes]:
                measure(names)
    return rows(results, outputs, weight_bytes(folder), arguments.baseline)


def rows(results, outputs, weights, baseline):
    def median(name, key):
        values = [v for r in results[name] for v in (r[key] if isinstance(r[key], list) else [r[key]])]
        return statistics.median(values)

    lines = []
    for name in results:
        ratio = f"{median(name, 'seconds') / median(baseline, 'seconds'):.2f}" if baseline in results else ""
        first = f"{median(name, 'first') / median(baseline, 'first'):.2f}" if baseline in results else ""
        error = ""
        if REFERENCE in outputs:
            reference = outputs[REFERENCE].astype(np.float64)
            error = f"{np.linalg.norm(outputs[name] - reference) / np.linalg.norm(reference):.1e}"
        peak = median(name, "peak")
        lines.append(
            f"| {name} | {median(name, 'seconds'):.4g} | {ratio} | {median(name, 'first'):.3g} | {first}"
            f" | {peak / 2**20:.0f} | {peak / weights:.2f} | {error} |"
        )
    return lines


def pair(text):
    name, _, value = text.partition("=")
    if not value.isdigit():
        raise argparse.ArgumentTypeError(f"{text}: expected NAME=SIZE")
    return name, int(value)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--runtimes", nargs="+", choices=NAMES, default=["adadiff-fp32", "onnxruntime-fp32", "openvino-fp32"])
    parser.add_argument("--precision", nargs="+", choices=["fp32", "bf16", "int8"], help="instead of --runtimes")
    parser.add_argument("--baseline", choices=NAMES, help="what the ratios are against (default: openvino-fp32, else its first)")
    parser.add_argument("--set", nargs="+", type=pair, default=[], metavar="NAME=SIZE", help="sizes of free dimensions")
    parser.add_argument(
        "--constant", nargs="+", default=[], metavar="NAME",
        help="inputs that stay the same in a sampling loop: AdaDiff keeps what depends on them alone; the others have no such setting",
    )
    parser.add_argument(
        "--repeated", nargs="+", default=[], metavar="NAME",
        help="inputs whose second half is a copy of the first, as with guidance; AdaDiff is told so, the others have no such setting",
    )
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--runs", type=int, default=7, help="timed runs per round, after a first one")
    parser.add_argument("--in-turn", action="store_true", help="load all, then call them one after the other")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument(
        "--touch-memory", type=int, default=0, metavar="GIB",
        help="touch and free so much memory before each load, so that a virtual machine's host has it ready",
    )
    parser.add_argument("--output", type=Path, help="also write the table here")
    arguments = parser.parse_args()
    arguments.set = dict(arguments.set)
    if arguments.precision:
        arguments.runtimes = [f"{runtime}-{p}" for p in arguments.precision for runtime in ("adadiff", "openvino")]
        if REFERENCE not in arguments.runtimes:
            arguments.runtimes.append(REFERENCE)
    if arguments.baseline is None:
        peers = [name for name in arguments.runtimes if name.startswith("openvino")]
        arguments.baseline = "openvino-fp32" if "openvino-fp32" in peers or not peers else peers[0]
    for folder in arguments.folders:
        if not (folder / "model.onnx").exists():
            parser.error(f"{folder} holds no model.onnx")
    if os.getloadavg()[0] > 0.5:
        print(f"warning: the machine is busy (load {os.getloadavg()[0]:.1f}); the times will be too long", file=sys.stderr)
    header = [
        f"{datetime.date.today()}, {machine()}, {arguments.threads} threads; {versions(arguments.runtimes)}.",
        f"`python bench/peers.py {' '.join(sys.argv[1:])}`; medians of {arguments.rounds * arguments.runs} runs.",
    ]
    text = "\n".join(header) + "\n"
    for folder in arguments.folders:
        text += (
            f"\n**{folder}**\n\n| runtime | s per call | to {arguments.baseline} | load to first result, s"
            f" | to {arguments.baseline} | peak MiB | peak / fp32 weights | relative L2 to {REFERENCE} |\n|---|---|---|---|---|---|---|---|\n"
        )
        text += "\n".join(compare(folder, arguments)) + "\n"
    print(text)
    if arguments.output:
        arguments.output.write_text(text)


if __name__ == "__main__":
    main()
