"""Plans of `sim`: what is worked out once gives what packet by packet gives, for one input and for many."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hand_program import good_inputs, layout_of, make_program

import vlarun
from vla_isa import hardware
from vla_isa.encoding import encode, make_packet
from vla_isa.instructions import ErrorCode
from vla_isa.packet import Packet
from vla_isa.program import IoTensor, Program
from vlarun.backends import RunResult, SimBackend
from vlarun.backends.sim import SimOptions, _SimProgram
from vlarun.backends.sim_plan import NumpyStep
from vlarun.conformance.programs import Builder, copy_packet
from vlarun.native import steps
from vlarun.native.step import Kind

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
TINY = hardware.load("tiny")


def loaded(program: Program, native: bool = True) -> _SimProgram:
    found = SimBackend(SimOptions(native=native)).load(program)
    assert isinstance(found, _SimProgram)
    return found


def integers(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {"image": (1, 3, 5, 6), "bias": (1, 2)}
    return {n: rng.integers(-128, 128, s).astype(np.int8) for n, s in shapes.items()}


def assert_equal(a: RunResult, b: RunResult) -> None:
    for name in ("status", "message", "halt_code", "error_address", "counters", "cycles"):
        assert getattr(a, name) == getattr(b, name), name
    for name, memory in a.memories.items():
        assert np.array_equal(memory, b.memories[name]), name
    for name, output in a.outputs.items():
        assert np.array_equal(output, b.outputs[name]), name


def both(program: Program, planned: bool) -> RunResult:
    """The result of a program without inputs, the same with a plan and without."""
    fast = loaded(program)
    (found,) = fast.run([{}], memories=True)
    assert_equal(found, loaded(program, native=False).run([{}], memories=True)[0])
    assert (next(iter(fast._plans.values())) is not None) == planned
    return found


def test_many_inputs_are_each_of_them() -> None:
    """In any number, one run after another, with what earlier ones wrote put back."""
    many, one = loaded(make_program()), loaded(make_program(), native=False)
    for seeds in ([0], [1, 2, 3], [4, 5], range(70), [6]):
        found = many.run([integers(s) for s in seeds], memories=True)
        assert len(found) == len(seeds)
        for result, seed in zip(found, seeds, strict=True):
            assert_equal(result, one.run([integers(seed)], memories=True)[0])


def test_threads_that_run_one_program_do_not_mix() -> None:
    many, one = loaded(make_program()), loaded(make_program(), native=False)
    wanted = [one.run([integers(s)], memories=True)[0] for s in range(20)]
    with ThreadPoolExecutor(4) as threads:
        for _ in range(10):
            found = threads.map(lambda s: many.run([integers(s)], memories=True)[0], range(20))
            for result, want in zip(found, wanted, strict=True):
                assert_equal(result, want)


def test_a_jump_back_has_no_plan() -> None:
    """Each round would add its steps, with their weights, until the watchdog."""
    program, _ = program_of(copy_packet("fill_act", n0=8, pad=7), make_packet("JUMP", signal=1, target=0))
    assert both(program, planned=False).status is ErrorCode.SEMAPHORE_OVERFLOW


@pytest.mark.parametrize("count", [3, 700])
def test_loops_are_unrolled(count: int) -> None:
    """Each round copies a row that its registers choose; two loops of many rounds are not worth a plan."""
    builder = Builder(TINY)
    rows = np.random.default_rng(0).integers(-128, 128, 64 * 20).astype(np.int8)
    line = builder.constant(rows)
    index = {"index_enable": 1, "index_count": count, "index_stride": 1}

    def inner() -> None:
        builder.add(copy_packet("data_to_act", n0=8, src=line, index_register=1, **{**index, "index_stride": 0}))
        builder.add(copy_packet("act_to_act", n0=8, src=0, dst=8, index_side=1, index_register=0, **index))

    builder.add(make_packet("SET", register=2, immediate=5))
    builder.loop(lambda: builder.loop(inner, count, register=1), min(count, 30), register=0)
    builder.add(copy_packet("data_to_act", n0=8, src=line, dst=900, index_register=2, **{**index, "index_count": 9}))
    builder.halt(0)
    result = both(builder.build(), planned=count == 3)
    assert np.array_equal(result.memories["act"][900:908].reshape(-1), rows[5 * 64 : 6 * 64])


def test_packets_of_a_loop_share_their_weights() -> None:
    builder = Builder(TINY)
    weights = builder.weight_words(np.ones((4, 64), np.int8))
    builder.add(copy_packet("weight_to_weight", n0=4, src=weights))
    builder.loop(lambda: builder.add(make_packet("GEMM", m=3, k_blocks=2, n_blocks=2, out_base=99, out_pitch=3)), 50)
    builder.halt(0)
    sim = loaded(builder.build())
    assert_equal(sim.run([{}], memories=True)[0], loaded(builder.build(), native=False).run([{}], memories=True)[0])
    (plan,) = sim._plans.values()
    products = [s for s in plan.kept if s.kind is Kind.GEMM]
    assert len(products) == 50 and len({id(s.arrays) for s in products}) == 1


@pytest.mark.parametrize("computed", [4, 2, 0])
def test_weights_that_are_computed(computed: int) -> None:
    """All of a product's, or half of them, beside constant ones; those are what later packets find too."""
    builder, rng = Builder(TINY), np.random.default_rng(0)
    weights = builder.weight_words(rng.integers(-128, 128, (4, 64)).astype(np.int8))
    line = builder.constant(rng.integers(-128, 128, 64 * 16).astype(np.int8))
    builder.add(copy_packet("data_to_act", n0=128, src=line))
    builder.add(copy_packet("weight_to_weight", n0=4, src=weights))
    product = make_packet("GEMM", m=3, k_blocks=2, n_blocks=2, in_pitch=3, out_pitch=3, scale_by=1, hi=127, lo=-128)
    for out, n0, move in ((200, computed, "act_to_weight"), (230, 1, "weight_to_weight"), (260, 1, "act_to_weight")):
        builder.add(copy_packet(move, n0=n0, src=8 if move == "act_to_weight" else weights + 1, dst=1))
        builder.add(product.instruction.packet(**{**product.values, "out_base": out}))
    builder.halt(0)
    both(builder.build(), planned=True)


