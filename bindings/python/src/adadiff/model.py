"""Any ONNX graph."""

from __future__ import annotations

import ctypes
import json
import os
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Sequence, TypeVar

import numpy as np

from . import _tensors
from ._errors import make, text
from ._library import lib
from ._options import CancelToken, Options, encoded

_Taken = TypeVar("_Taken")


@dataclass(frozen=True)
class Port:
    """An input or output as the model declares it."""

    name: str
    dtype: str | None
    """numpy's name ("float32", "str", …); None when the model declares none."""
    shape: tuple[int | str | None, ...] | None
    """Sizes; a name or None for a free dimension. None when the rank is not declared."""


class Model:
    """An ONNX model, ready to run; several threads may run it at once.

    `model` is a path, or the bytes of a file (with `folder` for its external data). `threads` 0 means all processors.
    `precision` of its large products is "float32", "bfloat16" or "int8".
    `constant_inputs` names inputs that seldom change from run to run, such as the text features of a sampling loop: what
    depends on them alone is computed once and kept until their elements differ. Results are the same bits.
    `repeated_inputs` names inputs whose second half along the first axis equals the first, such as the latents of
    classifier-free guidance: what depends on them alone is computed for one half. Results are the same up to rounding; a run
    whose halves differ computes all.
    Raises `NotFound`, `Corrupt`, or `Unsupported` with the node and operator that cannot run.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes,
        *,
        folder: str | os.PathLike[str] | None = None,
        threads: int | None = None,
        precision: str | None = None,
        constant_inputs: str | Sequence[str] = (),
        repeated_inputs: str | Sequence[str] = (),
        **options: Any,
    ) -> None:
        def listed(names: str | Sequence[str]) -> str | None:
            return names or None if isinstance(names, str) else ",".join(names) or None

        inputs = {"constant_inputs": listed(constant_inputs), "repeated_inputs": listed(repeated_inputs)}
        opening = Options({"threads": threads, "precision": precision, **inputs, **options})
        if isinstance(model, (bytes, bytearray, memoryview)):
            data = bytes(model)
            place = None if folder is None else encoded(os.fspath(folder), "folder")
            with opening.running(None):
                self._handle = make(lib.adadiff_model_open_memory, data, len(data), place, opening.handle)
        else:
            path = encoded(os.fspath(model), "path")
            with opening.running(None):
                self._handle = make(lib.adadiff_model_open, path, opening.handle)
        self.info: dict[str, Any] = json.loads(lib.adadiff_model_info(self._handle) or b"{}")
        self.inputs: list[Port] = self._ports("input")
        self.outputs: list[Port] = self._ports("output")

    def __del__(self) -> None:
        handle, self._handle = getattr(self, "_handle", None), None
        if handle:
            lib.adadiff_model_free(handle)

    def _ports(self, side: str) -> list[Port]:
        def ask(what: str, *arguments: int) -> Any:
            return getattr(lib, f"adadiff_model_{side}_{what}")(self._handle, *arguments)

        ports = []
        for index in range(ask("count")):
            rank = ask("rank", index)
            shape: tuple[int | str | None, ...] | None = None
            if rank >= 0:
                sizes = [ask("dim", index, axis) for axis in range(rank)]
                shape = tuple(
                    size if size >= 0 else text(ask("dim_name", index, axis)) for axis, size in enumerate(sizes)
                )
            ports.append(Port(text(ask("name", index)) or "", _tensors.type_name(ask("type", index)), shape))
        return ports

    def run(
        self,
        inputs: Mapping[str, Any],
        outputs: Sequence[str] | None = None,
        *,
        cancel: CancelToken | None = None,
        **options: Any,
    ) -> dict[str, np.ndarray]:
        """Runs the model on arrays by input name and returns new arrays by output name.

        `outputs` selects and orders; None means all. Element types must be the model's (nothing is converted);
        bfloat16, float8 and 4-bit types come from ml_dtypes; strings are arrays of `str`.
        Raises `UnknownName`, `TypeMismatch`, `ShapeMismatch`, `Cancelled`.
        """
        return self._run(inputs, outputs, cancel, options, _tensors.take)

    def profile(
        self,
        inputs: Mapping[str, Any],
        outputs: Sequence[str] | None = None,
        *,
        cancel: CancelToken | None = None,
        **options: Any,
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """As `run`; also returns the report: milliseconds of the run and of every kind of operator."""
        return self._run(inputs, outputs, cancel, {"profile": True, **options}, _tensors.take_with_report)

    def _run(
        self,
        inputs: Mapping[str, Any],
        outputs: Sequence[str] | None,
        cancel: CancelToken | None,
        options: Mapping[str, Any],
        take: Callable[[Any], _Taken],
    ) -> _Taken:
        views = _tensors.Inputs(inputs)
        names = [encoded(name, "output name") for name in outputs or []]
        selected = (ctypes.c_char_p * len(names))(*names) if outputs is not None and names else None
        running = Options(options)
        with running.running(cancel):
            tensors = make(
                lib.adadiff_model_run, self._handle, views.views, len(views.views), selected, len(names), running.handle
            )
            return take(tensors)
