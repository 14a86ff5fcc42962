"""Build and run the Verilator bench of vla_mac_engine on sequences of packets; compare its writes packet by packet.

Not here: which packets are run (`test_vla_mac_engine.py`, `test_mac_gemm.py`) and what they mean (vlarun).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench import RTL, build_bench, run_bench
from numpy.typing import NDArray

from vla_isa.encoding import encode, illegal, make_packet
from vla_isa.hardware import HardwareConfig
from vla_isa.operands import Rng
from vla_isa.packet import Packet
from vlarun.conformance import reference
from vlarun.conformance.operations import Operation
from vlarun.memory import Machine

HERE = Path(__file__).parent
ACT_BASES = ("in_base", "out_base", "res_base", "row_base")
PARAM_BASES = ("param_base", "table_base", "mask_base")


@dataclass(frozen=True)
class Result:
    """What a run of packets did: cycles and counts of each packet (int64), and its writes in order.

    `speed` is in simulated cycles per second.
    """

    accepted: NDArray[np.int64]
    done: NDArray[np.int64]
    busy: NDArray[np.int64]
    conflict: NDArray[np.int64]
    writes: list[tuple[NDArray[np.uint32], NDArray[np.int8]]]
    speed: float


def build(hw: HardwareConfig) -> Path:
    """The bench for the sizes of a config."""
    return build_bench(
        "vla_mac_engine",
        (RTL / "src" / "vla_mac_engine.v", HERE / "bench.cpp"),
        Pixels=hw.pixels,
        Block=hw.block,
        RequantPixels=hw.requant_pixels,
        ActWords=hw.act_words,
        WeightWords=hw.weight_words,
        ParamWords=hw.param_words,
    )


def run(
    machine: Machine, packets: list[Packet], folder: Path, *, stalls: int = 0, seed: int = 1, gaps: int = 0
) -> Result:
    """Run packets one after the other from a machine's memories, which are left as they are.

    Args:
        machine: contents of the three scratchpads.
        packets: legal CONV and GEMM packets.
        folder: where the job and the log go.
        stalls: percent of grants refused.
        seed: of the refusals.
        gaps: percent of cycles in which no packet is offered.
    """
    hw = machine.hw
    head = np.array([len(packets), hw.act_words, hw.weight_words, hw.param_words, hw.block, stalls, seed, gaps], "<u4")
    memories = (machine.act, machine.weight, machine.param)
    job = b"".join([head.tobytes(), *(m.tobytes() for m in memories), *map(encode, packets)])
    data, speed = run_bench(build(hw), job, folder)
    counts = np.frombuffer(data, "<i8", 5 * len(packets)).reshape(-1, 5)
    words = np.frombuffer(data, np.dtype([("address", "<u4"), ("word", "i1", (hw.block,))]), offset=counts.nbytes)
    parts = np.split(words, np.cumsum(counts[:, 2])[:-1])
    return Result(
        counts[:, 0],
        counts[:, 1],
        counts[:, 3],
        counts[:, 4],
        [(p["address"], p["word"]) for p in parts],
        float(speed),
    )


def check(machine: Machine, packets: list[Packet], result: Result, meaning: Callable[[Packet, Machine], None]) -> None:
    """Replay a run's writes and compare the scratchpad with `meaning` after every packet; changes the machine.

    Raises:
        AssertionError: naming the first packet that differs, with the first few words.
    """
    memory = machine.act.copy()
    for number, (packet, (addresses, words)) in enumerate(zip(packets, result.writes, strict=True)):
        meaning(packet, machine)
        memory[addresses] = words
        wrong = np.flatnonzero((memory != machine.act).any(axis=1))
        text = [f"word {w}: {memory[w].tolist()} instead of {machine.act[w].tolist()}" for w in wrong[:3]]
        assert wrong.size == 0, f"packet {number} ({dict(packet.values)}): {wrong.size} words differ; {'; '.join(text)}"


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
        self.add_packet(make_packet(operation.packet.name, **values))
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
