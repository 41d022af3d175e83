"""One runtime, one model, one process: loads, then runs once for every line of its input and prints the seconds.

Started by peers.py, so that peak memory and load time are each runtime's own. Its first line of output is the time to the first
result, its last, when the input ends, the peak memory. Every runtime is set up as its documentation
says for speed: static shapes, the given number of threads, its own graph optimisations. "first" is the time from opening
the model to its first result, with the runtime imported before.
"""

import importlib
import json
import mmap
import os
import re
import sys
import time
from pathlib import Path

import numpy as np

NAMES = [
    "adadiff-fp32", "adadiff-bf16", "adadiff-int8",
    "onnxruntime-fp32", "openvino-fp32", "openvino-bf16", "openvino-int8",
]


def adadiff_runner(path, precision, threads, feed, known):
    import adadiff

    options = {} if precision == "fp32" else {"precision": precision}
    model = adadiff.Model(path, threads=threads, **known, **options)
    output = model.outputs[0].name
    return lambda: model.run(feed)[output]


def onnxruntime_runner(path, precision, threads, feed, _known):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, feed)[0]


def openvino_runner(path, precision, threads, feed, _known):
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    model.reshape({name: list(value.shape) for name, value in feed.items()})
    hint = {"fp32": "f32", "bf16": "bf16", "int8": "bf16"}[precision]
    if precision == "int8":
        import nncf

        kind = nncf.ModelType.TRANSFORMER
        model = nncf.quantize(model, nncf.Dataset([feed]), subset_size=1, model_type=kind)
    settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads}
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    return lambda: np.array(request.infer(feed)[0])


def peak_bytes():
    """This program's own peak; getrusage would count the parent's memory before the program was started."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024


def touch_memory(gibibytes):
    """Lets children write to so much memory, half each, and give it back.

    A virtual machine's host may hand out memory page by page, many times slower than clearing it. Memory that was
    touched a moment ago is there already, as on a machine that owns its memory, and loading can be timed.
    """
    children = []
    for _ in range(2 if gibibytes else 0):
        child = os.fork()
        if child == 0:
            try:
                memory = mmap.mmap(-1, (gibibytes << 30) // 2, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
                memory.madvise(mmap.MADV_HUGEPAGE)
                for offset in range(0, len(memory), mmap.PAGESIZE):
                    memory[offset] = 1
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


def warm_file_cache(path):
    """Reads a model's files, so that loading is timed from the file cache for the first runtime as for the others."""
    for file in Path(path).parent.iterdir():
        if file.is_file():
            with open(file, "rb", buffering=0) as stream:
                while stream.read(1 << 24):
                    pass


def main():
    name, path, feed_file, output_file, threads, touch, constant, repeated = sys.argv[1:]
    runtime, precision = name.split("-")
    feed = dict(np.load(feed_file))
    known = {"constant_inputs": constant, "repeated_inputs": repeated}
    importlib.import_module(runtime)
    touch_memory(int(touch))
    warm_file_cache(path)
    started = time.perf_counter()
    run = globals()[f"{runtime}_runner"](path, precision, int(threads), feed, known)
    output = run()
    print(json.dumps(time.perf_counter() - started), flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        output = run()
        print(json.dumps(time.perf_counter() - started), flush=True)
    np.save(Path(output_file), output)
    print(json.dumps(peak_bytes()), flush=True)


if __name__ == "__main__":
    main()
