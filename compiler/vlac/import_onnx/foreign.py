"""Types and shapes of what operators of other domains make (com.microsoft, ai.onnx.ml), as ONNX Runtime sees them.

ONNX has no inference for them, and without it none for what is behind them. A shape that ONNX Runtime does not infer
either is taken from two runs on made-up inputs that agree; where a later run differs, the part behind it refuses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from vlac.errors import ModelError
from vlac.model.onnx_runtime import OnnxRuntimeError, OnnxSession

__all__ = ["add_foreign_shapes"]

Arrays = Mapping[str, NDArray[Any]]


def add_foreign_shapes(proto: onnx.ModelProto, constants: Arrays, origin: str) -> None:
    """Give a model value_info for every result of a node of another domain.

    Args:
        proto: the model, changed in place; inputs that `constants` has are its constants.
        origin: what errors call it.

    Raises:
        ModelError: ONNX Runtime does not know such a node.
    """
    functions = {f.domain for f in proto.functions}
    nodes = [n for n in proto.graph.node if n.domain not in ("", "ai.onnx", *functions)]
    known = {v.name for v in (*proto.graph.value_info, *proto.graph.output) if _is_static(v)}
    names = [name for n in nodes for name in n.output if name and name not in known]
    if not names:
        return
    outputs, count = proto.graph.output, len(proto.graph.output)
    given = {o.name for o in outputs}
    outputs.extend(onnx.ValueInfoProto(name=n) for n in names if n not in given)
    probe = proto.SerializeToString()
    del outputs[count:]
    found = _infer(probe, constants, names, nodes, origin)
    replaced = [i for i, v in enumerate(proto.graph.value_info) if v.name in found]
    for index in reversed(replaced):
        del proto.graph.value_info[index]
    proto.graph.value_info.extend(v for name, v in found.items() if name not in given)
    for value in outputs:
        if value.name in found and not value.type.tensor_type.HasField("shape"):
            value.CopyFrom(found[value.name])


def _is_static(value: onnx.ValueInfoProto) -> bool:
    kind = value.type.tensor_type
    return kind.HasField("shape") and all(d.HasField("dim_value") for d in kind.shape.dim)


def _infer(
    probe: bytes, constants: Arrays, names: list[str], nodes: list[onnx.NodeProto], origin: str
) -> dict[str, onnx.ValueInfoProto]:
    try:
        session = OnnxSession(probe)
    except OnnxRuntimeError as e:
        found = ", ".join(sorted({f"{n.op_type} (domain {n.domain})" for n in nodes}))
        raise ModelError(
            f"'{origin}': {found} is not supported, and ONNX Runtime cannot load it either, so it cannot run on the "
            f"host: {e}"
        ) from e
    kinds = {o.name: o for o in session.outputs}
    open_names = [n for n in names if not all(isinstance(d, int) for d in kinds[n].shape or [None])]
    measured = _measure(session, constants, open_names) if open_names else {}
    out = {}
    for name in names:
        shape = measured.get(name, tuple(kinds[name].shape))
        code = _element_type(kinds[name].type)
        if code is not None:
            out[name] = helper.make_tensor_value_info(name, code, shape)
    return out


def _element_type(text: str) -> int | None:
    """ONNX's number of "tensor(float)"; None for sequences and maps."""
    if not text.startswith("tensor("):
        return None
    return int(onnx.TensorProto.DataType.Value(text[7:-1].upper()))


def _measure(session: OnnxSession, constants: Arrays, names: list[str]) -> dict[str, tuple[int | None, ...]]:
    """Shapes by name; sizes that two runs do not agree on are None. Nothing where the model does not run."""
    runs = []
    for seed in range(2):
        feeds = {i.name: constants[i.name] if i.name in constants else _made_up(i, seed) for i in session.inputs}
        try:
            arrays = session.run(names, feeds)
        except OnnxRuntimeError:
            return {}
        runs.append([np.shape(a) for a in arrays])
    found = {}
    for name, a, b in zip(names, *runs, strict=True):
        if len(a) == len(b):
            found[name] = tuple(x if x == y else None for x, y in zip(a, b, strict=True))
    return found


def _made_up(value: Any, seed: int) -> NDArray[Any]:
    """Numbers for an input: normal where real, 0 and 1 where integers or truth values."""
    rng = np.random.default_rng(seed)
    code = _element_type(value.type) or onnx.TensorProto.FLOAT
    dtype = helper.tensor_dtype_to_np_dtype(code)
    shape = [d if isinstance(d, int) else 1 for d in value.shape]
    return (rng.standard_normal(shape) if dtype.kind == "f" else rng.integers(0, 2, shape)).astype(dtype)
