"""Finds and loads the library, and declares the C functions that the binding uses."""

from __future__ import annotations

import ctypes
import os
import pathlib
from ctypes import POINTER, c_char_p, c_double, c_float, c_int32, c_int64, c_size_t, c_void_p
from typing import Any

ABI_VERSION = 1
SONAME = "libadadiff.so.1"

_HERE = pathlib.Path(__file__).resolve().parent


def candidates() -> list[str]:
    """Where the library may be, best first: ADADIFF_LIBRARY, inside this package, a source tree's build, the system."""
    given = os.environ.get("ADADIFF_LIBRARY")
    if given:
        return [given]
    places = [_HERE / "libadadiff.so"]
    # .../bindings/python/src/adadiff in a source tree
    if len(_HERE.parents) > 3 and (_HERE.parents[3] / "Package.swift").exists():
        places.append(_HERE.parents[3] / ".build" / "release" / "libadadiff.so")
    return [str(place) for place in places if place.exists()] + [SONAME]


class Tensor(ctypes.Structure):
    """adadiff_tensor"""

    _fields_ = [
        ("struct_size", c_size_t),
        ("name", c_char_p),
        ("type", c_int32),
        ("rank", c_int32),
        ("dims", POINTER(c_int64)),
        ("data", c_void_p),
        ("byte_count", c_size_t),
    ]


class ProgressStruct(ctypes.Structure):
    """adadiff_progress"""

    _fields_ = [
        ("struct_size", c_size_t),
        ("stage", c_int32),
        ("stage_name", c_char_p),
        ("step", c_int64),
        ("total", c_int64),
        ("detail", c_char_p),
        ("elapsed_ms", c_double),
    ]


class PreviewStruct(ctypes.Structure):
    """adadiff_preview"""

    _fields_ = [
        ("struct_size", c_size_t),
        ("step", c_int64),
        ("total", c_int64),
        ("timestep", c_double),
        ("count", c_int64),
        ("channels", c_int64),
        ("height", c_int64),
        ("width", c_int64),
        ("latents", POINTER(c_float)),
        ("predicted_original", POINTER(c_float)),
        ("action", c_int32),
    ]


class ScoringStruct(ctypes.Structure):
    """adadiff_scoring"""

    _fields_ = [
        ("struct_size", c_size_t),
        ("prompt", c_char_p),
        ("steps", c_int64),
        ("seed", c_int64),
        ("width", c_int32),
        ("height", c_int32),
        ("channels", c_int32),
        ("pixels", c_void_p),
        ("score", c_double),
    ]


class OptionInfo(ctypes.Structure):
    """adadiff_option_info"""

    _fields_ = [
        ("struct_size", c_size_t),
        ("name", c_char_p),
        ("type", c_int32),
        ("scope", c_int32),
        ("minimum", c_double),
        ("maximum", c_double),
        ("default_text", c_char_p),
        ("choices", c_char_p),
        ("documentation", c_char_p),
    ]


PROGRESS = ctypes.CFUNCTYPE(c_int32, POINTER(ProgressStruct), c_void_p)
PREVIEW = ctypes.CFUNCTYPE(c_int32, POINTER(PreviewStruct), c_void_p)
SCORE = ctypes.CFUNCTYPE(c_int32, POINTER(ScoringStruct), c_void_p)
LOG = ctypes.CFUNCTYPE(None, c_int32, c_char_p, c_char_p, c_void_p)

_handle = c_void_p
_out = POINTER(c_void_p)
_tensor = POINTER(Tensor)

