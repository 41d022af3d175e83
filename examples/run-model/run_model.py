"""Any ONNX graph as a function on arrays. Usage: run_model.py MODEL.onnx

Fills every input with zeros (free dimensions become 1), runs, prints the outputs and the slowest kinds of operator.
"""

import sys

import numpy as np

import adadiff

model = adadiff.Model(sys.argv[1])
inputs = {
    port.name: np.zeros([size if isinstance(size, int) else 1 for size in port.shape or ()], port.dtype)
    for port in model.inputs
}
outputs, report = model.profile(inputs)
for name, array in outputs.items():
    print(f"{name}: {array.dtype}{list(array.shape)}")
print(f"{report['milliseconds']:.2f} ms")
