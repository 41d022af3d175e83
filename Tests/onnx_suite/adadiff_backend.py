"""AdaDiff as an `onnx.backend`: what ONNX's own test suite runs.

The library's interface carries tensors only. Where a test model takes or gives sequences and optionals, the adapter
moves them inside the graph: a sequence input becomes tensors and a `SequenceConstruct`, a sequence output is asked for
its length first and then for each of its tensors.
"""

from __future__ import annotations

from typing import Any, Sequence

import adadiff
import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx.backend.base import Backend, BackendRep


class AdaDiffRep(BackendRep):
    """A loaded model. Models of tensors are loaded once; others once per run, wrapped for the values at hand."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        ports = list(model.graph.input) + list(model.graph.output)
        self._wraps = not all(port.type.HasField("tensor_type") for port in ports)
        self._loaded = None if self._wraps else adadiff.Model(model.SerializeToString())

    def run(self, inputs: Sequence[Any], **kwargs: Any) -> tuple[Any, ...]:
        initializers = {tensor.name for tensor in self._model.graph.initializer}
        names = [port.name for port in self._model.graph.input if port.name not in initializers or len(inputs) > 0]
        feeds = dict(zip(names, inputs))
        if self._loaded is None:
            return _Wrapped(self._model, feeds).run()
        results = self._loaded.run({name: value for name, value in feeds.items() if value is not None})
        return tuple(results[port.name] for port in self._model.graph.output)


class AdaDiffBackend(Backend):
    """`onnx.backend.base.Backend` on the Python binding."""

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> AdaDiffRep:
        return AdaDiffRep(model)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return device == "CPU"


class _Wrapped:
    """A model whose ports hold sequences or optionals, rewritten to ports that hold tensors."""

    def __init__(self, model: onnx.ModelProto, feeds: dict[str, Any]) -> None:
        self._model = onnx.ModelProto()
        self._model.CopyFrom(model)
        self._feeds: dict[str, np.ndarray] = {}
        before: list[onnx.NodeProto] = []
        ports = list(self._model.graph.input)
        del self._model.graph.input[:]
        for port in ports:
            before += self._feed(port.name, port.type, feeds.get(port.name))
        nodes = list(self._model.graph.node)
        del self._model.graph.node[:]
        self._model.graph.node.extend(before + nodes)

    def _feed(self, name: str, kind: onnx.TypeProto, value: Any) -> list[onnx.NodeProto]:
        """Declares tensor inputs for `value`; the returned nodes make the value `name` of them."""
        if kind.HasField("optional_type"):
            inner = kind.optional_type.elem_type
            if value is None:
                return [helper.make_node("Optional", [], [name], type=inner)]
            return self._feed(f"{name}__element", inner, value) + [
                helper.make_node("Optional", [f"{name}__element"], [name])
            ]
        if kind.HasField("sequence_type"):
            inner = kind.sequence_type.elem_type
            if len(value) == 0:
                return [helper.make_node("SequenceEmpty", [], [name], dtype=inner.tensor_type.elem_type)]
            parts = [f"{name}__{index}" for index in range(len(value))]
            nodes = [node for part, item in zip(parts, value) for node in self._feed(part, inner, item)]
            return nodes + [helper.make_node("SequenceConstruct", parts, [name])]
        array = np.asarray(value)
        self._feeds[name] = array
        self._model.graph.input.append(
            helper.make_tensor_value_info(name, kind.tensor_type.elem_type, list(array.shape))
        )
        return []

    def run(self) -> tuple[Any, ...]:
        return tuple(self._value(port.name, port.type) for port in self._model.graph.output)

    def _value(self, name: str, kind: onnx.TypeProto, nodes: tuple[onnx.NodeProto, ...] = ()) -> Any:
        """The value `name`, which `nodes` add to the graph, as numpy arrays, lists and None."""
        if kind.HasField("optional_type"):
            present, element = f"{name}__present", f"{name}__element"
            ask = helper.make_node("OptionalHasElement", [name], [present])
            if not self._tensor(present, TensorProto.BOOL, (*nodes, ask)):
                return None
            get = helper.make_node("OptionalGetElement", [name], [element])
            return self._value(element, kind.optional_type.elem_type, (*nodes, get))
        if kind.HasField("sequence_type"):
            length = f"{name}__length"
            ask = helper.make_node("SequenceLength", [name], [length])
            items = []
            for index in range(int(self._tensor(length, TensorProto.INT64, (*nodes, ask)))):
                item, place = f"{name}__item", f"{name}__index"
                position = helper.make_node("Constant", [], [place], value_int=index)
                get = helper.make_node("SequenceAt", [name, place], [item])
                items.append(self._value(item, kind.sequence_type.elem_type, (*nodes, position, get)))
            return items
        return self._tensor(name, kind.tensor_type.elem_type, nodes)

    def _tensor(self, name: str, element_type: int, nodes: tuple[onnx.NodeProto, ...]) -> np.ndarray:
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        model.graph.node.extend(nodes)
        del model.graph.output[:]
        model.graph.output.append(helper.make_tensor_value_info(name, element_type, None))
        return adadiff.Model(model.SerializeToString()).run(self._feeds)[name]
