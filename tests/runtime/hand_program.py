"""A small program with named inputs and outputs, made by hand: the compiler is not asked."""

from __future__ import annotations

import numpy as np

from vla_isa import hardware, numerics
from vla_isa.encoding import make_packet
from vla_isa.layout import TensorLayout
from vla_isa.program import IoTensor, Program, SourceEntry
from vlarun.conformance.programs import Builder, copy_packet

CHANNELS, HEIGHT, WIDTH = 3, 5, 6
IN_SCALE, OUT_SCALE, IN_ZERO = 0.5, 0.25, 3


def layout_of(shape: tuple[int, ...], block: int) -> TensorLayout:
    """[1, C, H, W] or [1, C]."""
    if len(shape) == 2:
        return TensorLayout(shape, shape, (0, 1), 1, 1, shape[1], block)
    return TensorLayout(shape, shape, (0, 2, 3, 1), shape[2], shape[3], shape[1], block)


def make_program(config: str = "tiny") -> Program:
    """y = x + x on a [1, 3, 5, 6] image: load, VEC, store; `bias` [1, 2] is loaded and returned as it is."""
    hw = hardware.load(config)
    builder = Builder(hw)
    x_layout, b_layout = layout_of((1, CHANNELS, HEIGHT, WIDTH), hw.block), layout_of((1, 2), hw.block)
    x_line, y_line = builder.reserve(x_layout.lines * 64), builder.reserve(x_layout.lines * 64)
    b_line, c_line = builder.reserve(b_layout.lines * 64), builder.reserve(b_layout.lines * 64)
    rows = {"n0": WIDTH, "n2": HEIGHT}
    builder.add(copy_packet("data_to_act", src=x_line, src_stride2=x_layout.row_lines, dst_stride2=WIDTH, **rows))
    builder.add(copy_packet("data_to_act", src=b_line, dst=500))
    region = {"row_stride": WIDTH, "pitch": WIDTH, "ring": HEIGHT}
    fields = {f"{p}_{k}": v for p in ("a", "b", "out") for k, v in region.items()}
    mult, shift = numerics.scale_to_multiplier(IN_SCALE / OUT_SCALE)
    builder.add(
        make_packet(
            "VEC",
            a_zero=IN_ZERO,
            b_zero=IN_ZERO,
            a_mult=mult,
            b_mult=mult,
            shift=shift,
            lo=-128,
            hi=127,
            out_base=200,
            out_h=HEIGHT,
            out_w=WIDTH,
            **fields,
        )
    )
    builder.add(
        copy_packet("act_to_data", src=200, dst=y_line, src_stride2=WIDTH, dst_stride2=x_layout.row_lines, **rows)
    )
    builder.add(copy_packet("act_to_data", src=500, dst=c_line))
    builder.halt(4)
    program = builder.build()
    program.inputs += [
        IoTensor("image", x_layout, x_line, IN_SCALE, IN_ZERO),
        IoTensor("bias", b_layout, b_line, 1.0, 0),
    ]
    program.outputs += [IoTensor("sum", x_layout, y_line, OUT_SCALE, 0), IoTensor("copy", b_layout, c_line, 1.0, 0)]
    program.sources += [SourceEntry(2, "Add_0", "Add", 0)]
    return program


def good_inputs(runs: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        "image": (rng.integers(-20, 20, (runs, CHANNELS, HEIGHT, WIDTH)) * IN_SCALE).astype(np.float32),
        "bias": rng.integers(-9, 9, (runs, 2)).astype(np.float32),
    }
