"""vla_mac_engine against the slow reference: seeded random packets, directed cases, throughput."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mac_bench import Sequence

from vla_isa import hardware, numerics
from vla_isa.encoding import make_packet
from vla_isa.hardware import HardwareConfig
from vla_isa.operands import Arena
from vlarun.conformance.operations import make_operation
from vlarun.execute import conv

TINY, U50 = hardware.load("tiny"), hardware.load("u50")
BLOCK_16 = replace(TINY, block=16)  # an item is one word
TINY_4 = replace(TINY, requant_pixels=4)  # a strip at once
WIDE_4, WIDE_8 = (replace(TINY, pixels=8, requant_pixels=n) for n in (4, 8))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("hw", "stalls", "gaps"),
    [
        (TINY, 0, 0),
        (TINY, 40, 0),
        (TINY, 75, 95),
        (BLOCK_16, 40, 0),
        (TINY_4, 40, 0),
        (WIDE_4, 0, 0),
        (WIDE_8, 40, 0),
        pytest.param(U50, 0, 0, marks=pytest.mark.slow),
        pytest.param(U50, 40, 50, marks=pytest.mark.slow),
    ],
    ids=["tiny", "tiny-stalls", "tiny-slow", "block-16", "tiny-4", "wide-4", "wide-8", "u50", "u50-stalls"],
)
def test_random_packets(tmp_path: Path, hw: HardwareConfig, stalls: int, gaps: int, seed: int) -> None:
    sequence = Sequence(hw, 100 * stalls + seed)
    while sequence.add(make_operation("GEMM" if sequence.rng.integers(3) == 0 else "CONV", sequence.rng, Arena(hw))):
        pass
    assert len(sequence.packets) > 50
    sequence.verify(tmp_path, stalls=stalls, gaps=gaps, seed=seed)


@pytest.mark.parametrize("rounding", range(3))
def test_extreme_operands_and_records(tmp_path: Path, rounding: int) -> None:
    """Activations and weights at the ends of int8; biases, shifts and clamps at the ends of theirs."""
    sequence = Sequence(TINY, rounding)
    rng, machine = sequence.rng, sequence.machine
    for memory in (machine.act, machine.weight):
        memory[:] = rng.choice(np.array([-128, 127], np.int8), memory.shape)
    for number in range(20):
        name = "GEMM" if number % 4 == 0 else "CONV"
        lo, hi = [(-128, 127), (50, -50), (-128, -128), (127, 127)][number % 4]
        sequence.add(
            make_operation(
                name,
                rng,
                Arena(TINY),
                records="extreme",
                rounding=rounding,
                lo=lo,
                hi=hi,
                out_zero=int(rng.choice([-128, 0, 127])),
            )
        )
    assert len(sequence.packets) == 20
    sequence.verify(tmp_path)


@pytest.mark.slow
def test_accumulator_wraps_at_32_bits(tmp_path: Path) -> None:
    """37 blocks of 15 x 15 taps of -128 * -128 exceed int32."""
    sequence = Sequence(U50, 1)
    sequence.machine.act[:], sequence.machine.weight[:] = -128, -128
    sequence.machine.param[0] = np.tile(numerics.pack_records(0, 1 << 23, 48).reshape(-1), 16)
    assert 37 * 225 * 16 * 128 * 128 > 1 << 31
    sequence.add_packet(
        make_packet(
            "CONV",
            in_h=15,
            in_w=15,
            in_blocks=37,
            in_pitch=15,
            in_row_stride=15 * 37,
            in_ring=15,
            kernel_h=15,
            kernel_w=15,
            out_base=100000,
            lo=-128,
            hi=127,
        )
    )
    sequence.verify(tmp_path)
    assert sequence.machine.act[100000, 0] < 0


@pytest.mark.slow
@pytest.mark.parametrize("stalls", [0, 50])
@pytest.mark.parametrize("bits", ["random", "none", "one"])
def test_masks_over_many_blocks(tmp_path: Path, bits: str, stalls: int) -> None:
    """Mask words with empty groups of 16, a short last group, no bit at all; both meanings of an empty block."""
    sequence = Sequence(U50, 2)
    for in_blocks, out_blocks, kernel in ((70, 5, 1), (16, 3, 1), (33, 4, 2), (64, 2, 1)):
        for empty in (0, 1):
            assert sequence.add(
                make_operation(
                    "CONV",
                    sequence.rng,
                    Arena(U50),
                    mask_bits=bits,
                    mask_mode=1,
                    mask_empty=empty,
                    in_blocks=in_blocks,
                    in_h=3,
                    in_w=5,
                    out_blocks=out_blocks,
                    out_h=2,
                    out_w=5,
                    kernel_h=kernel,
                    kernel_w=kernel,
                )
            )
    sequence.verify(tmp_path, stalls=stalls)


@pytest.mark.parametrize("empty", [0, 1], ids=("zero", "bias"))
def test_a_masked_out_block_is_requantized_and_goes_through_the_table(tmp_path: Path, empty: int) -> None:
    """`zero` requantizes 0 with bias 0, so the table sees the clamped zero point; `bias` sees the bias."""
    sequence = Sequence(TINY, 4)
    machine, block = sequence.machine, TINY.block
    table = sequence.rng.permutation(256).astype(np.uint8)
    machine.param[0] = numerics.pack_records(np.arange(block) * 9 - 30, 1 << 23, 24).reshape(-1)
    machine.param[1], machine.param[8:12] = 0, table.reshape(4, -1)
    fields = {"in_h": 3, "in_w": 5, "in_pitch": 5, "in_row_stride": 5, "in_ring": 3, "out_h": 3, "out_w": 5}
    fields |= {"out_base": 900, "out_pitch": 5, "out_row_stride": 5, "out_ring": 3, "out_zero": -7, "lo": -20, "hi": 9}
    sequence.add_packet(
        make_packet("CONV", **fields, mask_mode=1, mask_base=1, mask_empty=empty, table_enable=1, table_base=8)
    )
    result = sequence.verify(tmp_path, meaning=conv.execute)
    seen = np.clip(np.round((np.arange(block) * 9 - 30) * empty / 2) - 7, -20, 9).astype(int)
    wanted = table.view(np.int8)[seen + 128]
    assert (machine.act[900:915] == wanted).all()
    assert result.busy[0] == 0


def test_windows_of_every_reach(tmp_path: Path) -> None:
    """Kernels up to 15 x 15, dilations up to 31, padding beyond the input, every stride."""
    sequence = Sequence(TINY, 3)
    for kernel, dilation, pad, stride in ((15, 1, 7, 1), (2, 31, 31, 2), (3, 5, 200, 3), (1, 1, 0, 4), (15, 2, 14, 4)):
        for _ in range(2):
            assert sequence.add(
                make_operation(
                    "CONV",
                    sequence.rng,
                    Arena(TINY),
                    kernel_h=kernel,
                    kernel_w=kernel,
                    dilation_h=dilation,
                    dilation_w=dilation,
                    pad_top=pad,
                    pad_left=pad,
                    stride_h=stride,
                    stride_w=stride,
                    in_h=9,
                    in_w=10,
                    in_blocks=1,
                )
            )
    sequence.verify(tmp_path, stalls=10)


@pytest.mark.slow
@pytest.mark.parametrize("width", range(1, 20))
def test_strips_cross_row_ends(tmp_path: Path, width: int) -> None:
    """Output rows shorter and longer than a strip, with rings that wrap inside a strip."""
    sequence = Sequence(U50, width)
    for stride in (1, 2):
        assert sequence.add(
            make_operation(
                "CONV",
                sequence.rng,
                Arena(U50),
                in_ring=True,
                out_ring=True,
                in_h=9,
                in_w=2 * width + 1,
                out_h=5,
                out_w=width,
                kernel_h=3,
                kernel_w=3,
                stride_h=stride,
                stride_w=stride,
                pad_top=1,
                pad_left=1,
                out_blocks=2,
                residual_enable=1,
            )
        )
    sequence.verify(tmp_path)


@pytest.mark.slow
def test_residual_in_place(tmp_path: Path) -> None:
    """The output may replace the residual."""
    sequence = Sequence(U50, 4)
    for _ in range(4):
        values = dict(
            make_operation("CONV", sequence.rng, Arena(U50), residual_enable=1, out_h=4, out_w=11).packet.values
        )
        values |= {f"res_{k}": values[f"out_{k}"] for k in ("base", "row_stride", "pitch", "ring", "slot")}
        sequence.add_packet(make_packet("CONV", **values))
    sequence.verify(tmp_path, stalls=30)


@pytest.mark.parametrize("rounding", range(3))
def test_residual_records(tmp_path: Path, rounding: int) -> None:
    """Multipliers and shifts of any size, and odd sums that a shift of 0 must leave alone."""
    sequence = Sequence(TINY, 9)
    for shift, a_mult, b_mult in (
        (0, 1, 0),
        (0, 1, 1),
        (1, 1, 1),
        (1, 3, 1),
        (3, 5, 7),
        (24, (1 << 24) - 1, 1 << 23),
        (33, (1 << 24) - 1, (1 << 24) - 1),
        (62, 1, 1),
        (63, (1 << 24) - 1, 1),
    ):
        operation = make_operation(
            "CONV", sequence.rng, Arena(TINY), residual_enable=1, rounding=rounding, lo=-128, hi=127
        )
        record = numerics.ResidualRecord(a_mult, b_mult, shift, -3, 5, 7, -100, 100)
        word = sequence.params + operation.packet["param_base"] + operation.packet["out_blocks"]
        assert sequence.add(operation)
        sequence.machine.param[word, :12] = np.frombuffer(record.pack(), np.uint8)
    sequence.verify(tmp_path)


def layer(
    sequence: Sequence,
    size: int,
    channels: tuple[int, int],
    *,
    kernel: int = 3,
    stride: int = 1,
    padding: int = 0,
    **fields: int,
) -> int:
    """Append a `u50` convolution of a square map with rows `padding` words longer; returns its ideal cycles."""
    blocks, out_blocks = channels[0] // 16, channels[1] // 16
    out, pitch = -(-size // stride), size + padding
    sequence.machine.param[:out_blocks] = np.tile(numerics.pack_records(5, 1 << 23, 34).reshape(-1), 16)
    sequence.add_packet(
        make_packet(
            "CONV",
            **{
                "in_row_stride": blocks * pitch,
                "in_pitch": pitch,
                "in_ring": size,
                "in_h": size,
                "in_w": size,
                "in_blocks": blocks,
                "kernel_h": kernel,
                "kernel_w": kernel,
                "stride_h": stride,
                "stride_w": stride,
                "pad_top": kernel // 2,
                "pad_left": kernel // 2,
                "out_base": 65536,
                "out_row_stride": out_blocks * out,
                "out_pitch": out,
                "out_ring": out,
                "out_h": out,
                "out_w": out,
                "out_blocks": out_blocks,
                "lo": -128,
                "hi": 127,
                **fields,
            },
        )
    )
    return -(-out * out // 8) * out_blocks * blocks * kernel * kernel


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "channels", "options"),
    [
        (16, (64, 64), {}),
        (64, (64, 64), {}),
        (14, (256, 256), {"padding": 6}),
        (28, (128, 128), {"padding": 4}),
        (56, (64, 256), {"kernel": 1}),
        (32, (32, 64), {"stride": 2}),
    ],
    ids=str,
)
def test_full_rate(tmp_path: Path, size: int, channels: tuple[int, int], options: dict[str, int]) -> None:
    """Every cycle multiplies, apart from about 32 at the start and the end of a lone packet."""
    sequence = Sequence(U50, 5)
    ideal = layer(sequence, size, channels, **options)
    result = sequence.verify(tmp_path, meaning=conv.execute)
    cycles = int(result.done[0] - result.accepted[0])
    print(f"conv {size}x{size} {channels} {options}: {cycles} cycles, ideal {ideal}, {result.speed:.0f} per second")
    assert result.busy[0] == ideal
    assert cycles <= ideal + 40


@pytest.mark.slow
def test_back_to_back_packets(tmp_path: Path) -> None:
    """The shadow hides the set-up; what remains is the pipeline, from the first operand to the last write."""
    sequence = Sequence(U50, 6)
    ideal = [layer(sequence, 16, (64, 64)) for _ in range(4)]
    result = sequence.verify(tmp_path, meaning=conv.execute)
    assert np.diff(result.done).max() <= ideal[0] + 36


@pytest.mark.slow
def test_masked_packets_follow_without_a_gap(tmp_path: Path) -> None:
    """Live lists are built while the predecessor and the previous out block run."""
    sequence = Sequence(U50, 7)
    words = np.zeros((2, 1024), np.uint8)
    words[0, [0, 5, 17, 18, 60]], words[1, [3, 63]] = 1, 1
    sequence.machine.param[100:102] = np.packbits(words, axis=1, bitorder="little")
    for _ in range(3):
        layer(sequence, 8, (1024, 32), mask_mode=1, mask_base=100)
    result = sequence.verify(tmp_path, meaning=conv.execute)
    assert (result.busy == 8 * 9 * 7).all()
    assert np.diff(result.done).max() <= 8 * 9 * 7 + 36
