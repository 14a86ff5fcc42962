"""Constants and inputs that are outputs, back in the signature of what was compiled without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from vla_isa.signature import HostOp, ModelOutput, Signature
from vlac.import_onnx.direct_outputs import DirectOutputs

__all__ = ["with_direct_outputs"]


def with_direct_outputs(
    signature: Signature, direct: DirectOutputs, order: Sequence[str], fixed: Mapping[str, NDArray[Any]]
) -> Signature:
    """The signature with these outputs too.

    Args:
        order: the names of the whole model's outputs.
        fixed: values of inputs that are constants, by name; an output that is such an input is one too.
    """
    inputs = {v.name: i for i, v in enumerate(signature.inputs)}
    sources = {o.name: o.source for o in signature.outputs}
    ops, arrays = list(signature.ops), list(signature.arrays)
    for name, given in direct.items():
        source = fixed.get(given, given) if isinstance(given, str) else given
        if isinstance(source, str):
            sources[name] = inputs[source]
            continue
        sources[name] = len(inputs) + len(ops)
        ops.append(HostOp("Constant", (), source.shape, str(source.dtype), (len(arrays),)))
        arrays.append(source)
    return replace(
        signature,
        ops=ops,
        arrays=arrays,
        outputs=[ModelOutput(name, sources[name]) for name in order if name in sources],
    )
