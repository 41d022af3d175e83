"""Numpy arrays to the library's tensors and back."""

from __future__ import annotations

import ctypes
import json
import math
from typing import Any, Mapping

import numpy as np

from ._errors import InvalidArgument, Unsupported, TypeMismatch, check, text
from ._library import Tensor, lib
from ._options import encoded

STRING = 8
_TENSOR_BYTES = ctypes.sizeof(Tensor)

# ONNX TensorProto.DataType → numpy
_TYPES: dict[int, np.dtype] = {
    1: np.dtype(np.float32), 2: np.dtype(np.uint8), 3: np.dtype(np.int8), 4: np.dtype(np.uint16),
    5: np.dtype(np.int16), 6: np.dtype(np.int32), 7: np.dtype(np.int64), 9: np.dtype(np.bool_),
    10: np.dtype(np.float16), 11: np.dtype(np.float64), 12: np.dtype(np.uint32), 13: np.dtype(np.uint64),
    14: np.dtype(np.complex64), 15: np.dtype(np.complex128),
}  # fmt: skip

# Types that numpy lacks: name in ml_dtypes, bits of a packed element.
_EXTENDED: dict[int, tuple[str, int]] = {
    16: ("bfloat16", 16), 17: ("float8_e4m3fn", 8), 18: ("float8_e4m3fnuz", 8), 19: ("float8_e5m2", 8),
    20: ("float8_e5m2fnuz", 8), 21: ("uint4", 4), 22: ("int4", 4), 23: ("float4_e2m1fn", 4),
    24: ("float8_e8m0fnu", 8), 25: ("uint2", 2), 26: ("int2", 2),
}  # fmt: skip

# Bits of the types whose elements share bytes in the library; numpy gives each a byte.
_PACKED: dict[int, int] = {code: bits for code, (_, bits) in _EXTENDED.items() if bits < 8}

try:
    import ml_dtypes
except ImportError:
    pass
else:
    for _code, (_name, _) in _EXTENDED.items():
        if hasattr(ml_dtypes, _name):
            _TYPES[_code] = np.dtype(getattr(ml_dtypes, _name))

_CODES: dict[np.dtype, int] = {dtype: code for code, dtype in _TYPES.items()}


def type_name(code: int) -> str | None:
    """numpy's name of an element type; "str" for strings, None for unknown ones."""
    if code == STRING:
        return "str"
    if code in _TYPES:
        return _TYPES[code].name
    return _EXTENDED[code][0] if code in _EXTENDED else None


class Inputs:
    """An array of adadiff_tensor over numpy arrays, which it keeps alive."""

    def __init__(self, arrays: Mapping[str, Any]) -> None:
        self._alive: list[Any] = []
        self.views = (Tensor * len(arrays))()
        for view, (name, value) in zip(self.views, arrays.items()):
            if not isinstance(name, str):
                raise InvalidArgument(f"input names are strings, not {type(name).__name__}")
            array = np.asarray(value)
            view.struct_size = _TENSOR_BYTES
            view.name = self._keep(encoded(name, "input name"))
            view.rank = array.ndim
            view.dims = self._keep((ctypes.c_int64 * array.ndim)(*array.shape))
            self._fill(view, name, array)

    def _keep(self, value: Any) -> Any:
        self._alive.append(value)
        return value

    def _fill(self, view: Tensor, name: str, array: np.ndarray) -> None:
        code = _CODES.get(array.dtype)
        if code is not None and code not in _PACKED and array.flags.c_contiguous:
            view.type = code
            view.data = _address(self._keep(array))
            view.byte_count = array.nbytes
            return
        if array.dtype.kind in "OUS" or array.dtype.kind == "T":
            view.type = STRING
            strings = [_string_bytes(name, item) for item in array.ravel(order="C").tolist()]
            pointers = self._keep((ctypes.c_char_p * len(strings))(*strings))
            view.data = ctypes.cast(pointers, ctypes.c_void_p)
            view.byte_count = ctypes.sizeof(pointers)
            return
        native = array.dtype if array.dtype.isnative else array.dtype.newbyteorder("=")
        code = _CODES.get(native)
        if code is None:
            raise TypeMismatch(f"input '{name}': element type {array.dtype} does not exist in ONNX")
        view.type = code
        contiguous = np.ascontiguousarray(array, dtype=native)
        if code in _PACKED:
            contiguous = _pack(contiguous, _PACKED[code])
        self._keep(contiguous)
        view.data = _address(contiguous)
        view.byte_count = contiguous.nbytes


