"""The tile registers of Intel's CPUs (AMX): asked for only where nothing in the process stands against it."""

import os
import pathlib
import subprocess
import sys

import adadiff
import pytest

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


def test_tiles_multiply_pairs_and_bytes():
    if adadiff.build_info()["isa"] == "avx512_amx":
        assert set(adadiff.build_info()["dot_products"]) == {"bfloat16", "int8"}
