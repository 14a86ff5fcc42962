"""Files of older exporters as the compiler reads them: initializers listed as inputs, an alias, opsets 7 to 12.

The opset is raised by the converter of the onnx package, and the result is compared with the file in ONNX Runtime: a
converter's mistake is refused, not compiled.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, version_converter

from vlac.errors import ModelError
from vlac.import_onnx.shapes import dims_of, model_inputs
from vlac.model.onnx_runtime import OnnxRuntimeError, OnnxSession

__all__ = ["OLDEST_OPSET", "drop_defaults", "opset_of", "plain_domain", "raise_opset"]

OLDEST_OPSET = 7  # the first that ONNX Runtime runs
_IR_VERSION = 8  # the oldest that passes of the libraries expect
_TOLERANCE = 1e-3  # of the largest value of an output


def opset_of(proto: onnx.ModelProto) -> int | None:
    """The version of ONNX's own operators."""
    return next((int(o.version) for o in proto.opset_import if o.domain in ("", "ai.onnx")), None)


def drop_defaults(proto: onnx.ModelProto) -> None:
    """Initializers are constants, not inputs with a default, as they had to be before IR version 4."""
    inputs = model_inputs(proto)
    if len(inputs) < len(proto.graph.input):
        kept = [onnx.ValueInfoProto.FromString(v.SerializeToString()) for v in inputs]
        del proto.graph.input[:]
        proto.graph.input.extend(kept)
    proto.ir_version = max(proto.ir_version, _IR_VERSION)


def plain_domain(model: onnx.ModelProto) -> None:
    """ONNX's own domain has one name, the empty one; "ai.onnx" is an alias that its checker does not know."""
    for opset in (*model.opset_import, *(o for f in model.functions for o in f.opset_import)):
        opset.domain = "" if opset.domain == "ai.onnx" else opset.domain
    for graph in (model.graph, *model.functions):
        _plain_nodes(graph)


def _plain_nodes(graph: onnx.GraphProto | onnx.FunctionProto) -> None:
    for node in graph.node:
        node.domain = "" if node.domain == "ai.onnx" else node.domain
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                _plain_nodes(inner)


def raise_opset(proto: onnx.ModelProto, target: int, origin: str) -> onnx.ModelProto:
    """The model in a newer opset.

    Raises:
        ModelError: the converter cannot do it, or its result computes something else.
    """
    found = opset_of(proto)
    advice = f"export it with opset_version={target} or newer"
    try:
        converted: onnx.ModelProto = version_converter.convert_version(proto, target)
    except (RuntimeError, ValueError, version_converter.ConvertError) as e:
        raise ModelError(
            f"'{origin}' is of opset {found} and onnx cannot convert it to {target} ({_line(e)}); {advice}"
        ) from e
    converted.ir_version = max(converted.ir_version, _IR_VERSION)
    inputs = _some_inputs(proto)
    if inputs is None:
        return converted  # refused for its inputs in a moment
    try:
        before, after = (_run(m, inputs) for m in (proto, converted))
    except (OnnxRuntimeError, ValueError) as e:  # ValueError: an output is a sequence
        raise ModelError(
            f"'{origin}' is of opset {found}; ONNX Runtime cannot compare it with what onnx makes of it for {target}: "
            f"{_line(e)}; {advice}"
        ) from e
    for value, a, b in zip(proto.graph.output, before, after, strict=True):
        if not _alike(a, b):
            raise ModelError(
                f"'{origin}' is of opset {found}; onnx's form of it in {target} gives another '{value.name}'; {advice}"
            )
    return converted


def _line(e: Exception) -> str:
    return " ".join(str(e).split())[:300]


def _some_inputs(proto: onnx.ModelProto) -> dict[str, NDArray[np.generic]] | None:
    """Random values for every input, or None where a size is dynamic or a type has no numbers."""
    rng = np.random.default_rng(0)
    found: dict[str, NDArray[np.generic]] = {}
    for value in model_inputs(proto):
        sizes = [d for d in dims_of(value) if isinstance(d, int)]
        if not value.type.HasField("tensor_type") or len(sizes) < len(value.type.tensor_type.shape.dim):
            return None
        dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        real = dtype.kind == "f"
        if dtype.kind not in "fiub":
            return None
        found[value.name] = np.asarray(rng.random(sizes) if real else rng.integers(0, 2, sizes)).astype(dtype)
    return found


def _run(proto: onnx.ModelProto, inputs: dict[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]:
    return [np.asarray(v) for v in OnnxSession(proto).run(None, inputs)]


def _alike(a: NDArray[np.generic], b: NDArray[np.generic]) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind != "f":
        return bool((a == b).mean() > 1 - _TOLERANCE) if a.size else True
    x, y = a.astype(np.float64), b.astype(np.float64)
    scale = np.abs(x[np.isfinite(x)]).max(initial=0.0)
    return bool(np.allclose(x, y, rtol=_TOLERANCE, atol=_TOLERANCE * float(scale), equal_nan=True))
