"""Reads `skip.txt`: which node tests are not expected to pass, and why."""

from __future__ import annotations

import pathlib
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cache

import onnx
from onnx.backend.test.loader import load_model_tests

KINDS = ("unsupported", "random", "wrong", "tolerance")


@dataclass(frozen=True)
class Row:
    """One line: the kind, a pattern that matches whole test names, the absolute tolerance if any, the reason."""

    kind: str
    pattern: re.Pattern[str]
    tolerance: float | None
    reason: str

    def matches(self, name: str) -> bool:
        return self.pattern.fullmatch(name) is not None


@cache
def rows() -> tuple[Row, ...]:
    result = []
    for line in (pathlib.Path(__file__).parent / "skip.txt").read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        kind, pattern, rest = line.split(None, 2)
        tolerance = None
        if kind == "tolerance":
            number, rest = rest.split(None, 1)
            tolerance = float(number)
        assert kind in KINDS, f"unknown kind in skip.txt: {line}"
        result.append(Row(kind, re.compile(pattern), tolerance, rest))
    return tuple(result)


@cache
def cases() -> dict[str, pathlib.Path]:
    """Every node test of the installed onnx wheel: name → folder."""
    return {case.name: pathlib.Path(case.model_dir) for case in load_model_tests(kind="node")}


def matching(kind: str) -> list[str]:
    return [name for name in cases() if any(row.kind == kind and row.matches(name) for row in rows())]


@cache
def operators() -> dict[str, list[str]]:
    """Operator → its tests. A model that expands an operator into others tests the operator it expands."""

    def last_operator(name: str) -> str:
        node = onnx.load(cases()[name] / "model.onnx", load_external_data=False).graph.node[-1]
        return f"{node.domain}:{node.op_type}" if node.domain else node.op_type

    result: dict[str, list[str]] = defaultdict(list)
    for name in cases():
        base = name.split("_expanded")[0]
        result[last_operator(base if base in cases() else name)].append(name)
    return dict(result)
