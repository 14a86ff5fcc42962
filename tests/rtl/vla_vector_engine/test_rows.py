"""ROW, REDUCE and RECIP on vla_vector_engine against the slow reference, mixed with POOL and VEC; throughput."""

from __future__ import annotations

from pathlib import Path

import pytest
from vector_bench import Sequence

from vla_isa import hardware
from vla_isa.encoding import make_packet
from vla_isa.generated.codes import ReduceFunction
from vla_isa.hardware import HardwareConfig
from vla_isa.operands import Arena
from vlarun.conformance.operations import make_operation

TINY, U50 = hardware.load("tiny"), hardware.load("u50")
MOST = 150  # packets of a sequence; fewer where the parameter memory is full


def fill(sequence: Sequence, names: tuple[str, ...], most: int = MOST, **fixed: int) -> Sequence:
    """Add random packets of these instructions in turn; the parameter memory limits their number."""
    hw, room = sequence.machine.hw, sequence.machine.hw.param_words
    for number in range(most):
        name = names[number % len(names)]
        operation = make_operation(name, sequence.rng, Arena(hw), **fixed)
        room -= len(operation.param)
        if room < 0:
            break
        sequence.add(operation)
    return sequence


@pytest.mark.parametrize(
    ("hw", "stalls", "gaps"),
    [(TINY, 0, 0), (TINY, 40, 50), pytest.param(U50, 40, 0, marks=pytest.mark.slow)],
    ids=["tiny", "tiny-stalls", "u50-stalls"],
)
@pytest.mark.parametrize("names", [("ROW",), ("REDUCE",), ("RECIP",)], ids=str)
def test_random_packets(tmp_path: Path, hw: HardwareConfig, stalls: int, gaps: int, names: tuple[str, ...]) -> None:
    fill(Sequence(hw, 21 + stalls), names).verify(tmp_path, stalls=stalls, gaps=gaps)


@pytest.mark.parametrize("stalls", [0, 30])
def test_engines_take_turns(tmp_path: Path, stalls: int) -> None:
    """Packets of both engines behind one queue, in any order."""
    sequence = Sequence(TINY, 5)
    for _ in range(120):
        name = str(sequence.rng.choice(["ROW", "VEC", "REDUCE", "POOL", "RECIP"]))
        if sequence.params < TINY.param_words - 80:
            fill(sequence, (name,), 1)
    sequence.verify(tmp_path, stalls=stalls)


PLAIN = {"function": 0, "c_kind": 0, "b_kind": 0, "a_mult": 1, "shift": 0, "reduce": 1, "blocks": 3, "h": 2}
WIDE = {"a_bytes": 1, "out_bytes": 1}
BITS = {
    "in16": PLAIN | WIDE | {"row_mode": 0, "table_mode": 2},
    "less": PLAIN | WIDE | {"row_mode": 1, "table_mode": 0},
    "record": PLAIN | WIDE | {"row_mode": 2, "table_mode": 0},
    "dither": PLAIN | {"row_mode": 0, "table_mode": 3, "a_bytes": 0, "out_bytes": 0, "lo": -128, "hi": 127},
    "out8": PLAIN | {"row_mode": 0, "table_mode": 1, "a_bytes": 0, "out_bytes": 0, "lo": -128, "hi": 127},
    "mul": PLAIN
    | WIDE
    | {"function": 1, "b_kind": 1, "b_bytes": 1, "a_mult": 12_345_677, "shift": 38, "table_mode": 0},
    "row": PLAIN | WIDE | {"function": 1, "b_kind": 2, "b_bytes": 1, "a_mult": 3, "shift": 16, "table_mode": 0},
    "c": PLAIN | WIDE | {"c_kind": 2, "c_mult": 16_777_213, "c_shift": 15, "a_mult": 9_999_991, "shift": 38},
    "six": PLAIN | WIDE | {"function": 1, "b_kind": 1, "b_bytes": 1, "c_kind": 1, "c_bytes": 1, "shift": 16},
}


@pytest.mark.parametrize("case", BITS)
def test_every_bit_shows(tmp_path: Path, case: str) -> None:
    """Scales that leave the lowest bits in the result, all roundings; random and extreme operands."""
    for seed, style in enumerate(("random", "edges")):
        sequence = Sequence(TINY, seed)
        if style == "edges":
            sequence.machine.act[:] = sequence.rng.choice([-128, 127, 0, -1], sequence.machine.act.shape)
        for number in range(12):
            fill(sequence, ("ROW",), 1, **(BITS[case] | {"rounding": number % 3, "m": 1 + number % 5}))
        folder = tmp_path / style
        folder.mkdir()
        sequence.verify(folder)


