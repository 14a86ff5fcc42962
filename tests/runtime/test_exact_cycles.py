"""Programs whose cycles the performance model has exactly, one for each rule of the machine that sets them.

The Verilog machine counts them: where it cannot be run, the counts that it gave are written here.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from graphs import GraphBuilder
from prepare import compile_model

from vla_isa import hardware, timing
from vla_isa.encoding import encode, make_packet
from vla_isa.generated.codes import BKind, OperandKind, VecFunction
from vla_isa.hardware import LINE_BYTES
from vla_isa.packet import Packet
from vla_isa.program import Program
from vlarun.backends import RtlBackend, run_once
from vlarun.conformance.programs import Builder, copy_packet

CONFIGS = ("tiny", "u50")
HALT = make_packet("HALT")
AHEAD = [make_packet("SET")] * 42  # while fetch reads what is behind the packets that are counted

WORDS = {"row_stride": 512, "pitch": 16, "ring": 1}


def region(name: str, base: int, **others: int) -> dict[str, int]:
    return {f"{name}_{key}": value for key, value in {**WORDS, "base": base, **others}.items()}


def product(**others: int) -> Packet:
    """Of 32 blocks of 16 pixels."""
    sizes = {"out_h": 1, "out_w": 16, "out_blocks": 32, "function": VecFunction.MUL, "a_mult": 1 << 20, "shift": 30}
    return make_packet("VEC", **(region("a", 0) | region("b", 512) | region("out", 1024) | sizes | others))


def convolution(**others: int) -> Packet:
    """Of 8 rows of 32 pixels, 2 blocks to 4, 3x3."""
    size = {"in_h": 8, "in_w": 32, "in_blocks": 2, "kernel_h": 3, "kernel_w": 3, "stride_h": 1, "stride_w": 1}
    size |= {"dilation_h": 1, "dilation_w": 1, "pad_top": 1, "pad_left": 1, "out_h": 8, "out_w": 32, "out_blocks": 4}
    places = region("in", 2048, row_stride=80, pitch=40, ring=8) | region("out", 4096, row_stride=128, pitch=32, ring=8)
    return make_packet("CONV", **(size | places | others))


def tensors_in_the_same_banks(b: Builder) -> list[Packet]:
    """Each operand is a walk of its own: one is a beat behind the other, and then both get a word a cycle."""
    return [product()]


def a_row_meets_the_other_operand(b: Builder) -> list[Packet]:
    """The row's word is read in every beat, and its bank is the other operand's in one of eight."""
    return [product(b_kind=BKind.ROW)]


def a_row_beside_the_array(b: Builder) -> list[Packet]:
    return [convolution(), product(b_kind=BKind.ROW), product(b_kind=BKind.COLUMN)]


def windows_of_two_blocks(b: Builder) -> list[Packet]:
    """One window a block: that of the next block is beside it."""
    size = {"in_h": 7, "in_w": 7, "in_blocks": 9, "kernel_h": 7, "kernel_w": 7, "stride_h": 1, "stride_w": 1}
    places = region("in", 0, row_stride=64, pitch=7, ring=7) | region("out", 1000, pitch=1)
    return [make_packet("POOL", **size, **places, out_h=1, out_w=1)]


def windows_beside_the_array(b: Builder) -> list[Packet]:
    """The two windows are together only where both are through; taps outside the input are not read."""
    size = {"in_h": 5, "in_w": 20, "in_blocks": 1, "kernel_h": 3, "kernel_w": 3, "stride_h": 1, "stride_w": 1}
    size |= {"pad_top": 1, "pad_left": 1, "out_h": 5, "out_w": 20}
    places = region("in", 0, row_stride=20, pitch=20, ring=5) | region("out", 1000, row_stride=20, pitch=20, ring=5)
    return [convolution(), make_packet("POOL", **size, **places)]


def runs(move: str, n0: int, n1: int, apart: int, together: int) -> Callable[[Builder], list[Packet]]:
    """So many runs of n0 words; `apart` and `together` are the steps in the memory outside and on chip."""

    def packets(b: Builder) -> list[Packet]:
        b.weight_words(np.zeros((600, b.hw.weight_word_bytes), np.int8))
        b.reserve(600 * LINE_BYTES)
        out = move == "act_to_data"
        steps = {"src_stride1": together if out else apart, "dst_stride1": apart if out else together}
        return [copy_packet(move, n0=n0, n1=n1, **steps)]

    return packets


def masked_weights(b: Builder) -> list[Packet]:
    """A packet reads its mask when those before it are done, and is taken before; one has no weights at all."""
    bits = np.zeros((7, 8 * b.hw.param_word_bytes), np.uint8)
    bits[:3, :4], bits[0, 2], bits[3:6, 1:3] = 1, 0, 1
    b.load_param(np.packbits(bits, axis=1, bitorder="little"))
    b.weight_words(np.zeros((300, b.hw.weight_word_bytes), np.int8))
    shape = {"n0": 9, "n1": 4, "src_stride1": 9, "src_stride2": 36, "mask_enable": 1}
    return [
        copy_packet("weight_to_weight", **shape, src=src, dst=src, n2=n2, mask_base=first)
        for src, first, n2 in ((0, 0, 3), (108, 3, 3), (216, 6, 1), (0, 0, 2))
    ]


def residual_of_long_products(b: Builder) -> list[Packet]:
    """Operands stay on the banks of an int16 residual, whose last words come behind the last step."""
    size = {"batch": 1, "h": 1, "m": 16, "k_blocks": 16, "n_blocks": 4, "out_bytes": 1}
    places = {"in_pitch": 16, "out_base": 1024, "out_pitch": 28, "res_base": 2048, "res_pitch": 28}
    return [make_packet("GEMM", **size, **places, res_kind=OperandKind.TENSOR)]


PROGRAMS: dict[str, Callable[[Builder], list[Packet]]] = {
    "tensors in the same banks": tensors_in_the_same_banks,
    "a row meets the other operand": a_row_meets_the_other_operand,
    "a row and a column beside the array": a_row_beside_the_array,
    "windows of two blocks": windows_of_two_blocks,
    "windows beside the array": windows_beside_the_array,
    "weights in short bursts": runs("weight_to_weight", 3, 20, 10, 3),
    "weights in joined runs": runs("weight_to_weight", 9, 20, 9, 9),
    "parameters": runs("data_to_param", 2, 17, 5, 2),
    "loads in joined runs": runs("data_to_act", 4, 10, 1, 4),
    "loads in short bursts": runs("data_to_act", 4, 17, 2, 4),
    "stores in joined runs": runs("act_to_data", 4, 10, 1, 4),
    "stores in short bursts": runs("act_to_data", 4, 30, 2, 4),
    "masked weights": masked_weights,
    "a residual of long products": residual_of_long_products,
}


def program(name: str, config: str) -> Program:
    b = Builder(hardware.load(config))
    for packet in AHEAD:
        b.raw(encode(packet))
    for packet in (*PROGRAMS[name](b), HALT):
        b.raw(encode(packet))
    return b.build()


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_rule(name: str, config: str) -> None:
    found = program(name, config)
    machine = run_once(RtlBackend(), found, {}).counters
    assert timing.estimate(found).counters == machine


def gated_unit() -> onnx.ModelProto:
    """relu(x A) * (x B) C, the feed-forward part of a transformer with gates: 16 x 64, 256 hidden."""
    g = GraphBuilder("gated_unit")
    x = g.input("x", (1, 16, 64))

    def linear(y: str, k: int, n: int) -> str:
        return g.node("MatMul", [y, g.constant(g.weight(n, k).T)], n)

    hidden = g.node("Mul", [g.node("Relu", [linear(x, 64, 256)]), linear(x, 64, 256)], 256)
    return g.model(linear(hidden, 256, 64))


COUNTED = {"tiny": 4251, "u50": 1014}  # on the Verilog machine


@pytest.mark.parametrize("config", CONFIGS)
def test_a_gated_unit(config: str) -> None:
    """Its product reads two tensors that lie in the same banks."""
    assert timing.estimate(compile_model(gated_unit(), config)).total_cycles == COUNTED[config]


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS)
def test_a_gated_unit_on_the_machine(config: str) -> None:
    found = compile_model(gated_unit(), config)
    zeros = {t.name: np.zeros(t.layout.shape, np.int8) for t in found.inputs}
    assert run_once(RtlBackend(), found, zeros).cycles == COUNTED[config]