def test_an_item_outside_its_table_is_an_error_of_its_input_alone() -> None:
    """The others of the same call have their results."""
    builder = Builder(TINY)
    rows = np.random.default_rng(0).integers(-128, 128, (7, 8)).astype(np.int8)
    layout = layout_of((1, 8), TINY.block)
    line = builder.reserve(layout.lines * 64)
    builder.load_act(rows, to=100)
    builder.add(copy_packet("data_to_act", src=line))
    builder.add(make_packet("GATHER", table_base=100, table_stride=1, table_rows=7, n=1, words=1, act_base=16))
    builder.halt(0)
    program = builder.build()
    program.inputs.append(IoTensor("item", layout, line, 1.0, 0))
    many, one = loaded(program), loaded(program, native=False)
    inputs = [{"item": np.eye(1, 8, dtype=np.int8) * row} for row in (3, 7, 0, -1)]
    found = many.run(inputs, memories=True)
    for each, result in zip(inputs, found, strict=True):
        assert_equal(result, one.run([each], memories=True)[0])
    assert many._plans[0] is not None
    assert [r.status for r in found] == [ErrorCode.OK, ErrorCode.INDEX_RANGE] * 2
    assert np.array_equal(found[0].memories["act"][16], rows[3])


def test_packets_in_numpy_between_native_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(steps.MAKERS, "VEC")
    many = loaded(make_program())
    found = many.run([integers(s) for s in range(3)], memories=True)
    (plan,) = many._plans.values()
    assert plan is not None and [isinstance(p, NumpyStep) for p in plan.parts] == [False, True, False]
    for seed, result in enumerate(found):
        assert_equal(result, loaded(make_program(), native=False).run([integers(seed)], memories=True)[0])


def test_results_do_not_change_with_the_next_run() -> None:
    sim = loaded(make_program())
    first = sim.run([integers(0)], memories=True)[0]
    kept = {n: m.copy() for n, m in {**first.memories, **first.outputs}.items()}
    sim.run([integers(1)], memories=True)
    assert all(np.array_equal({**first.memories, **first.outputs}[n], m) for n, m in kept.items())


