"""The native library: every packet's bytes are the slow reference's, on every kind of processor."""

from __future__ import annotations

import copy
import ctypes
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_execute import machine_for

from vla_isa import hardware, layout, numerics
from vla_isa.errors import IndexRangeError
from vla_isa.footprint import footprint
from vla_isa.generated.codes import GatherMove, Rounding
from vla_isa.hardware import LINE_BYTES
from vla_isa.instructions import TABLE
from vla_isa.layout import TensorLayout
from vla_isa.numerics import ResidualRecord
from vla_isa.operands import Arena
from vla_isa.packet import Packet
from vlarun.conformance import reference
from vlarun.conformance.operations import Operation, make_operation
from vlarun.memory import Machine, Records
from vlarun.native import binding as native
from vlarun.native import dequantize, pack_into, quantize, unpack
from vlarun.native.steps import MAKERS, make_step

PACKETS = 30
FLAVOURS = {"native": "-march=native", "avx2": "-mavx2", "portable": "-mno-avx"}


@pytest.fixture(scope="module", params=FLAVOURS)
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ctypes.CDLL]:
    """The library for this processor, and as processors without its newest instructions get it."""
    path = tmp_path_factory.mktemp("native") / "kernels.so"
    native.build(path, [FLAVOURS[request.param] if f == "-march=native" else f for f in native.FLAGS])
    yield native.load(path)


def run_natively(
    library: ctypes.CDLL, op: Operation, machine: Machine, inputs: int, *, computed: bool = False
) -> bool | None:
    """Whether items were in range in all of `inputs` machines, of which the first is `machine`; None: it is not done.

    Every memory is then what the reference makes of it. With `computed` every machine has weights of its own.
    """
    steps = make_step(op.packet, machine, int(library.vla_groups()), computed=computed)
    if steps is None:
        return None
    rng = np.random.default_rng(1)
    act = rng.integers(-128, 128, (inputs, machine.act.size), dtype=np.int8)
    weight = rng.integers(-128, 128, (inputs, machine.weight.size if computed else 0), dtype=np.int8)
    data = rng.integers(-128, 128, (inputs, machine.data.size), dtype=np.int8)
    act[0], data[0] = machine.act.reshape(-1), machine.data
    for base, words in op.arena.contents:  # the last one has other values at the same items and records
        act[-1].reshape(machine.act.shape)[base : base + len(words)] = words
    if op.packet.name == "COPY":
        weight = np.repeat(machine.weight.reshape(1, -1), inputs, axis=0)
    before = [m.copy() for m in (act, data, weight)]
    size = max([1, *(s.scratch for s in steps)])
    scratch, failed = np.full(size + 64, 77, np.int8), np.zeros(inputs, np.int64)
    array = (native.Step * len(steps))(*(native.Step(s.kind, ctypes.addressof(s.what)) for s in steps))
    memories = (act, data, weight, scratch, failed)
    sizes = (act.shape[1], data.shape[1], weight.shape[1], size, inputs)
    library.vla_run(array, len(steps), ctypes.byref(native.Memory(*(m.ctypes.data for m in memories), *sizes)))
    assert (scratch[size:] == 77).all()
    for i in range(inputs):
        slow = copy.deepcopy(machine)
        slow.act, slow.data = before[0][i].reshape(slow.act.shape), before[1][i]
        if computed:
            slow.weight = before[2][i].reshape(slow.weight.shape)
        try:
            reference.execute(op.packet, slow)
        except IndexRangeError:
            assert failed[i]
        else:
            assert not failed[i]
        assert np.array_equal(act[i], slow.act.reshape(-1)), f"{op.packet.name} {dict(op.packet.values)}"
        assert np.array_equal(data[i], slow.data)
        if weight.size:
            assert np.array_equal(weight[i], slow.weight.reshape(-1))
    return not failed.any()


@pytest.mark.parametrize("config", ["tiny", "u50"])
@pytest.mark.parametrize("name", sorted(i.name for i in TABLE if i.operands and i.name in MAKERS))
def test_random_packets(library: ctypes.CDLL, name: str, config: str) -> None:
    """Three inputs at once, whatever their memories hold; nearly every packet is done by the library."""
    hw, done = hardware.load(config), 0
    for seed in range(PACKETS):
        op = make_operation(name, np.random.default_rng(seed), Arena(hw))
        done += run_natively(library, op, machine_for(op, seed), 3) is not None
    assert done > PACKETS * 0.8


