"""ONNX diffusion pipelines on the CPU, with only as many sampling steps as the prompt deserves.

`Pipeline` turns a prompt into pictures; `Model` runs any ONNX graph; both are thin layers over the C library.
"""

from ._errors import (
    AbiMismatch,
    CallbackFailed,
    Cancelled,
    Corrupt,
    Error,
    FileError,
    InternalError,
    InvalidArgument,
    NotFinite,
    NotFound,
    OutOfMemory,
    OutOfRange,
    ShapeMismatch,
    Status,
    TypeMismatch,
    UnknownName,
    Unsupported,
)
from ._options import CancelToken, Preview, Progress, Scoring
from ._version import __version__
from .library import build_info, library_version, operators, options, policies, schedulers
from .model import Model, Port
from .pipeline import Pipeline, Result
from . import policy  # noqa: E402  needs Pipeline

__all__ = [
    "AbiMismatch",
    "CallbackFailed",
    "CancelToken",
    "Cancelled",
    "Corrupt",
    "Error",
    "FileError",
    "InternalError",
    "InvalidArgument",
    "Model",
    "NotFinite",
    "NotFound",
    "OutOfMemory",
    "OutOfRange",
    "Pipeline",
    "Port",
    "Preview",
    "Progress",
    "Result",
    "Scoring",
    "ShapeMismatch",
    "Status",
    "TypeMismatch",
    "UnknownName",
    "Unsupported",
    "__version__",
    "build_info",
    "library_version",
    "operators",
    "options",
    "policies",
    "policy",
    "schedulers",
]