def program_of(*packets: Packet | bytes, data: np.ndarray | None = None) -> tuple[Program, int]:
    """A program on `tiny`, and the line of its constant."""
    builder = Builder(TINY)
    line = builder.constant(np.zeros(64, np.int8) if data is None else data)
    for packet in packets:
        builder.raw(packet if isinstance(packet, bytes) else encode(packet))
    return builder.build(), line


def test_a_program_that_writes_its_own_packets() -> None:
    """The JUMP back to the start becomes a HALT when it is reached, so the loop ends after one round."""
    builder = Builder(TINY)
    halt = builder.constant(np.frombuffer(encode(make_packet("HALT", code=9)), np.int8))
    builder.raw(encode(copy_packet("data_to_act", n0=8, src=halt)))
    builder.raw(encode(copy_packet("act_to_data", n0=8, dst=2)))
    builder.raw(encode(make_packet("JUMP", target=0)))
    result = both(builder.build(), planned=False)
    assert (result.status, result.halt_code, result.counters["packets"]) == (ErrorCode.OK, 9, 3)


def test_parameters_that_were_computed() -> None:
    builder = Builder(TINY)
    line = builder.constant(np.zeros(64, np.int8))
    builder.raw(encode(copy_packet("fill_act", n0=8, pad=7)))
    builder.raw(encode(copy_packet("act_to_data", n0=8, dst=line)))
    builder.raw(encode(copy_packet("data_to_param", n0=1, src=line)))
    builder.halt(0)
    assert (both(builder.build(), planned=False).memories["param"][0] == 7).all()


def test_parameters_that_an_input_holds() -> None:
    program = make_program()
    packets = bytearray(program.heaps[0].data)
    packets[64:128] = encode(copy_packet("data_to_param", src=program.inputs[0].line))
    program.heaps[0] = type(program.heaps[0])(program.heaps[0].line, bytes(packets))
    sim = loaded(program)
    for seed in (0, 1):
        found = sim.run([integers(seed)], memories=True)[0]
        assert_equal(found, loaded(program, native=False).run([integers(seed)], memories=True)[0])
    assert list(sim._plans.values()) == [None]


@pytest.mark.parametrize(
    ("packet", "status"),
    [
        (make_packet("HALT", wait=4), ErrorCode.DEADLOCK),
        (make_packet("JUMP", target=(1 << 20) - 1), ErrorCode.AXI_READ),
        (copy_packet("data_to_act", src=1 << 19), ErrorCode.AXI_READ),
        (copy_packet("act_to_data", dst=1 << 19), ErrorCode.AXI_WRITE),
        (bytes([0x77]) + bytes(63), ErrorCode.ILLEGAL_OPCODE),
    ],
    ids=str,
)
def test_errors_are_planned_with_all_before_them(packet: Packet | bytes, status: ErrorCode) -> None:
    program, _ = program_of(copy_packet("fill_act", n0=8, pad=7), packet)
    result = both(program, planned=True)
    assert (result.status, result.error_address) == (status, 0 if status is ErrorCode.OK else result.error_address)
    assert (result.memories["act"][:8] == 7).all()


def test_moves_that_wrap_or_overlap() -> None:
    wraps = copy_packet("act_to_act", n0=8, src=TINY.act_words - 4, dst=100)
    overlaps = copy_packet("act_to_act", n0=8, src=3, dst=0)
    itself = copy_packet("act_to_act", n0=2, n1=3, src=20, src_stride1=2, dst=40, dst_stride1=1)
    fills = [copy_packet("fill_act", n0=3, dst=d, pad=d % 99) for d in (0, 3, 6, 20, 22, 24, TINY.act_words - 3)]
    program, _ = program_of(*fills, wraps, overlaps, itself, make_packet("HALT"))
    assert both(program, planned=True).status is ErrorCode.OK


def test_a_session_gives_many_runs_at_once() -> None:
    session = vlarun.Session(make_program())
    many = good_inputs(40)
    joined = session.run(many)
    assert session.stats["runs"] == 40
    for i in (0, 31, 32, 39):
        one = session.run({k: v[i : i + 1] for k, v in many.items()})
        assert np.array_equal(joined["sum"][i : i + 1], one["sum"])
