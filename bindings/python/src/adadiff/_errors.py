"""The library's failures as exceptions."""

from __future__ import annotations

import ctypes
import enum
from typing import Any, Callable

from ._library import lib


class Status(enum.IntEnum):
    """Stable status codes of the C interface (`enum adadiff_status_code`)."""

    OK = 0
    INVALID_ARGUMENT = 1
    OUT_OF_RANGE = 2
    NOT_FOUND = 3
    IO = 4
    CORRUPT = 5
    UNSUPPORTED = 6
    TYPE_MISMATCH = 7
    SHAPE_MISMATCH = 8
    UNKNOWN_NAME = 9
    OUT_OF_MEMORY = 10
    CANCELLED = 11
    CALLBACK_FAILED = 12
    NOT_FINITE = 13
    ABI_MISMATCH = 14
    INTERNAL = 15


class Error(Exception):
    """A failure of the library.

    `str(error)` is one line with everything known; the attributes name the parts and are None where they do not apply.
    """

    status: Status = Status.INTERNAL

    def __init__(
        self,
        description: str,
        *,
        message: str | None = None,
        component: str | None = None,
        file: str | None = None,
        node: str | None = None,
        operator: str | None = None,
        expected: str | None = None,
        actual: str | None = None,
    ) -> None:
        super().__init__(description)
        self.message = description if message is None else message
        self.component = component
        self.file = file
        self.node = node
        self.operator = operator
        self.expected = expected
        self.actual = actual


class InvalidArgument(Error, ValueError):
    """An argument is malformed or contradicts another."""

    status = Status.INVALID_ARGUMENT


class OutOfRange(Error, ValueError):
    """A number lies outside its documented range."""

    status = Status.OUT_OF_RANGE


class NotFound(Error, FileNotFoundError):
    """A file or folder does not exist."""

    status = Status.NOT_FOUND


class FileError(Error, OSError):
    """Reading or writing a file failed."""

    status = Status.IO


class Corrupt(Error, ValueError):
    """A file's bytes are not what its format says."""

    status = Status.CORRUPT


class Unsupported(Error, NotImplementedError):
    """Valid, but not implemented by the library."""

    status = Status.UNSUPPORTED


class TypeMismatch(Error, TypeError):
    """A tensor or option has another type than required."""

    status = Status.TYPE_MISMATCH


class ShapeMismatch(Error, ValueError):
    """A tensor has another shape than required."""

    status = Status.SHAPE_MISMATCH


class UnknownName(Error, ValueError):
    """An option, input, output, scheduler or policy is not known; the message lists the known ones."""

    status = Status.UNKNOWN_NAME


class OutOfMemory(Error, MemoryError):
    """Memory could not be allocated, or a size exceeds the limit."""

    status = Status.OUT_OF_MEMORY


class Cancelled(Error):
    """A cancel token fired or a callback returned False. The object stays usable."""

    status = Status.CANCELLED


class CallbackFailed(Error):
    """A callback reported failure."""

    status = Status.CALLBACK_FAILED


class NotFinite(Error, ArithmeticError):
    """NaN or infinity where finite numbers are required."""

    status = Status.NOT_FINITE


class AbiMismatch(Error):
    """Binding and library do not fit together."""

    status = Status.ABI_MISMATCH


class InternalError(Error):
    """A defect of the library; please report it with the message."""

    status = Status.INTERNAL


_CLASSES: dict[int, type[Error]] = {
    kind.status: kind
    for kind in (
        InvalidArgument, OutOfRange, NotFound, FileError, Corrupt, Unsupported, TypeMismatch, ShapeMismatch,
        UnknownName, OutOfMemory, Cancelled, CallbackFailed, NotFinite, AbiMismatch, InternalError,
    )
}  # fmt: skip


def check(function: Callable[..., int], *arguments: Any) -> None:
    """Calls `function(*arguments, &error)` and raises what it left in `error`."""
    error = ctypes.c_void_p()
    status = function(*arguments, ctypes.byref(error))
    if status != Status.OK:
        raise _exception(status, error)


def make(function: Callable[..., int], *arguments: Any) -> ctypes.c_void_p:
    """Calls `function(*arguments, &handle, &error)` and returns the handle."""
    handle = ctypes.c_void_p()
    check(function, *arguments, ctypes.byref(handle))
    return handle


def text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")


def _exception(status: int, error: ctypes.c_void_p) -> Error:
    kind = _CLASSES.get(status, InternalError)
    if not error:
        return kind(f"status {status} without details")
    try:
        fields = {
            name: text(getattr(lib, f"adadiff_error_{name}")(error))
            for name in ("message", "component", "file", "node", "operator", "expected", "actual")
        }
        return kind(text(lib.adadiff_error_description(error)) or f"status {status}", **fields)
    finally:
        lib.adadiff_error_free(error)
