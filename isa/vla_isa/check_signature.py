"""Load-time checks of a signature: every value exists before it is read, fits its function, and has a bounded size.

Not here: the device's tensors and packets (`validate.py`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from vla_isa.errors import ProgramError
from vla_isa.host_functions import DTYPES, FUNCTIONS, HostFunction
from vla_isa.integer import IntType
from vla_isa.layout import TensorLayout
from vla_isa.signature import HostOp, ModelOutput, Signature, Value

__all__ = ["MAX_ELEMENTS", "MAX_HOST_OPS", "MAX_RANK", "check_names", "check_signature", "check_value"]

MAX_ELEMENTS = 1 << 28  # of one value
_MAX_TOTAL = 1 << 30  # of all values of the host
MAX_HOST_OPS = 4096
MAX_RANK = 32


def check_signature(signature: Signature, inputs: Sequence[TensorLayout], outputs: Sequence[TensorLayout]) -> None:
    """Refuse a signature that does not fit the device's inputs and outputs, or itself.

    Raises:
        ProgramError: naming the value and what is wrong.
    """
    check_names(signature.inputs, signature.outputs)
    for value in signature.inputs:
        check_value(f"model input '{value.name}'", value.shape, value.dtype)
    if len(signature.ops) > MAX_HOST_OPS:
        raise ProgramError(f"the host computes {len(signature.ops)} functions; the limit is {MAX_HOST_OPS}")
    if sum(math.prod(op.shape) for op in signature.ops) > _MAX_TOTAL:
        raise ProgramError(f"the host's values have more than {_MAX_TOTAL} elements in all")
    for number, op in enumerate(signature.ops):
        _check_op(signature, number, op, outputs)
    _check_feeds(signature, inputs)
    known = len(signature.inputs) + len(signature.ops)
    for output in signature.outputs:
        if not 0 <= output.source < known:
            raise ProgramError(f"model output '{output.name}' is value {output.source} of {known}")


def check_names(inputs: Sequence[Value], outputs: Sequence[Value | ModelOutput]) -> None:
    """Refuse a model that names two inputs or two outputs alike, or that has no outputs.

    Raises:
        ProgramError: naming them.
    """
    for kind, values in (("input", inputs), ("output", outputs)):
        for name, count in Counter(v.name for v in values).items():
            if count > 1:
                raise ProgramError(f"two model {kind}s have the name '{name}'")
    if not outputs:
        raise ProgramError("the model has no outputs")


def check_value(where: str, shape: tuple[int, ...], dtype: str) -> None:
    """Refuse a value that numpy or the memory cannot hold.

    Raises:
        ProgramError: what is wrong with `where`.
    """
    if dtype not in DTYPES:
        raise ProgramError(f"{where} has dtype '{dtype}'; there are {', '.join(DTYPES)}")
    if min(shape, default=1) < 1 or math.prod(shape) > MAX_ELEMENTS or len(shape) > MAX_RANK:
        raise ProgramError(
            f"{where} has shape {list(shape)}; it must have 1 to {MAX_ELEMENTS} elements, and up to {MAX_RANK} axes"
        )


def _check_op(signature: Signature, number: int, op: HostOp, outputs: Sequence[TensorLayout]) -> None:
    where = f"host function {number} ({op.function})"
    check_value(where, op.shape, op.dtype)
    position = len(signature.inputs) + number
    if not all(0 <= n < position for n in op.operands):
        raise ProgramError(f"{where} reads a value that is not there before it: {list(op.operands)} of {position}")
    if op.function in ("Device", "Constant"):
        _check_source(signature, op, where, outputs)
        return
    found = FUNCTIONS.get(op.function)
    if found is None:
        raise ProgramError(f"{where} does not exist; there are {', '.join(FUNCTIONS)}")
    operands = [signature.value(n) for n in op.operands]
    if not operands or (found.operands and len(operands) != found.operands):
        raise ProgramError(f"{where} has {len(operands)} operands")
    if not found.fits([v.shape for v in operands], op.shape, op.numbers):
        shapes = " and ".join(str(list(v.shape)) for v in operands)
        raise ProgramError(f"{where}: {list(op.shape)} is no result of {shapes} with {list(op.numbers)}")
    _check_dtypes(op, operands, where, found)


def _check_dtypes(op: HostOp, operands: Sequence[Value | HostOp], where: str, found: HostFunction) -> None:
    dtypes = [v.dtype for v in operands]
    alike, made = dtypes[1:] if found.first else dtypes, found.makes
    given = alike[0] if made or op.function == "Cast" else op.dtype
    other = found.first and np.dtype(dtypes[0]).kind not in found.first
    if set(alike) != {given} or np.dtype(given).kind not in found.kinds or other or (made and op.dtype != made):
        raise ProgramError(f"{where} of {' and '.join(dtypes)} to {op.dtype} is not possible")


def _check_source(signature: Signature, op: HostOp, where: str, outputs: Sequence[TensorLayout]) -> None:
    sources: Sequence[Any] = outputs if op.function == "Device" else signature.arrays
    if op.operands or len(op.numbers) != 1 or not 0 <= op.numbers[0] < len(sources):
        raise ProgramError(f"{where} takes {list(op.numbers)}; there are {len(sources)}")
    source = sources[op.numbers[0]]
    fits = _shows(op.dtype, source) if op.function == "Device" else op.dtype == str(source.dtype)
    if source.shape != op.shape or not fits:
        raise ProgramError(f"{where} is {op.dtype} {list(op.shape)}; what it stands for has {list(source.shape)}")


def _shows(dtype: str, layout: TensorLayout) -> bool:
    """Whether real numbers or integers of this dtype are values of a tensor of the device."""
    integers = IntType.named(dtype)
    return dtype == "float32" if integers is None else integers.stored == layout.type


def _check_feeds(signature: Signature, inputs: Sequence[TensorLayout]) -> None:
    known = len(signature.inputs) + len(signature.ops)
    if len(signature.feeds) != len(inputs) or not all(0 <= n < known for n in signature.feeds):
        raise ProgramError(f"the device has {len(inputs)} inputs, and takes values {signature.feeds} of {known}")
    for number, layout in zip(signature.feeds, inputs, strict=True):
        value = signature.value(number)
        if value.shape != layout.shape or not _shows(value.dtype, layout):
            raise ProgramError(
                f"the device takes value {number}, {value.dtype} {list(value.shape)}, where it has {list(layout.shape)}"
            )
        if signature.device_outputs(number):
            raise ProgramError(f"the device takes value {number}, which is computed from what it makes")
