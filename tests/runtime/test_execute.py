"""Every executor agrees bit for bit with the slow reference on random packets over random memories."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from vla_isa import encoding, hardware
from vla_isa.instructions import TABLE, ErrorCode
from vla_isa.operands import Arena
from vlarun.conformance import reference
from vlarun.conformance.operations import Operation, make_operation
from vlarun.execute import EXECUTORS
from vlarun.memory import Machine

PACKETS = 150


def machine_for(op: Operation, seed: int) -> Machine:
    hw = op.arena.hw
    machine = Machine(hw, np.zeros(0, np.int8), np.zeros((0, hw.weight_word_bytes), np.int8))
    rng = np.random.default_rng(seed)
    machine.act[:] = rng.integers(-128, 128, machine.act.shape, dtype=np.int8)
    machine.act[: len(op.act)] = op.act
    machine.weight[: len(op.weight)] = op.weight
    machine.param[: len(op.param)] = op.param
    return machine


def check(op: Operation, seed: int = 0) -> None:
    status, reason = encoding.illegal(encoding.encode(op.packet), op.arena.hw)
    assert status is ErrorCode.OK, reason
    fast = machine_for(op, seed)
    slow = copy.deepcopy(fast)
    before = fast.act.copy()
    EXECUTORS[op.packet.name](op.packet, fast)
    reference.execute(op.packet, slow)
    assert np.array_equal(fast.act, slow.act), f"{op.packet.name} {dict(op.packet.values)}"
    assert np.array_equal(fast.weight, slow.weight)
    assert np.array_equal(fast.param, slow.param)
    assert not np.array_equal(before, fast.act) or op.packet.name == "COPY"


@pytest.mark.parametrize("config", ["tiny", "u50"])
@pytest.mark.parametrize("name", sorted(i.name for i in TABLE if i.operands))
def test_random_packets(name: str, config: str) -> None:
    hw = hardware.load(config)
    for seed in range(PACKETS):
        check(make_operation(name, np.random.default_rng(seed), Arena(hw)), seed)


def test_executors_are_the_implemented_instructions() -> None:
    assert set(EXECUTORS) == {i.name for i in TABLE if i.implemented}
