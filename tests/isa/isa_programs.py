"""Small legal programs that the tests of this folder take apart. No compiler involved."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vla_isa.encoding import decode, encode, make_packet
from vla_isa.hardware import HardwareConfig, load
from vla_isa.layout import TensorLayout
from vla_isa.numerics import pack_records
from vla_isa.packet import Packet
from vla_isa.program import IoTensor, MapEntry, Program, Segment, SourceEntry
from vla_isa.trace import packets

H, W = 4, 8  # rows and pixels of the maps; two channel blocks
PARAMS_LINE, INPUT_LINE, OUTPUT_LINE, BATCHES = 1024, 2048, 3072, 3


def masks(*numbers: int) -> int:
    return sum(1 << n for n in numbers)


def tensor(prefix: str, base: int, **sizes: int) -> dict[str, int]:
    """A dense region [H][2][W] at `base`."""
    values = {"base": base, "row_stride": 2 * W, "pitch": W, "ring": H, **sizes}
    return {f"{prefix}_{k}": v for k, v in values.items()}


def pipeline(config: str = "tiny") -> Program:
    """Three inputs through load, conv, pool, vec and store, with double buffers and every queue in use.

    Semaphores: 0 weights ready, 1 input ready, 2 input free, 3 conv ready, 4 conv free, 5 result ready,
    6 result free.
    """
    hw = load(config)
    words = _parameters_and_weights()
    for i in range(BATCHES):
        words += [_load_input(hw, i), *_compute(hw, i), _store_output(hw, i)]
    words.append(make_packet("HALT"))
    return program_of(hw, words)


def _parameters_and_weights() -> list[Packet]:
    return [
        make_packet("COPY", move=3, src=PARAMS_LINE, n0=2, n1=1, n2=1, n3=1),
        make_packet(
            "COPY",
            move=4,
            n0=9,
            n1=2,
            n2=2,
            n3=1,
            src_stride1=9,
            src_stride2=18,
            dst_stride1=9,
            dst_stride2=18,
            signal=masks(0),
        ),
    ]


def _load_input(hw: HardwareConfig, i: int) -> Packet:
    lines, half, reuse = W * hw.block // 64, 256 * (i % 2), i >= 2
    return make_packet(
        "COPY",
        move=0,
        src=INPUT_LINE + 2 * H * lines * i,
        dst=half,
        n0=W,
        n1=2,
        n2=H,
        n3=1,
        src_stride1=lines,
        src_stride2=2 * lines,
        dst_stride1=W,
        dst_stride2=2 * W,
        wait=masks(2) if reuse else 0,
        signal=masks(1),
    )


def _compute(hw: HardwareConfig, i: int) -> list[Packet]:
    half, reuse = 256 * (i % 2), i >= 2
    return [
        make_packet(
            "CONV",
            **tensor("in", half, h=H, w=W, blocks=2),
            kernel_h=3,
            kernel_w=3,
            pad_top=1,
            pad_left=1,
            **tensor("out", 1024 + half, h=H, w=W, blocks=2),
            hi=127,
            lo=-128,
            wait=masks(1, *([0] if i == 0 else []), *([4] if reuse else [])),
            signal=masks(3, *([2] if i < BATCHES - 2 else [])),
        ),
        make_packet(
            "POOL",
            **tensor("in", 1024 + half, h=H, w=W, blocks=2),
            channels=2 * hw.block,
            kernel_h=2,
            kernel_w=2,
            **tensor("out", 2048 + half, h=H, w=W),
            lo=-128,
            hi=127,
            wait=masks(3, *([6] if reuse else [])),
            signal=masks(4) if i < BATCHES - 2 else 0,
        ),
        make_packet(
            "VEC",
            **tensor("a", 2048 + half),
            **tensor("b", 2048 + half),
            **tensor("out", 2048 + half, h=H, w=W, blocks=2),
            a_mult=1,
            b_mult=1,
            lo=-128,
            hi=127,
            signal=masks(5),
        ),
    ]


def _store_output(hw: HardwareConfig, i: int) -> Packet:
    lines, half = W * hw.block // 64, 256 * (i % 2)
    return make_packet(
        "COPY",
        move=5,
        src=2048 + half,
        dst=OUTPUT_LINE + 2 * H * lines * i,
        n0=W,
        n1=2,
        n2=H,
        n3=1,
        dst_stride1=lines,
        dst_stride2=2 * lines,
        src_stride1=W,
        src_stride2=2 * W,
        wait=masks(5),
        signal=masks(6) if i < BATCHES - 2 else 0,
    )


def program_of(hw: HardwareConfig, words: list[Packet]) -> Program:
    """A program around packets, with weights, records, one input and one output."""
    shape = (1, 2 * hw.block, BATCHES * H, W)
    layout = TensorLayout(shape, shape[1:], (1, 2, 0), BATCHES * H, W, 2 * hw.block, hw.block)
    weights = (np.arange(64 * hw.weight_word_bytes) % 251 - 125).astype(np.int8).reshape(64, -1)
    records = pack_records(np.arange(2 * hw.block) - 5, np.full(2 * hw.block, 1 << 23), np.full(2 * hw.block, 33))
    constants = [Segment(PARAMS_LINE, records.tobytes())]
    return Program(
        config=hw,
        heaps=[Segment(0, b"".join(map(encode, words)))],
        constants=constants,
        weights=weights,
        data_bytes=4096 * 64,
        entries={"main": 0},
        inputs=[IoTensor("x", layout, INPUT_LINE, 0.5, 3)],
        outputs=[IoTensor("y", layout, OUTPUT_LINE, 0.25, -7)],
        memory_map=[MapEntry("x", "data", INPUT_LINE, layout.lines, 0, len(words) - 1)],
        sources=[SourceEntry(i, f"conv{i}", "Conv", 1000) for i, w in enumerate(words) if w.name == "CONV"],
        manifest={"compiler": "by hand", "numbers": [1, 2.5, None, True]},
    )


def decoded(program: Program) -> list[Packet]:
    return [decode(data) for data in packets(program)]


def with_packets(program: Program, words: list[Packet]) -> Program:
    """The program with other instructions in its (one) heap."""
    return replace(program, heaps=[Segment(0, b"".join(map(encode, words)))])


def changed(packet: Packet, **values: int) -> Packet:
    """The packet with some fields changed."""
    return make_packet(packet.name, **{**packet.values, **values})
