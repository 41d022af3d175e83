"""The tile registers of Intel's CPUs (AMX): asked for only where nothing in the process stands against it."""

import ctypes
import mmap
import os
import pathlib
import subprocess
import sys

import adadiff
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

CPU = pathlib.Path("/proc/cpuinfo")
HAS_TILES = CPU.exists() and " amx_tile" in CPU.read_text()

# Too small for the frame of a signal with tiles, 11 KB; prints the instruction set that the library then uses.
SMALL_STACK = """
import ctypes
class Stack(ctypes.Structure):
    _fields_ = [("memory", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]
memory = ctypes.create_string_buffer(8192)
stack = Stack(ctypes.cast(memory, ctypes.c_void_p), 0, 8192)
assert ctypes.CDLL(None).sigaltstack(ctypes.byref(stack), None) == 0
import adadiff
print(adadiff.build_info()["isa"])
"""


def isa(program: str, **environment: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **environment}, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.mark.skipif(not HAS_TILES, reason="no tile registers")
def test_a_small_signal_stack_keeps_the_library_from_tiles():
    assert isa(SMALL_STACK, ADADIFF_ISA="avx512_amx") != "avx512_amx"


@pytest.mark.skipif(not HAS_TILES, reason="no tile registers")
def test_another_table_leaves_signal_stacks_alone():
    program = "import adadiff; adadiff.build_info()\n" + SMALL_STACK
    assert isa(program, ADADIFF_ISA="avx512_vnni") == "avx512_vnni"


class Probe:
    """XGETBV with ECX = 1, which tells what of its state a thread uses, LDTILECFG and TILERELEASE."""

    IN_USE, CONFIGURE, RELEASE = (
        bytes.fromhex(code) for code in ("b9010000000f01d0c3", "c4e2784907c3", "c4e27849c0c3")
    )
    TILES = 1 << 17 | 1 << 18

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        functions = []
        for place, code in zip(range(0, 192, 64), (self.IN_USE, self.CONFIGURE, self.RELEASE)):
            self.memory[place : place + len(code)] = code
            functions.append(ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_void_p)(address + place))
        self.state, self.configure, self.release = functions

    def has_tiles(self) -> bool:
        return bool(self.state(None) & self.TILES)


@pytest.mark.skipif(not HAS_TILES, reason="no tile registers")
@pytest.mark.parametrize("threads", [1, 2])
def test_the_callers_thread_comes_back_without_tiles(threads, tmp_path):
    probe = Probe()
    # The probe sees tiles that are in use: palette 1, one register of one row of 64 bytes.
    shape = ctypes.create_string_buffer(64)
    shape[0], shape[16], shape[48] = b"\x01", b"\x40", b"\x01"
    probe.configure(ctypes.addressof(shape))
    assert probe.has_tiles()
    probe.release(None)
    assert not probe.has_tiles()

    weights = numpy_helper.from_array(np.ones((128, 64), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [256, 128])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [256, 64])], [weights],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    for precision in ("float32", "bfloat16", "int8"):
        model = adadiff.Model(tmp_path / "m.onnx", threads=threads, precision=precision)
        np.testing.assert_allclose(model.run({"x": np.ones((256, 128), np.float32)})["y"], 128, rtol=1e-2)
        assert not probe.has_tiles()


def test_tiles_multiply_pairs_and_bytes():
    if adadiff.build_info()["isa"] == "avx512_amx":
        assert set(adadiff.build_info()["dot_products"]) == {"bfloat16", "int8"}
