"""Plans of `sim`: what is worked out once gives what packet by packet gives, for one input and for many."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hand_program import good_inputs, make_program

import vlarun
from vla_isa import hardware
from vla_isa.encoding import encode, make_packet
from vla_isa.instructions import ErrorCode
from vla_isa.packet import Packet
from vla_isa.program import Program
from vlarun.backends import RunResult, SimBackend
from vlarun.backends.sim import SimOptions, _SimProgram
from vlarun.backends.sim_plan import NumpyStep
from vlarun.conformance.programs import Builder, copy_packet
from vlarun.native import steps

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


def test_a_loop_has_no_plan() -> None:
    """Each round would add its steps, with their weights, until the watchdog."""
    program, _ = program_of(copy_packet("fill_act", n0=8, pad=7), make_packet("JUMP", signal=1, target=0))
    assert both(program, planned=False).status is ErrorCode.SEMAPHORE_OVERFLOW


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