@pytest.mark.parametrize("config", ["tiny", "u50"])
def test_products_with_computed_weights(library: ctypes.CDLL, config: str) -> None:
    """Every input has its own."""
    hw, done = hardware.load(config), 0
    for seed in range(PACKETS):
        op = make_operation("GEMM", np.random.default_rng(seed), Arena(hw))
        done += run_natively(library, op, machine_for(op, seed), 2, computed=True) is not None
    assert done > PACKETS * 0.8


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("shift", [0, 1, 2, 9])
def test_ties_of_a_row(library: ctypes.CDLL, rounding: Rounding, shift: int) -> None:
    """Operands as they are: with these shifts every second result, or one in 512, lies between two integers."""
    plain = {"function": 0, "row_mode": 0, "table_mode": 0, "c_kind": 0, "a_mult": 1, "out_bytes": 1}
    for seed, config in enumerate(["tiny", "u50"] * 2):
        rng = np.random.default_rng(seed)
        op = make_operation("ROW", rng, Arena(hardware.load(config)), **plain, shift=shift, rounding=rounding)
        assert run_natively(library, op, machine_for(op, seed), 2) is not None


@pytest.mark.parametrize("records", ["extreme", "usual"])
def test_extreme_weights_and_records(library: ctypes.CDLL, records: str) -> None:
    for seed in range(15):
        arena = Arena(hardware.load("tiny"))
        op = make_operation(
            "CONV", np.random.default_rng(seed), arena, act="extreme", weight="extreme", records=records, mask_mode=0
        )
        assert run_natively(library, op, machine_for(op, seed), 1) is not None


def test_what_costs_time_has_a_native_form() -> None:
    names = "CONV GEMM COPY POOL VEC ROW REDUCE RECIP GATHER SET LOOP JUMP HALT"
    assert set(names.split()) <= set(MAKERS) <= {i.name for i in TABLE}


@pytest.mark.parametrize("move", [GatherMove.GATHER_DATA, GatherMove.SCATTER_DATA])
@pytest.mark.parametrize("config", ["tiny", "u50"])
def test_rows_of_the_data_space(library: ctypes.CDLL, config: str, move: GatherMove) -> None:
    hw, inside = hardware.load(config), 0
    for seed in range(PACKETS):
        rng = np.random.default_rng(seed)
        op = make_operation("GATHER", rng, Arena(hw))
        packet = op.packet.instruction.packet(**{**op.packet.values, "move": move, "table_base": 2, "table_stride": 1})
        machine = machine_for(op, seed)
        lines = 2 + packet["table_rows"] + 1
        machine.data = rng.integers(-128, 128, lines * LINE_BYTES, dtype=np.int8)
        inside += bool(run_natively(library, replace(op, packet=packet), machine, 2))
        machine.data = machine.data[: 2 * LINE_BYTES]  # rows lie behind it
        assert make_step(packet, machine, int(library.vla_groups())) is None
    assert inside > PACKETS / 2


@pytest.mark.parametrize("name", ["GEMM", "ROW", "REDUCE", "RECIP", "GATHER", "COPY"])
def test_operands_that_wrap_are_left_to_the_executor(library: ctypes.CDLL, name: str) -> None:
    """The library takes no packet whose operands end behind their memory, whatever its fields say."""
    hw = hardware.load("tiny")
    groups, refused = int(library.vla_groups()), 0
    for seed in range(PACKETS):
        op = make_operation(name, np.random.default_rng(seed), Arena(hw))
        machine, bases = machine_for(op, seed), op.packet.instruction.act_bases(op.packet)
        for field in bases:
            packet = op.packet.instruction.packet(**{**op.packet.values, field: hw.act_words - 1})
            steps = make_step(packet, machine, groups)
            refused += steps is None
            assert steps is None or not footprint_wraps(packet, hw)
    assert refused > PACKETS


