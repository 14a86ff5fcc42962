"""vla_mac_engine against the slow reference: seeded random packets, directed cases, throughput."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mac_bench import Result, check, run

from vla_isa import hardware, numerics
from vla_isa.encoding import Packet, encode, illegal
from vla_isa.hardware import HardwareConfig
from vlarun.conformance import reference
from vlarun.conformance.makers import make_conv, make_gemm
from vlarun.conformance.operands import Operation, Rng
from vlarun.execute import conv, gemm
from vlarun.memory import Machine

TINY, U50 = hardware.load("tiny"), hardware.load("u50")
ACT_BASES = ("in_base", "out_base", "res_base")
PARAM_BASES = ("param_base", "table_base", "mask_base")


class Sequence:
    """Packets that run one after the other on one machine with random activations and weights."""

    def __init__(self, hw: HardwareConfig, seed: int) -> None:
        self.rng: Rng = np.random.default_rng(seed)
        self.machine = Machine(hw, np.zeros(0, np.int8), np.zeros((0, hw.weight_word_bytes), np.int8))
        self.machine.act[:] = self.rng.integers(-128, 128, self.machine.act.shape, dtype=np.int8)
        self.machine.weight[:] = self.rng.integers(-128, 128, self.machine.weight.shape, dtype=np.int8)
        self.packets: list[Packet] = []
        self.params = 0

    def add(self, operation: Operation) -> bool:
        """Place an operation's parameters behind the others and its regions anywhere (they wrap).

        Returns False when the parameter memory is full.
        """
        hw = self.machine.hw
        words = operation.param
        if self.params + len(words) > hw.param_words:
            return False
        self.machine.param[self.params : self.params + len(words)] = words
        shift, values = int(self.rng.integers(hw.act_words)), dict(operation.packet.values)
        values |= {k: (values[k] + shift) % hw.act_words for k in ACT_BASES if k in values}
        values |= {k: values[k] + self.params for k in PARAM_BASES if k in values}
        values["weight_base"] = int(self.rng.integers(hw.weight_words))
        self.params += len(words)
        self.add_packet(Packet.make(operation.packet.name, **values))
        return True

    def add_packet(self, packet: Packet) -> None:
        """Append a packet, which must be legal."""
        assert illegal(encode(packet), self.machine.hw)[1] == ""
        self.packets.append(packet)

    def verify(self, folder: Path, meaning=reference.execute, **options: int) -> Result:
        """Run and compare after every packet."""
        result = run(self.machine, self.packets, folder, **options)
        check(self.machine, self.packets, result, meaning)
        return result


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("hw", "stalls", "gaps"), [(TINY, 0, 0), (TINY, 40, 0), (TINY, 75, 95), (U50, 0, 0), (U50, 40, 50)],
                         ids=["tiny", "tiny-stalls", "tiny-slow", "u50", "u50-stalls"])
def test_random_packets(tmp_path: Path, hw: HardwareConfig, stalls: int, gaps: int, seed: int) -> None:
    sequence = Sequence(hw, 100 * stalls + seed)
    while sequence.add((make_gemm if sequence.rng.integers(3) == 0 else make_conv)(sequence.rng, hw)):
        pass
    assert len(sequence.packets) > 50
    sequence.verify(tmp_path, stalls=stalls, gaps=gaps, seed=seed)
