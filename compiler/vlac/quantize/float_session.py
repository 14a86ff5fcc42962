"""A model in ONNX Runtime that gives any of its values; its weights are handed over, never copied.

Of a repeated model, what does not depend on the round is computed once for all rounds of a sample.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from vlac.import_onnx.flow import subgraphs
from vlac.model.carried import carried_values, repeat_of
from vlac.model.fed_constants import feed_constants
from vlac.model.onnx_runtime import OnnxSession

__all__ = ["FloatSession"]


class FloatSession:
    """The values `outputs` of a float or QDQ model, in this order, computed node by node in float.

    Raises:
        OnnxRuntimeError: it cannot load the model.
    """

    def __init__(self, model: ir.Model, outputs: Iterable[str]) -> None:
        """Prepare a copy of the model; constants are shared with it."""
        self._wanted, self._once = list(outputs), None
        self._last: dict[str, NDArray[Any]] = {}  # what the part that runs once was given
        self._kept: dict[str, NDArray[Any]] = {}  # and what it made of that
        varying = _of_rounds(model)
        if varying is None:
            self._rest = _Part(model, self._wanted, lambda node: True)
            return
        self._rest = _Part(model, [name for name in self._wanted if name in varying], lambda n: _makes(n, varying))
        read = {v.name or "" for node in model.graph if _makes(node, varying) for v in node.inputs if v is not None}
        made = {v.name or "" for node in model.graph for v in node.outputs} - varying
        self._once = _Part(model, sorted(made & {*read, *self._wanted}), lambda node: not _makes(node, varying))

    def run(self, sample: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """The values for one sample of the model's inputs.

        Raises:
            OnnxRuntimeError: the model does not run on it.
        """
        if self._once is not None:
            given = {name: sample[name] for name in sorted(self._once.inputs & sample.keys())}
            if given.keys() != self._last.keys() or any(given[n] is not self._last[n] for n in given):
                self._last, self._kept = given, self._once.run(given)
        found = {**sample, **self._kept}
        found |= self._rest.run(found)
        return [found[name] for name in self._wanted]


class _Part:
    """Nodes of a copy of a model; what others make is an input.

    Args:
        model: the whole.
        outputs: names of values.
        kept: which nodes.
    """

    def __init__(self, model: ir.Model, outputs: Collection[str], kept: Callable[[ir.Node], bool]) -> None:
        copy = model.clone()
        graph, self._outputs = copy.graph, list(dict.fromkeys(outputs))
        values = {v.name: v for v in graph.inputs} | {v.name: v for node in graph for v in node.outputs}
        graph.outputs.clear()
        others = [node for node in graph if not kept(node)]
        for node in others:
            for value in node.outputs:
                values[value.name] = _as_input(graph, value, kept)
        for node in reversed(others):
            graph.remove(node, safe=True)
        graph.outputs.extend(values[name] for name in self._outputs)
        graph.inputs[:] = [v for v in graph.inputs if v.uses() or v.is_graph_output()]
        self._weights = feed_constants(copy)
        self._session = OnnxSession(copy, free_early=True) if self._outputs else None
        self.inputs = {i.name for i in self._session.inputs} if self._session is not None else set()

    def run(self, given: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The outputs by name."""
        if self._session is None:
            return {}
        taken = {name: array for name, array in given.items() if name in self.inputs}
        return dict(zip(self._outputs, self._session.run(None, taken | self._weights), strict=True))


def _as_input(graph: ir.Graph, value: ir.Value, kept: Callable[[ir.Node], bool]) -> ir.Value:
    """An input that the kept readers of a value read in its place."""
    found = ir.Value(name=value.name, shape=value.shape, type=value.type)
    readers = [(node, index) for node, index in value.uses() if kept(node)]
    for node, index in readers:
        node.replace_input_with(index, found)
    if readers:
        value.name = f"{value.name}/other"
        graph.inputs.append(found)
    return found


def _makes(node: ir.Node, values: Collection[str]) -> bool:
    return any(v.name in values for v in node.outputs)


def _of_rounds(model: ir.Model) -> set[str] | None:
    """The values that differ from round to round; None where the model runs once, or has bodies that read values."""
    repeat = repeat_of(model)
    if repeat.count == 1 or any(True for node in model.graph for _ in subgraphs(node)):
        return None
    found = {v.name or "" for v, _ in carried_values(model)} | {
        v.name or "" for v in (repeat.counter,) if v is not None
    }
    for node in model.graph:
        if any(v is not None and v.name in found for v in node.inputs):
            found |= {v.name or "" for v in node.outputs}
    return found
