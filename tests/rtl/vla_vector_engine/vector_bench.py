"""Build and run the Verilator bench of vla_vector_engine; compare its writes packet by packet.

Not here: which packets are run (`test_vla_vector_engine.py`) and what they mean (vlarun).
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
BASES = ("in_base", "a_base", "b_base", "c_base", "row_base", "reduce_base", "out_base")


@dataclass(frozen=True)
class Result:
    """What a run of packets did: cycles of each packet, and its writes in order."""

    accepted: NDArray[np.uint64]
    done: NDArray[np.uint64]
    writes: list[tuple[NDArray[np.uint32], NDArray[np.int8]]]


def build(hw: HardwareConfig) -> Path:
    """The bench for the sizes of a config."""
    return build_bench(
        "vla_vector_engine",
        (RTL / "src" / "vla_vector_engine.v", HERE / "bench.cpp"),
        Block=hw.block,
        ActWords=hw.act_words,
        ParamWords=hw.param_words,
    )


def run(
    machine: Machine, packets: list[Packet], folder: Path, *, stalls: int = 0, seed: int = 1, gaps: int = 0
) -> Result:
    """Run packets one after the other from a machine's memories, which are left as they are.

    Args:
        machine: contents of the activation scratchpad and the parameter memory.
        packets: legal POOL and VEC packets.
        folder: where the job and the log go.
        stalls: percent of grants refused.
        seed: of the refusals.
        gaps: percent of cycles in which no packet is offered.
    """
    hw = machine.hw
    head = np.array([len(packets), hw.act_words, hw.block, hw.param_words, stalls, seed, gaps, 0], "<u4")
    memories = (machine.act, machine.param)
    job = b"".join([head.tobytes(), *(m.tobytes() for m in memories), *map(encode, packets)])
    data, _ = run_bench(build(hw), job, folder)
    cycles = np.frombuffer(data, "<u8", 3 * len(packets)).reshape(-1, 3)
    words = np.frombuffer(data, np.dtype([("address", "<u4"), ("word", "i1", (hw.block,))]), offset=cycles.nbytes)
    ends = np.cumsum(cycles[:, 2]).astype(int)
    parts = np.split(words, ends[:-1])
    return Result(cycles[:, 0], cycles[:, 1], [(p["address"], p["word"]) for p in parts])


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
        assert wrong.size == 0, (
            f"packet {number} ({packet.name} {dict(packet.values)}): {wrong.size} words differ; " + "; ".join(text)
        )


def random_machine(hw: HardwareConfig, seed: int) -> Machine:
    """A machine whose activation scratchpad is random and whose parameter memory is zero."""
    machine = Machine(hw, np.zeros(0, np.int8), np.zeros((0, hw.weight_word_bytes), np.int8))
    machine.act[:] = np.random.default_rng(seed).integers(-128, 128, machine.act.shape, dtype=np.int8)
    return machine


class Sequence:
    """Packets that run one after the other on one machine."""

    def __init__(self, hw: HardwareConfig, seed: int) -> None:
        self.machine = random_machine(hw, seed)
        self.rng: Rng = np.random.default_rng(seed)
        self.packets: list[Packet] = []
        self.params = 0

    def add(self, operation: Operation, *, base: int | None = None) -> None:
        """Place an operation's parameters behind the others and its words at `base` (anywhere: they wrap)."""
        hw = self.machine.hw
        words = operation.param
        self.params = self.params if self.params + len(words) <= hw.param_words else 0
        self.machine.param[self.params : self.params + len(words)] = words
        shift = int(self.rng.integers(hw.act_words)) if base is None else base
        for start, data in operation.arena.contents:  # earlier packets may write there: any content will do
            self.machine.act[(start + shift + np.arange(len(data))) % hw.act_words] = data
        values = dict(operation.packet.values)
        values |= {k: (values[k] + shift) % hw.act_words for k in BASES if k in values}
        values |= {k: values[k] + self.params for k in ("param_base", "table_base") if k in values}
        self.params += len(words)
        self.add_packet(make_packet(operation.packet.name, **values))

    def add_packet(self, packet: Packet) -> None:
        """Append a packet, which must be legal."""
        assert illegal(encode(packet), self.machine.hw)[1] == ""
        self.packets.append(packet)

    def verify(self, folder: Path, meaning=reference.execute, **options: int) -> np.ndarray:
        """Run, compare after every packet, return the cycles from each packet's acceptance to done."""
        result = run(self.machine, self.packets, folder, **options)
        check(self.machine, self.packets, result, meaning)
        return (result.done - result.accepted).astype(int)