# name: (result, arguments). Functions that end in _out take the place of an error object last.
SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "version": (c_char_p, []),
    "abi_version": (c_int32, []),
    "build_info": (c_char_p, []),
    "error_status": (c_int32, [_handle]),
    **{
        f"error_{field}": (c_char_p, [_handle])
        for field in ("message", "description", "component", "file", "node", "operator", "expected", "actual")
    },
    "error_free": (None, [_handle]),
    "cancel_token_new": (_handle, []),
    "cancel_token_release": (None, [_handle]),
    "cancel_token_fire": (None, [_handle]),
    "cancel_token_fired": (c_int32, [_handle]),
    "options_new": (_handle, []),
    "options_free": (None, [_handle]),
    "options_set_string": (c_int32, [_handle, c_char_p, c_char_p, _out]),
    "options_set_int": (c_int32, [_handle, c_char_p, c_int64, _out]),
    "options_set_float": (c_int32, [_handle, c_char_p, c_double, _out]),
    "options_set_bool": (c_int32, [_handle, c_char_p, c_int32, _out]),
    "options_set_floats": (c_int32, [_handle, c_char_p, c_void_p, POINTER(c_int64), c_int32, _out]),
    "options_set_progress": (c_int32, [_handle, PROGRESS, c_void_p, _out]),
    "options_set_preview": (c_int32, [_handle, PREVIEW, c_void_p, _out]),
    "options_set_log": (c_int32, [_handle, LOG, c_void_p, c_int32, _out]),
    "options_set_scorer": (c_int32, [_handle, SCORE, c_void_p, _out]),
    "options_set_cancel_token": (c_int32, [_handle, _handle, _out]),
    "list_count": (c_int32, [c_int32]),
    "list_name": (c_char_p, [c_int32, c_int32]),
    "option_describe": (c_int32, [c_char_p, POINTER(OptionInfo), _out]),
    "tensors_count": (c_int32, [_handle]),
    "tensors_get": (c_int32, [_handle, c_int32, _tensor, _out]),
    "tensors_report": (c_char_p, [_handle]),
    "tensors_free": (None, [_handle]),
    "model_open": (c_int32, [c_char_p, _handle, _out, _out]),
    "model_open_memory": (c_int32, [c_char_p, c_size_t, c_char_p, _handle, _out, _out]),
    "model_free": (None, [_handle]),
    "model_info": (c_char_p, [_handle]),
    **{f"model_{side}_count": (c_int32, [_handle]) for side in ("input", "output")},
    **{f"model_{side}_name": (c_char_p, [_handle, c_int32]) for side in ("input", "output")},
    **{f"model_{side}_type": (c_int32, [_handle, c_int32]) for side in ("input", "output")},
    **{f"model_{side}_rank": (c_int32, [_handle, c_int32]) for side in ("input", "output")},
    **{f"model_{side}_dim": (c_int64, [_handle, c_int32, c_int32]) for side in ("input", "output")},
    **{f"model_{side}_dim_name": (c_char_p, [_handle, c_int32, c_int32]) for side in ("input", "output")},
    "model_run": (c_int32, [_handle, _tensor, c_int32, POINTER(c_char_p), c_int32, _handle, _out, _out]),
    "pipeline_open": (c_int32, [c_char_p, _handle, _out, _out]),
    "pipeline_free": (None, [_handle]),
    "pipeline_info": (c_char_p, [_handle]),
    "pipeline_tokenize": (c_int32, [_handle, c_char_p, _out, _out]),
    "pipeline_score": (c_int32, [_handle, c_char_p, c_void_p, c_int32, c_int32, _handle, _out, _out]),
    "policy_decide": (c_int32, [_handle, c_char_p, _handle, _out, _out]),
    "policy_collect": (c_int32, [_handle, c_char_p, c_char_p, _handle, _out, _out]),
    "policy_train": (c_int32, [_handle, c_char_p, c_char_p, _handle, _out, _out]),
    "policy_evaluate": (c_int32, [_handle, c_char_p, _handle, _out, _out]),
    "session_new": (c_int32, [_handle, _out, _out]),
    "session_free": (None, [_handle]),
    "session_generate": (c_int32, [_handle, c_char_p, _handle, _out, _out]),
    "result_free": (None, [_handle]),
    "result_image_count": (c_int32, [_handle]),
    "result_width": (c_int32, [_handle]),
    "result_height": (c_int32, [_handle]),
    "result_channels": (c_int32, [_handle]),
    "result_pixels": (c_void_p, [_handle, c_int32]),
    "result_save_png": (c_int32, [_handle, c_int32, c_char_p, _out]),
    "result_latents": (c_void_p, [_handle, POINTER(c_int64)]),
    "result_report": (c_char_p, [_handle]),
}


def load() -> ctypes.CDLL:
    """Loads the first library that can be loaded; ImportError says what was tried."""
    tried = []
    for path in candidates():
        try:
            library = ctypes.CDLL(path)
        except OSError as error:
            tried.append(f"  {path}: {error}")
            continue
        for name, (result, arguments) in SIGNATURES.items():
            function = getattr(library, f"adadiff_{name}")
            function.restype, function.argtypes = result, arguments
        found = library.adadiff_abi_version()
        if found != ABI_VERSION:
            raise ImportError(f"{path} has ABI version {found}; this package needs {ABI_VERSION}")
        return library
    raise ImportError(
        "libadadiff could not be loaded; build it with `make build` or set ADADIFF_LIBRARY. Tried:\n" + "\n".join(tried)
    )


lib = load()