@pytest.mark.parametrize("values", ["edges", "zero", "negative"])
def test_reciprocals_at_the_ends_of_their_range(library: ctypes.CDLL, values: str) -> None:
    """Powers of two, whose mantissas are clamped to 24 bits, no reciprocal at all, and shifts up to past 63."""
    ends = [(function, shift) for function in range(2) for shift in (0, 20, 62, 63)]
    for seed, (function, shift) in enumerate(ends * 2):
        fixed = {"function": function, "shift": shift, "add": 0, "mult": (1 << 23, (1 << 24) - 1)[seed >= len(ends)]}
        op = make_operation("RECIP", np.random.default_rng(seed), Arena(hardware.load("u50")), values=values, **fixed)
        assert run_natively(library, op, machine_for(op, seed), 1) is not None


def test_squares_are_transposed(library: ctypes.CDLL) -> None:
    for seed, config in enumerate(["tiny", "u50"] * 3):
        op = make_operation("COPY", np.random.default_rng(seed), Arena(hardware.load(config)), move=1, unit=1)
        assert run_natively(library, op, machine_for(op, seed), 2) is not None


def test_weights_that_wrap_are_left_to_the_executor(library: ctypes.CDLL) -> None:
    op = make_operation("GEMM", np.random.default_rng(0), Arena(hardware.load("tiny")), batch=2, k_blocks=2)
    last = op.arena.hw.weight_words - 1
    for change in ({"weight_base": last}, {"weight_batch_stride": last}):
        packet = op.packet.instruction.packet(**{**op.packet.values, **change})
        for computed in (False, True):
            assert make_step(packet, machine_for(op, 0), int(library.vla_groups()), computed=computed) is None


@pytest.mark.parametrize("field", ["reduce_base", "row_base", "out_base", "b_base", "c_base"])
def test_operands_that_overlap_are_left_to_the_executor(library: ctypes.CDLL, field: str) -> None:
    """A ROW whose sums, items, operands or output lie in another one, a word on."""
    groups, refused = int(library.vla_groups()), 0
    for seed in range(PACKETS):
        rng = np.random.default_rng(seed)
        fixed = {"row_mode": 1, "reduce": 1, "function": 1, "c_kind": 1, "table_mode": 0, "in_place": False, "m": 5}
        op = make_operation("ROW", rng, Arena(hardware.load("tiny")), **fixed)
        other = "out_base" if field != "out_base" else "a_base"
        moved = {**op.packet.values, field: op.packet[other] + 1}
        packet = op.packet.instruction.packet(**moved)
        refused += make_step(packet, machine_for(op, seed), groups) is None
    assert refused == PACKETS


def footprint_wraps(packet: Packet, hw: hardware.HardwareConfig) -> bool:
    return any(a.space == "act" and a.words[-1, 1] > hw.act_words for a in footprint(packet, hw))


# --- requantization ------------------------------------------------------------------------------------------------


def finish(
    library: ctypes.CDLL,
    acc: np.ndarray,
    records: Records,
    rounding: int,
    wide: bool,
    residual: tuple[ResidualRecord, np.ndarray] | None = None,
    table: np.ndarray | None = None,
) -> np.ndarray:
    """Accumulators int32 [rows, 16] through the library, with zero point -3."""
    add = np.zeros(16, np.int32) if wide else records.bias.astype(np.int32)
    scale = records.mult * np.exp2(-records.shift.astype(np.float64))
    record = np.ascontiguousarray(np.stack(records, axis=1))
    f = native.Finish(add.ctypes.data, scale.ctypes.data, record.ctypes.data)
    f.wide, f.rounding, f.zero, f.lo, f.hi = wide, rounding, -3, -128, 127
    given, out = np.ascontiguousarray(acc + add), np.empty(acc.shape, np.int8)
    other = np.zeros(acc.shape, np.int8)
    if residual is not None:
        r, other = residual
        f.residual, f.a_zero, f.b_zero, f.out_zero = 1, r.a_zero, r.b_zero, r.out_zero
        f.residual_lo, f.residual_hi = r.lo, r.hi
        f.a_scale, f.b_scale = r.a_mult * 2.0**-r.shift, r.b_mult * 2.0**-r.shift
    if table is not None:
        f.table = table.ctypes.data
    arguments = (given.ctypes.data, other.ctypes.data, out.ctypes.data)
    library.vla_finish(ctypes.byref(f), ctypes.c_int64(len(acc)), *map(ctypes.c_void_p, arguments))
    return out


