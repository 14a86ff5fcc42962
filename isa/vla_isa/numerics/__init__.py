"""All device arithmetic, in int64 numpy: the binding reference for every backend and for the RTL.

Floats appear in `scales.py` only. Every function takes and returns arrays (or ints) of any shape and broadcasts;
results are int64 unless said otherwise. What a name does is written where it is defined.

Sources: ONNX operator specification (QuantizeLinear rounds to nearest even), IEEE 754 binary32.
"""

from __future__ import annotations

from vla_isa.numerics.elementwise import apply_table, average, elementwise, requantize, residual_add
from vla_isa.numerics.reciprocal import reciprocal, rsqrt
from vla_isa.numerics.records import (
    ITEM_BYTES,
    MAX_SHIFT,
    RECORD_BYTES,
    RESIDUAL_BYTES,
    ResidualRecord,
    item_index,
    pack_items,
    pack_records,
    pack_row_records,
    unpack_items,
    unpack_records,
    unpack_signed_records,
)
from vla_isa.numerics.rounding import clamp, clamp18, round_shift, saturate16, wrap32
from vla_isa.numerics.rows import (
    MASKED,
    channel,
    dithered,
    interpolate,
    less,
    linear,
    masked_logits,
    moments,
    normalize,
    pairs,
    product,
    requantize16,
    residual16,
    topk_mask,
)
from vla_isa.numerics.scales import (
    dithered_exponents,
    exponents,
    make_steps,
    make_table,
    product_multipliers,
    quantize,
    requantize_scale,
    scale_to_multiplier,
    scales_to_multipliers,
    two_multipliers,
    wide_exponents,
)

__all__ = [
    "ITEM_BYTES",
    "MASKED",
    "MAX_SHIFT",
    "RECORD_BYTES",
    "RESIDUAL_BYTES",
    "ResidualRecord",
    "apply_table",
    "average",
    "channel",
    "clamp",
    "clamp18",
    "dithered",
    "dithered_exponents",
    "elementwise",
    "exponents",
    "interpolate",
    "item_index",
    "less",
    "linear",
    "make_steps",
    "make_table",
    "masked_logits",
    "moments",
    "normalize",
    "pack_items",
    "pack_records",
    "pack_row_records",
    "pairs",
    "product",
    "product_multipliers",
    "quantize",
    "reciprocal",
    "requantize",
    "requantize16",
    "requantize_scale",
    "residual16",
    "residual_add",
    "round_shift",
    "rsqrt",
    "saturate16",
    "scale_to_multiplier",
    "scales_to_multipliers",
    "topk_mask",
    "two_multipliers",
    "unpack_items",
    "unpack_records",
    "unpack_signed_records",
    "wide_exponents",
    "wrap32",
]