@pytest.mark.parametrize("function", range(3))
def test_every_shift(tmp_path: Path, function: int) -> None:
    """Shifts at both ends with extreme multipliers; a shift of 0 rounds nothing."""
    sequence = Sequence(TINY, 9)
    kind = {"b_kind": 1 if function == 1 else 0, "table_mode": 0, "blocks": 1}
    for number, shift in enumerate([0, 1, 2, 7, 8, 15, 16, 31, 32, 33, 40, 47, 48, 55, 56, 61, 62, 63]):
        mult = [0, 1, (1 << 24) - 1, 1 << 23][number % 4]
        fixed = {"function": function, "shift": shift, "a_mult": mult, "c_mult": mult ^ 1, "rounding": number % 3}
        fill(sequence, ("ROW",), 1, **(fixed | kind))
    sequence.verify(tmp_path)


def test_masked_logits_are_zero_exponents(tmp_path: Path) -> None:
    """A logit of -32768 gives -128 in front of the table whatever the maximum, the table's lowest entry behind it."""
    sequence = Sequence(TINY, 3)
    sequence.machine.act[:] = sequence.rng.choice([-128, 0], sequence.machine.act.shape)
    for out, table in ((0, 0), (0, 1), (0, 3), (1, 0)):
        fixed = {"row_mode": 1, "a_bytes": 1, "a_zero": 5, "out_bytes": out, "table_mode": table}
        fill(sequence, ("ROW",), 1, **(PLAIN | fixed | {"lo": -100, "hi": 100}))
    sequence.verify(tmp_path, stalls=20)


@pytest.mark.parametrize("stalls", [0, 30])
@pytest.mark.parametrize("values", [(-128, 127), (-1, 0), (5,), tuple(range(-3, 4))], ids=str)
def test_masks_of_equal_values(tmp_path: Path, values: tuple[int, ...], stalls: int) -> None:
    """Few different bytes, so that the k-th largest value has many equals before it and behind it."""
    sequence = Sequence(TINY, 11)
    sequence.machine.act[:] = sequence.rng.choice(values, sequence.machine.act.shape)
    for number, k in enumerate([0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 23, 24, 25, 1023] * 2):
        fixed = {"k": k, "in_bytes": number % 2, "blocks": 1 + number % 4}
        fill(sequence, ("REDUCE",), 1, function=ReduceFunction.TOPK_MASK, **fixed)
    sequence.verify(tmp_path, stalls=stalls)


@pytest.mark.parametrize(
    ("name", "fixed", "cycles"),
    [
        ("ROW", {"function": 0, "b_kind": 0, "c_kind": 0, "a_bytes": 1, "out_bytes": 0, "row_mode": 1}, 1),
        (
            "ROW",
            {"function": 1, "b_kind": 1, "b_bytes": 0, "c_kind": 0, "a_bytes": 0, "out_bytes": 0, "row_mode": 0},
            1,
        ),
        ("ROW", {"function": 2, "b_kind": 0, "c_kind": 0, "a_bytes": 1, "out_bytes": 0, "row_mode": 2}, 1),
        ("ROW", {"function": 1, "b_kind": 2, "b_bytes": 1, "c_kind": 2, "c_bytes": 1, "a_bytes": 1, "out_bytes": 0}, 2),
        ("ROW", {"function": 0, "b_kind": 0, "c_kind": 0, "a_bytes": 1, "out_bytes": 1, "row_mode": 0}, 2),
        ("REDUCE", {"in_bytes": 1, "function": 3}, 1),
    ],
)
def test_cycles_of_a_step(tmp_path: Path, name: str, fixed: dict[str, int], cycles: int) -> None:
    """32 elements per cycle where half the slots read and the planes written allow; one more per pair for its items."""
    blocks, pairs = 16, 8
    sequence = Sequence(TINY, 1)
    shape = {"h": 1, "m": 2 * pairs, "blocks": blocks} | ({"table_mode": 0, "reduce": 0} if name == "ROW" else {})
    values = dict(make_operation(name, sequence.rng, Arena(TINY), **(fixed | shape)).packet.values)
    for at, p in enumerate(("a", "b", "c", "in", "out")):  # a pair's planes and its neighbours' in different banks
        spread = {f"{p}_pitch": 2 * pairs + 2, f"{p}_base": 2404 * at}
        values |= {key: value for key, value in spread.items() if key in values}
    values |= {"row_base": 14000} if name == "ROW" else {}
    sequence.add_packet(make_packet(name, **values))
    (spent,) = sequence.verify(tmp_path)
    items = pairs if values.get("row_mode") else 0
    assert spent <= pairs * blocks * cycles + items + 70
