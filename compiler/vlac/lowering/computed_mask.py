"""A mask that the host computes of the model's inputs, as int16 tensors in the unit of logits.

The host gives real numbers, -inf where a key is masked; the device's integers are 256 a nat, -32768 is masked. What is
-1e4 and below masks; what is above that and below -127.99 nat is -127.99, where a share is 0 beside any other logit.
Not here: constant masks (`model/mask_structure.py`).
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from vla_isa.integer import INT16
from vlac.ir.operation import Tensor
from vlac.lowering.context import LoweringContext
from vlac.model.mask_structure import LOGIT, NEVER
from vlac.model.reading import dtype_of, shape_of

__all__ = ["computed_mask"]

_LEAST = np.float32((INT16.lo + 1) * LOGIT)


def computed_mask(
    low: LoweringContext, value: ir.Value, sizes: tuple[int, int, int], number: int, unit: float = LOGIT
) -> tuple[Tensor, ...]:
    """The masks [1, queries or 1, keys] of attention `number` of the batch: one for each head, or one for all.

    Args:
        value: of truth values or numbers, that broadcasts to [batch, heads, queries, keys].
        sizes: heads, queries, keys.
        unit: of the integers.
    """
    shape = (1,) * (4 - len(shape_of(value))) + shape_of(value)
    heads, queries, keys = (1 if n == 1 else size for n, size in zip(shape[1:], sizes, strict=True))
    if keys != sizes[2]:
        shape = (*shape[:3], sizes[2])
    return tuple(_one(low, value, shape, (number if shape[0] > 1 else 0, head), queries, unit) for head in range(heads))


def _one(
    low: LoweringContext, value: ir.Value, shape: tuple[int, ...], at: tuple[int, int], queries: int, unit: float
) -> Tensor:
    """The part of a batch and a head as an input of the device; the same one for all that read it."""
    key = ("mask", value, shape, at, unit)
    if key not in low.shared:
        host, size = low.host, (1, queries, shape[3])
        part = host.add("Slice", (_added(low, value, shape),), (1, *size), "float32", (*at, 0, 0, 1, 1, 1, 1))
        name = f"{value.name}:{at[0]}.{at[1]}"
        tensor = Tensor(f"{name}:mask", name, size, unit, 0, type=INT16)
        low.taken(tensor, host.add("Reshape", (part,), size, "float32"), name)
        low.shared[key] = tensor
    return low.shared[key]


def _added(low: LoweringContext, value: ir.Value, shape: tuple[int, ...]) -> int:
    """The host's number of what is added, of four axes."""
    host, given, own = low.host, low.host.numbers[value], shape_of(value)
    constants = [host.constant(np.array(x, np.float32)) for x in (0, -np.inf, NEVER, _LEAST)]
    zero, never, bound, least = constants
    if dtype_of(value) == "bool":
        found = host.add("Where", (given, zero, never), own, "float32")
    else:
        real = host.cast(given, "float32", own)
        kept = host.add("Max", (real, least), own, "float32")
        found = host.add("Where", (host.add("Greater", (real, bound), own, "bool"), kept, never), own, "float32")
    four = host.add("Reshape", (found,), (1,) * (4 - len(own)) + own, "float32")
    return four if host.shape(four) == shape else host.add("Expand", (four,), shape, "float32")
