"""A model in ONNX Runtime that gives any of its values; its weights are handed over, never copied.

Large constants are inputs of the session, which reads numpy arrays where they lie: a model of 500 MB needs neither a
second copy nor a protobuf of its own to be run once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from vlac.model.onnx_runtime import OnnxSession

__all__ = ["FloatSession"]

_SMALL = 1024  # elements: shapes, axes and the like stay constants, as some operators demand


class FloatSession:
    """The values `outputs` of a float or QDQ model, in this order, computed node by node in float.

    Raises:
        OnnxRuntimeError: it cannot load the model.
    """

    def __init__(self, model: ir.Model, outputs: Iterable[str]) -> None:
        """Prepare a copy of the model; constants are shared with it."""
        copy = model.clone()
        graph, wanted = copy.graph, list(outputs)
        values = {v.name: v for v in graph.inputs} | {v.name: v for node in graph for v in node.outputs}
        graph.outputs[:] = [values[name] for name in wanted]
        self._weights: dict[str, NDArray[Any]] = {}
        for name, value in list(graph.initializers.items()):
            if value.const_value is not None and value.const_value.size > _SMALL:
                self._weights[name] = value.const_value.numpy()
                del graph.initializers[name]
                value.const_value = None
                graph.inputs.append(value)
        self._session = OnnxSession(copy, free_early=True)
        self._inputs = {i.name for i in self._session.inputs}

    def run(self, sample: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """The values for one sample of the model's inputs.

        Raises:
            OnnxRuntimeError: the model does not run on it.
        """
        given = {name: array for name, array in sample.items() if name in self._inputs}
        return self._session.run(None, given | self._weights)