def take(tensors: ctypes.c_void_p) -> dict[str, np.ndarray]:
    """Copies named tensors out of the library and frees them."""
    try:
        return _arrays(tensors)
    finally:
        lib.adadiff_tensors_free(tensors)


def take_with_report(tensors: ctypes.c_void_p) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """As `take`, with their report."""
    try:
        report = lib.adadiff_tensors_report(tensors)
        return _arrays(tensors), json.loads(report) if report else {}
    finally:
        lib.adadiff_tensors_free(tensors)


def _arrays(tensors: ctypes.c_void_p) -> dict[str, np.ndarray]:
    arrays = {}
    for index in range(lib.adadiff_tensors_count(tensors)):
        view = Tensor(_TENSOR_BYTES)
        check(lib.adadiff_tensors_get, tensors, index, ctypes.byref(view))
        arrays[text(view.name) or ""] = _array(view)
    return arrays


def _array(view: Tensor) -> np.ndarray:
    shape = tuple(view.dims[: view.rank])
    count = math.prod(shape)
    if view.type == STRING:
        pointers = ctypes.cast(view.data, ctypes.POINTER(ctypes.c_char_p))
        strings = np.empty(count, dtype=object)
        for index in range(count):
            strings[index] = (pointers[index] or b"").decode("utf-8", "replace")
        return strings.reshape(shape)
    dtype = _TYPES.get(view.type)
    if dtype is None:
        raise Unsupported(
            f"output '{text(view.name)}' has element type {type_name(view.type)}; install ml_dtypes to receive it"
        )
    packed = _PACKED.get(view.type)
    array = np.empty(view.byte_count if packed else shape, dtype=np.uint8 if packed else dtype)
    if array.nbytes:
        ctypes.memmove(_address(array), view.data, array.nbytes)
    return _unpack(array, packed, dtype, count).reshape(shape) if packed else array


def _address(array: np.ndarray) -> int:
    """Of an array's first element. `ndarray.ctypes` makes Python objects for it, which a call of a few milliseconds notices."""
    address: int = array.__array_interface__["data"][0]
    return address


def _string_bytes(name: str, item: Any) -> bytes:
    if isinstance(item, bytes):
        return item
    if isinstance(item, str):
        return encoded(item, f"a string of input '{name}'")
    raise TypeMismatch(f"input '{name}': an object array must hold strings, not {type(item).__name__}")


def _pack(array: np.ndarray, bits: int) -> np.ndarray:
    """Elements of `bits` bits, several per byte, the first in the lowest bits."""
    per_byte = 8 // bits
    codes = array.ravel().view(np.uint8) & ((1 << bits) - 1)
    codes = np.concatenate([codes, np.zeros(-codes.size % per_byte, np.uint8)]).reshape(-1, per_byte)
    return np.bitwise_or.reduce(codes << (np.arange(per_byte, dtype=np.uint8) * bits), axis=1).astype(np.uint8)


def _unpack(packed: np.ndarray, bits: int, dtype: np.dtype, count: int) -> np.ndarray:
    shifts = np.arange(8 // bits, dtype=np.uint8) * bits
    codes = (packed[:, None] >> shifts & ((1 << bits) - 1)).ravel()[:count].astype(np.uint8)
    if dtype.name.startswith("int"):
        # Numbers, not bit patterns: extend the sign, then let numpy convert.
        sign = 1 << (bits - 1)
        return ((codes ^ sign).astype(np.int8) - sign).astype(dtype)
    return codes.astype(dtype) if dtype.name.startswith("uint") else codes.view(dtype)
