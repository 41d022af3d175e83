"""What the loaded library is and knows."""

from __future__ import annotations

import ctypes
import json
from typing import Any

from . import _library
from ._errors import check, text
from ._library import lib

_SCHEDULERS, _OPERATORS, _POLICIES, _OPTIONS = 0, 1, 2, 3


def _names(which: int) -> list[str]:
    return [text(lib.adadiff_list_name(which, index)) or "" for index in range(lib.adadiff_list_count(which))]


def library_version() -> str:
    """Version of the loaded library."""
    return text(lib.adadiff_version()) or ""


def build_info() -> dict[str, Any]:
    """Instruction set, threads and dependencies of the loaded library."""
    return json.loads(lib.adadiff_build_info())


def schedulers() -> list[str]:
    """Schedulers by their diffusers class names."""
    return _names(_SCHEDULERS)


def operators() -> list[str]:
    """ONNX operators; "domain:Name" outside the default domain."""
    return _names(_OPERATORS)


def policies() -> list[str]:
    """Step policies for the option `policy`."""
    return _names(_POLICIES)


def options() -> dict[str, str]:
    """Every option of the library with one sentence about it."""
    result = {}
    for name in _names(_OPTIONS):
        info = _library.OptionInfo(struct_size=ctypes.sizeof(_library.OptionInfo))
        check(lib.adadiff_option_describe, name.encode(), ctypes.byref(info))
        result[name] = text(info.documentation) or ""
    return result