@pytest.mark.parametrize("rounding", [0, 1, 2])
@pytest.mark.parametrize("bits", [8, 20, 28, 31])
def test_requantize(library: ctypes.CDLL, rounding: int, bits: int) -> None:
    rng = np.random.default_rng(bits)
    for _ in range(20):
        acc = rng.integers(-(1 << bits), 1 << bits, (50, 16)).astype(np.int32)
        acc[0], acc[1] = (1 << bits) - 1, -(1 << bits)
        bias = rng.integers(-99, 99, 16) if bits < 31 else rng.integers(-(1 << 31), 1 << 31, 16)
        records = Records(bias, rng.integers(0, 1 << 24, 16), rng.integers(0, 64, 16))
        want = numerics.requantize(acc, *records, rounding, -3, -128, 127)
        for wide in (True, False)[: 2 if bits < 29 else 1]:
            assert np.array_equal(finish(library, acc, records, rounding, wide), want), wide


@pytest.mark.parametrize("rounding", [0, 1, 2])
@pytest.mark.parametrize("wide", [False, True])
def test_ties_and_their_neighbours(library: ctypes.CDLL, rounding: int, wide: bool) -> None:
    for shift in (0, 1, 5, 24, 30, 49, 52, 53, 54, 63):
        for mult in (1 << 23, 3 << 22, (1 << 24) - 1):
            ties = [((2 * k + 1) << max(shift - 1, 0)) // mult for k in range(-300, 300)]
            values = [t + d for t in ties for d in (-1, 0, 1) if abs(t) < 1 << 28]
            acc = np.resize(np.array(values, np.int32), (len(values) // 16 + 1, 16))
            records = Records(np.zeros(16, np.int64), np.full(16, mult), np.full(16, shift))
            want = numerics.requantize(acc, *records, rounding, -3, -128, 127)
            assert np.array_equal(finish(library, acc, records, rounding, wide), want), (shift, mult)


@pytest.mark.parametrize("rounding", [0, 1, 2])
def test_table_and_every_pair_of_a_residual(library: ctypes.CDLL, rounding: int) -> None:
    q = np.arange(-128, 128)
    a, b = (x.astype(np.int8).reshape(-1, 16) for x in np.meshgrid(q, q))
    one = Records(np.full(16, 3), np.full(16, 1 << 23), np.full(16, 23))  # the accumulator as it is
    table = np.random.default_rng(0).integers(-128, 128, 256).astype(np.int8)
    for record in (
        ResidualRecord(1 << 23, 1 << 23, 24, 0, 0, 0, -128, 127),
        ResidualRecord((1 << 24) - 1, 1 << 22, 23, -128, 127, -7, -10, 90),
        ResidualRecord(12_345_678, 1, 0, 5, -5, 100, -128, 127),
        ResidualRecord(9_999_999, 7_777_777, 63, 5, -5, 100, 127, -128),
    ):
        found = finish(library, a.astype(np.int32), one, rounding, False, (record, b), table)
        want = numerics.residual_add(numerics.apply_table(a, table), b, record, rounding)
        assert np.array_equal(found, want), record


# --- inputs and outputs ----------------------------------------------------------------------------------------------


def test_quantize_and_dequantize() -> None:
    rng = np.random.default_rng(0)
    halves = np.arange(-300, 301, dtype=np.float32) / 2
    edges = np.array([0.0, -0.0, 1e-45, -1e-45, 3e38, -3e38, np.inf, -np.inf], np.float32)
    for scale in (1.0, 0.5, 0.007874016, 1e-30, 3e20, 0.1):
        many = (rng.standard_normal(1000) * 100 * scale).astype(np.float32)
        for zero in (0, -128, 127, 5):
            for x in (halves * np.float32(scale), np.nextafter(halves * np.float32(scale), np.float32(0)), edges, many):
                assert np.array_equal(quantize(x, scale, zero), numerics.quantize(x, scale, zero)), (scale, zero)
    q = np.arange(-128, 128, dtype=np.int8).reshape(2, 1, 128)
    for scale, zero in ((0.1, 3), (3e38, -128), (1e-40, 0)):
        with np.errstate(over="ignore"):
            want = (q.astype(np.float32) - np.float32(zero)) * np.float32(scale)
        assert dequantize(q, scale, zero).tobytes() == want.tobytes() and dequantize(q, scale, zero).shape == q.shape
    assert quantize(np.array(0.5, np.float32), 0.25, 0).shape == ()


LAYOUTS = (
    TensorLayout((1, 3, 5, 6), (1, 3, 5, 6), (0, 2, 3, 1), 5, 6, 3, 8),
    TensorLayout((1, 16, 4, 4), (1, 16, 4, 4), (0, 2, 3, 1), 4, 4, 16, 16),
    TensorLayout((2, 24), (2, 24), (0, 1), 1, 2, 24, 16),
    TensorLayout((1, 6, 4), (1, 6, 4), (0, 2, 1), 2, 2, 6, 8),
    TensorLayout((1, 12, 2, 2), (1, 12, 2, 2), (0, 2, 3, 1), 2, 2, 12, 8, ((1, 5), (16, 7))),
    TensorLayout((1, 2, 6, 4), (1, 2, 3, 2, 2, 2), (0, 2, 4, 3, 5, 1), 3, 2, 8, 8),
    *(TensorLayout((2, 4, c), (2, 4, c), (0, 1, 2), 2, 4, c, 16) for c in range(1, 34)),
)


@pytest.mark.parametrize("tensor", LAYOUTS, ids=str)
def test_pack_and_unpack(tensor: TensorLayout) -> None:
    q = np.random.default_rng(0).integers(-128, 128, tensor.shape).astype(np.int8)
    for array in (q, np.asfortranarray(q)):
        data = np.zeros(tensor.lines * 64, np.int8)
        pack_into(data, array, tensor, -7)
        assert np.array_equal(data, layout.pack(array, tensor, -7))
        assert np.array_equal(unpack(data, tensor), q)


# --- without it ----------------------------------------------------------------------------------------------------


def test_a_compiler_that_fails_is_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(native, "FLAGS", ("-no-such-option",))
    monkeypatch.setattr(native.build, "__defaults__", (("-no-such-option",),))
    native.library.cache_clear()
    assert native.library() is None
    assert "sim runs in numpy, which is slower: g++ does not build kernels.cpp" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.so"))
    native.library.cache_clear()


def test_a_change_in_any_file_is_another_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(shutil.copytree(native.SOURCE.parent, tmp_path / "kernels"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(native, "SOURCE", folder / native.SOURCE.name)
    monkeypatch.setattr(native, "load", lambda path: path)
    monkeypatch.setattr(native, "build", lambda path: native.keep(native.SOURCE, path))
    files = sorted(folder.iterdir())
    found = {native.library.__wrapped__()}
    for file in files:
        file.write_text(file.read_text() + "\n")
        found.add(native.library.__wrapped__())
    assert len(files) > 5 and len(found) == 1 + len(files)


@pytest.mark.parametrize("function", ["keep", "cache_folder"])
def test_a_cache_that_cannot_be_used_is_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], function: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(native, function, fail)
    native.library.cache_clear()
    assert native.library() is None
    assert "sim runs in numpy, which is slower" in capsys.readouterr().err
    native.library.cache_clear()


def test_without_sources_there_is_no_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(native, "SOURCE", tmp_path / "kernels" / "kernels.cpp")
    native.library.cache_clear()
    try:
        assert native.library() is None
    finally:
        native.library.cache_clear()
    assert "sim runs in numpy, which is slower: " in capsys.readouterr().err


def test_without_a_compiler_there_is_no_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "/nowhere")
    native.library.cache_clear()
    assert native.library() is None
    assert "sim runs in numpy, which is slower: its kernels need g++" in capsys.readouterr().err
    native.library.cache_clear()
