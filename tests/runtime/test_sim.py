"""The sim backend: order, semaphores, error codes, entry points, the watchdog, repeated runs."""

from __future__ import annotations

import numpy as np
import pytest
from hand_program import make_program

from vla_isa import hardware
from vla_isa.encoding import encode, make_packet
from vla_isa.errors import ProgramError
from vla_isa.instructions import ErrorCode
from vla_isa.packet import Packet
from vla_isa.program import Program, Segment
from vlarun.backends import SimBackend, run_once
from vlarun.backends.sim import SimOptions
from vlarun.conformance.programs import Builder, copy_packet
from vlarun.errors import MachineError

TINY = hardware.load("tiny")


def program_of(*packets: Packet) -> Program:
    builder = Builder(TINY)
    for packet in packets:
        builder.raw(encode(packet))
    return builder.build()


def test_a_jump_loop_is_stopped() -> None:
    loop = program_of(make_packet("JUMP", target=0))
    with pytest.raises(MachineError, match="100 packets without reaching HALT"):
        run_once(SimBackend(SimOptions(max_packets=100)), loop, {})


def test_unknown_entry() -> None:
    with pytest.raises(ProgramError, match="no entry point 'b'; it has main"):
        run_once(SimBackend(), program_of(make_packet("HALT")), {}, entry="b")


def test_deadlock_names_the_semaphore() -> None:
    result = run_once(SimBackend(), program_of(make_packet("HALT", wait=1 << 5)), {})
    assert (result.status, result.error_address) == (ErrorCode.DEADLOCK, 0)
    assert "semaphore 5" in result.message


def test_left_semaphore_is_named_with_its_count() -> None:
    signal = copy_packet("fill_act", n0=0, signal=1 << 6)
    result = run_once(SimBackend(), program_of(signal, signal, make_packet("HALT")), {})
    assert (result.status, result.error_address) == (ErrorCode.SEMAPHORE_LEFT, 128)
    assert "semaphore 6 is 2" in result.message


def test_second_program_does_not_see_the_first() -> None:
    backend = SimBackend()
    first, second = make_program(), make_program()
    inputs = {"image": np.ones((1, 3, 5, 6), np.int8), "bias": np.zeros((1, 2), np.int8)}
    a = run_once(backend, first, inputs)
    second.constants.append(Segment(second.data_bytes // 64 - 1, b"\x07" * 64))
    b = run_once(backend, second, inputs)
    again = run_once(backend, first, inputs)
    assert np.array_equal(a.memories["data"], again.memories["data"])
    assert not np.array_equal(a.memories["data"], b.memories["data"])


def test_memories_start_at_zero_every_run() -> None:
    backend, program = SimBackend(), make_program()
    q = {"image": np.full((1, 3, 5, 6), 9, np.int8), "bias": np.zeros((1, 2), np.int8)}
    loaded = backend.load(program)
    (first,) = loaded.run([q], memories=True)
    (second,) = loaded.run([{k: np.zeros_like(v) for k, v in q.items()}], memories=True)
    assert first.memories["act"].any()
    assert not second.memories["act"][300:500].any()
    assert first.halt_code == second.halt_code == 4
