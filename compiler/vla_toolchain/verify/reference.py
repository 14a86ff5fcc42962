"""ONNX Runtime as the reference: the user's model as its file holds it, with inputs and outputs by name.

Not here: what is compared with it (`nodes.py`, `source.py`, `loss.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from vla_isa.signature import Value
from vla_toolchain.verify.qonnx import expanded
from vlac.errors import ModelError
from vlac.import_onnx.half import has_bfloat16, without_halves
from vlac.import_onnx.shapes import dims_of, model_inputs
from vlac.import_onnx.source import Source
from vlac.model.onnx_runtime import OnnxRuntimeError, OnnxSession
from vlac.quantize.calibration import random_array

__all__ = ["Arrays", "Reference", "all_values", "exact_reference", "random_inputs", "user_model"]

Arrays = Mapping[str, NDArray[Any]]
_DTYPES: dict[str, np.dtype[Any]] = {
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
    **{
        name: np.dtype(name)
        for name in ("float16", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool")
    },
}


def exact_reference() -> bool:
    """Whether ONNX Runtime's integer kernels are exact here: a CPU with VNNI (unknown systems count as not)."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return "avx512_vnni" in flags or "avx_vnni" in flags


def user_model(model: onnx.ModelProto | Path) -> onnx.ModelProto:
    """The user's model, read anew and changed by no pass.

    QONNX nodes are spelled out, and bfloat16 is float32, as no runtime knows them here.
    """
    found = expanded(onnx.load(str(model)) if isinstance(model, Path) else model)
    if has_bfloat16(found):
        copy = onnx.ModelProto()
        copy.CopyFrom(found)
        without_halves(copy)
        return copy
    return found


class Reference:
    """A model ready to run in ONNX Runtime.

    Args:
        model: a model, or the path of one; the large constants of a Source are handed over, not copied.
        fused: with integer kernels for Q/DQ pairs, exact on CPUs with VNNI; else node by node in float32, as no
            optimization is trusted.

    Raises:
        ModelError: ONNX Runtime cannot load it.
    """

    def __init__(self, model: onnx.ModelProto | Source | Path, *, fused: bool = False) -> None:
        self._constants = model.large if isinstance(model, Source) else {}
        proto = model.opened if isinstance(model, Source) else model
        try:
            self._session = OnnxSession(proto, optimized=fused, integers=True)
        except OnnxRuntimeError as e:
            raise ModelError(f"ONNX Runtime cannot load the model to compare with: {e}") from e
        self.outputs = [o.name for o in self._session.outputs if o.type.startswith("tensor(")]  # no sequences

    def run(self, feeds: Arrays, outputs: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        """Outputs by name, all of them unless told; inputs are cast to the model's types, others are left out.

        Raises:
            ModelError: ONNX Runtime cannot run it on these inputs.
        """
        names = self.outputs if outputs is None else list(outputs)
        if not names:
            return {}
        given = {}
        for value in self._session.inputs:
            if value.name in self._constants:
                given[value.name] = self._constants[value.name]
                continue
            if value.name not in feeds:
                raise ModelError(f"there is nothing to feed the input '{value.name}' of the model to compare with")
            kind = value.type.removeprefix("tensor(").removesuffix(")")
            given[value.name] = np.asarray(feeds[value.name]).astype(_DTYPES[kind], copy=False)
        try:
            return dict(zip(names, self._session.run(names, given), strict=True))
        except OnnxRuntimeError as e:
            raise ModelError(f"ONNX Runtime cannot run the model to compare with: {e}") from e


def all_values(model: onnx.ModelProto) -> Reference:
    """The model with every value that a node computes as an output too."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    given = {o.name for o in probe.graph.output}
    names = dict.fromkeys(n for node in probe.graph.node for n in node.output if n)
    probe.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n not in given)
    return Reference(probe)


def random_inputs(model: onnx.ModelProto, seed: int) -> dict[str, NDArray[Any]]:
    """Seeded numbers for the inputs of a model, as random calibration has them."""
    rng = np.random.default_rng(seed)
    out: dict[str, NDArray[Any]] = {}
    for value in model_inputs(model):
        shape = tuple(d if isinstance(d, int) else 1 for d in dims_of(value))
        dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        out[value.name] = random_array(rng, Value(value.name, shape, str(dtype)))
    return out
